"""Tables of an earlier version, with what they hold, brought to this one on every store."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table, insert, select, text

from consumers.projections.decisions import DecisionsProjection
from consumers.projections.reading import recent_decisions
from consumers.store.opening import store_for
from consumers.store.sql import SqlStore
from consumers.store.tables import DECISIONS
from schemas.envelope import Envelope
from tests.consuming import commit, event, execute, key, opened
from tests.samples import SAMPLES

STORES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]
DECIDED = [each for sample in SAMPLES for each in sample.events() if each.type.endswith(".decided.v1")]
INVITATIONS = [each for each in DECIDED if each.type == "im.group.invite.decided.v1"]
SINCE_0002 = ("act", "command", "subject", "members")
Rows = Sequence[dict[str, Any]]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    found: str = request.getfixturevalue("postgres_database")
    return found


@contextmanager
def program_of(revision: str) -> Iterator[None]:
    """Have stores opened meanwhile make the tables of an earlier version."""
    upgrade: Callable[[Config, str], None] = command.upgrade
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, revision))
        yield


async def of_0001(url: str) -> SqlStore:
    """Return a store with the tables of revision 0001."""
    with program_of("0001"):
        return await opened(url)


def rows_of(envelopes: Sequence[Envelope]) -> Rows:
    """Return the rows that this version writes of decisions."""
    (effect,) = DecisionsProjection().effects(envelopes)
    return [dict(row) for row in effect.rows]


def write_as_0001(store: SqlStore, rows: Rows) -> None:
    """Write invitations as version 0001 did: without what came later."""
    old = [{name: value for name, value in row.items() if name not in SINCE_0002} for row in rows]
    with store._engine.connect() as connection:
        table = Table("decisions", MetaData(), autoload_with=connection)
    execute(store, insert(table).values(old))


async def held(store: SqlStore) -> dict[str, dict[str, Any]]:
    return {row["decision_id"]: dict(row) for row in await store.select(select(DECISIONS))}


def by_id(rows: Rows) -> dict[str, dict[str, Any]]:
    return {row["decision_id"]: row for row in rows}


async def test_invitations_recorded_before_read_as_if_recorded_now(url: str) -> None:
    assert {each.source.split("/")[2] for each in INVITATIONS} == {"tencent", "openim"}
    before = await of_0001(url)
    write_as_0001(before, rows_of(INVITATIONS))
    await commit(before, await before.claim(key("decisions"), "me"), 7, ())
    await before.close()
    store = await opened(url)
    assert await held(store) == by_id(rows_of(INVITATIONS))
    assert [row.next_offset for row in await store.checkpoints("decisions")] == [7]
    await store.close()


async def test_once_the_projection_is_rewound_decisions_of_every_act_are_there(url: str) -> None:
    before = await of_0001(url)
    write_as_0001(before, rows_of(INVITATIONS))
    await before.close()
    store = await opened(url)
    rewound = await store.rewind(key("decisions"), 0, "operator")
    await commit(store, rewound, len(DECIDED), DecisionsProjection().effects(DECIDED))
    assert await held(store) == by_id(rows_of(DECIDED))
    assert {row["act"] for row in await recent_decisions(store)} > {"invite", "send_message"}
    await store.close()


async def test_a_provider_of_somebody_else_has_no_command_to_name(url: str) -> None:
    before = await of_0001(url)
    other = event(
        "group.invite.decided",
        {"group_id": "g", "invitee_ids": ["a"], "decision": {"wanted": "allow", "sent": "allow"}},
    )
    write_as_0001(before, rows_of([other._replace(source="/im/other/1")]))
    await before.close()
    store = await opened(url)
    (row,) = await recent_decisions(store)
    assert (row["act"], row["command"], row["subject"], row["members"]) == ("invite", None, "group/g", ["a"])
    await store.close()


async def test_views_and_indexes_that_others_have_on_the_decisions_stay(url: str) -> None:
    before = await of_0001(url)
    write_as_0001(before, rows_of(INVITATIONS))
    execute(before, text("CREATE VIEW theirs AS SELECT decision_id, group_id, invitee_ids FROM decisions"))
    execute(before, text("CREATE INDEX theirs_by_answer ON decisions (sent)"))
    query = text("SELECT * FROM theirs ORDER BY decision_id")
    said = await before.select(query)
    await before.close()
    store = await opened(url)
    assert len(said) == len(INVITATIONS)
    assert await store.select(query) == said
    execute(store, text("DROP INDEX theirs_by_answer"))
    await store.close()


async def test_a_process_of_the_version_before_goes_on_writing_invitations(url: str) -> None:
    before, store = await of_0001(url), await opened(url)
    write_as_0001(before, rows_of(INVITATIONS))
    assert {row["act"] for row in await recent_decisions(store)} == {"invite"}
    assert (await held(store)).keys() == by_id(rows_of(INVITATIONS)).keys()
    for each in (before, store):
        await each.close()


async def test_two_that_bring_the_tables_to_this_version_at_once_do_it_once(url: str) -> None:
    before = await of_0001(url)
    write_as_0001(before, rows_of(INVITATIONS))
    await before.close()
    stores = [store_for(url), store_for(url)]
    await asyncio.gather(*(store.open() for store in stores))
    for store in stores:
        assert isinstance(store, SqlStore)
        assert await held(store) == by_id(rows_of(INVITATIONS))
        await store.close()
