"""What the tables must show of acknowledged facts: looked up in real tables, row by row."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumers.projections.groups import GroupsProjection
from consumers.shown import CHUNK, Fact, look
from consumers.store.base import Store
from schemas.envelope import Envelope
from tests.consuming import commit, event, joined, key, opened

APP = ("tencent", "1400000000")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened_store = await opened(f"sqlite:///{tmp_path}/s.sqlite")
    yield opened_store
    await opened_store.close()


async def project(store: Store, *envelopes: Envelope) -> None:
    claim = await store.claim(key(), "test")
    effects = GroupsProjection().effects(envelopes)
    await commit(store, claim, (claim.next_offset or 0) + 1, effects)


def fact(kind: str, group: str = "g1", *users: str) -> Fact:
    return Fact(*APP, f"im.group.{kind}.v1", group, users)


async def hidden(store: Store, *facts: Fact) -> list[Fact]:
    return list((await look(store, facts, 0)).hidden)


CREATED = event("group.created", {"group_id": "g1", "members": [{"user_id": "a"}, {"user_id": "b"}]})
LEFT = event("group.member.left", {"group_id": "g1", "members": [{"user_id": "a"}]}, 2 << 40, "e2")
UPDATED = event("group.member.updated", {"group_id": "g1", "user_id": "c", "nickname": "C"}, 3 << 40, "e3")
DISMISSED = event("group.dismissed", {"group_id": "g1"}, 4 << 40, "e4")


async def test_what_was_projected_is_shown(store: Store) -> None:
    await project(store, CREATED, LEFT, UPDATED, DISMISSED, joined(1, "g2", "z"))
    facts = [
        fact("created", "g1", "a", "b"),
        fact("member.left", "g1", "a"),
        fact("member.updated", "g1", "c"),
        fact("dismissed"),
        fact("member.joined", "g2", "z"),
        fact("updated", "g2"),
    ]
    assert await hidden(store, *facts) == []


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ([LEFT], fact("member.joined", "g1", "a")),
        ([CREATED], fact("member.left", "g1", "a")),
        ([CREATED], fact("member.kicked", "g1", "b")),
        ([CREATED], fact("dismissed")),
        ([CREATED], fact("member.updated", "g1", "c")),
        ([UPDATED], fact("created", "g1")),
        ([CREATED], fact("created", "g1", "a", "b", "c")),
        ([CREATED], fact("updated", "g2")),
        ([CREATED], fact("member.joined", "g2", "a")),
        ([CREATED], fact("member.joined", "g1", "a")._replace(app="another")),
    ],
)
async def test_what_only_looks_like_it_is_hidden(store: Store, told: list[Envelope], asked: Fact) -> None:
    await project(store, *told)
    assert await hidden(store, asked) == [asked]


async def test_what_no_table_tells_is_counted_apart(store: Store) -> None:
    await project(store, CREATED)
    found = await look(store, [fact("created", "g1", "a"), Fact(*APP, "im.message.sent.v1", "g1", ("a",))], 0)
    assert (found.looked_for, found.untold, found.hidden) == (1, 1, [])


async def test_more_facts_than_are_looked_up_at_once_are_all_looked_up(store: Store) -> None:
    count = 2 * CHUNK + 1
    await project(store, *(joined(number) for number in range(count)))
    facts = [fact("member.joined", "g1", f"u{number}") for number in range(count)]
    found = await look(store, [*facts, fact("member.joined", "g1", "nobody")], 0)
    assert (found.looked_for, [one.users for one in found.hidden]) == (count + 1, [("nobody",)])


async def test_waiting_finds_what_is_projected_later(store: Store) -> None:
    asked = fact("member.joined", "g1", "u1")

    class Late:
        looked = 0

        async def select(self, statement: object) -> object:
            self.looked += 1
            if self.looked == 3:
                await project(store, joined(1))
            return await store.select(statement)  # type: ignore[arg-type]

    late = Late()
    found = await look(late, [asked], 30)  # type: ignore[arg-type]
    assert (found.hidden, late.looked) == ([], 4)
