"""Any order, any repetition, any batching of the same events gives the same tables, on every store."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Executable, select
from sqlalchemy.dialects.postgresql import insert

from consumers.projections import registers
from consumers.projections.decisions import DecisionsProjection
from consumers.projections.groups import REGISTERS, GroupsProjection
from consumers.projections.registers import Register
from consumers.store.base import Effect, Row, Store
from consumers.store.opening import store_for
from consumers.store.tables import (
    CURRENT_CUSTOM_DATA,
    CURRENT_GROUPS,
    CURRENT_MEMBERS,
    CUSTOM_DATA,
    DECISIONS,
    GROUPS,
    MEMBERS,
)
from schemas.envelope import Envelope
from tests.consuming import commit, event, key
from tests.projection_story import current, tables

Mutation = Callable[[Effect], Effect]
VERSIONS = [1_700_000_000_000 << 16, (1_700_000_000_000 << 16) + 1, 1_700_000_000_001 << 16]
ABOUT = ("name", "avatar_url", "introduction", "notification", "extension")
SHOWN = (*ABOUT, "type", "owner_id", "created_at", "created_ms", "creator_id")
_numbers = count()

texts = st.sampled_from(["a", "b", ""])
user = st.sampled_from(["u1", "u2"])
users = st.lists(user, min_size=1, max_size=2, unique=True)
members = users.map(lambda names: [{"user_id": name} for name in names])
roles = st.sampled_from(["member", "admin"])
custom = st.dictionaries(st.sampled_from(["k1", "k2"]), texts).map(
    lambda kept: [{"key": name, "value": value} for name, value in kept.items()]
)
about = dict.fromkeys((*ABOUT, "group_type"), texts)
sent = st.sampled_from(["allow", "deny", "refuse_members"])
decision = st.fixed_dictionaries({"wanted": st.just("allow"), "sent": sent, "refused": users})


class Fact(NamedTuple):
    """A kind of event: its name, the fields it always has, and those it may have."""

    name: str
    required: dict[str, Any]
    optional: dict[str, Any] = {}

    def some(self) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        """Return such events, each with some of the fields it may have."""
        return self._of(st.fixed_dictionaries(self._always, optional=self.optional))

    def whole(self) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        """Return such events with all of their fields."""
        return self._of(st.fixed_dictionaries({**self._always, **self.optional}))

    @property
    def _always(self) -> dict[str, Any]:
        return {"group_id": st.sampled_from(["g1", "g2"]), **self.required}

    def _of(self, data: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        return st.tuples(st.just(f"group.{self.name}"), data)


JOINING = {
    "group_type": texts,
    "extension": texts,
    "group_extension": texts,
    "join_kind": texts,
    "operator_id": user,
}
CREATING = {**about, "owner_id": user, "operator_id": user, "custom_data": custom}
PROFILE = {"nickname": texts, "avatar_url": texts, "extension": texts, "role": roles}
FACTS = {
    "created": Fact("created", {"members": members}, CREATING),
    "updated": Fact("updated", {}, {**about, "custom_data": custom}),
    "dismissed": Fact("dismissed", {}),
    "transferred": Fact("owner.transferred", {"new_owner_id": user}, {"old_owner_id": st.just("u3")}),
    "joined": Fact("member.joined", {"members": members}, JOINING),
    "member": Fact("member.updated", {"user_id": user}, PROFILE),
    "left": Fact("member.left", {"members": members}),
    "kicked": Fact("member.kicked", {"members": members}, {"operator_id": user}),
    "decided": Fact("invite.decided", {"invitee_ids": users, "decision": decision}, {"inviter_id": user}),
    "join": Fact("join.decided", {"user_id": user, "decision": decision}, {"group_type": texts}),
}


class Case(NamedTuple):
    """Facts with their versions, the order in which they are delivered (some again), and the batch sizes."""

    facts: list[tuple[tuple[str, dict[str, Any]], int]]
    provider: str
    deliveries: list[int]
    batches: list[int]


@st.composite
def cases(draw: st.DrawFn, only: str | None = None, most: int = 12) -> Case:
    drawn = FACTS[only].whole() if only else st.one_of(*(each.some() for each in FACTS.values()))
    facts = draw(st.lists(st.tuples(drawn, st.sampled_from(VERSIONS)), min_size=1, max_size=most))
    numbers = range(len(facts))
    again = draw(st.lists(st.sampled_from(numbers), max_size=4))
    deliveries = draw(st.permutations([*numbers, *again]))
    provider = draw(st.sampled_from(["openim", "tencent"]))
    return Case(facts, provider, deliveries, draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))


class Tables:
    """A store, used without an event loop of the caller's own; every case has an app of its own."""

    def __init__(self, loop: asyncio.Runner, store: Store) -> None:
        self._loop, self._store = loop, store

    def check(self, case: Case, mutation: Mutation | None = None) -> None:
        """Apply a case and compare the tables with the story; the views too unless it is for a mutant."""
        app = f"app{next(_numbers)}"
        source = f"/im/{case.provider}/{app}"
        events = [
            event(name, data, version, f"e{number}", source)
            for number, ((name, data), version) in enumerate(case.facts)
        ]
        batches = list(_cut([events[at] for at in case.deliveries], case.batches))
        self._loop.run(self._apply(app, batches, mutation or (lambda effect: effect)))
        self._loop.run(self._compare(app, events))
        if mutation is None:
            self._loop.run(self._compare_views(app, events))

    async def _apply(self, app: str, batches: Sequence[Sequence[Envelope]], mutation: Mutation) -> None:
        claim = await self._store.claim(key(app), "test")
        for number, batch in enumerate(batches, 1):
            effects = [*GroupsProjection().effects(batch), *DecisionsProjection().effects(batch)]
            claim = await commit(self._store, claim, number, [mutation(effect) for effect in effects])

    async def _compare(self, app: str, events: Sequence[Envelope]) -> None:
        expected = tables(events)
        for table in (GROUPS, MEMBERS, CUSTOM_DATA):
            names = [column.name for column in table.primary_key.columns]
            rows = await self._rows(table, app)
            found = {tuple(row[name] for name in names): _written(table.name, row) for row in rows}
            assert found == expected[table.name]
        decided = {each.id: _asked(each) for each in events if each.type.endswith(".decided.v1")}
        rows = await self._rows(DECISIONS, app)
        assert {row["decision_id"]: (row["act"], orjson.loads(row["members"])) for row in rows} == decided

    async def _compare_views(self, app: str, events: Sequence[Envelope]) -> None:
        groups = current(events)
        found = {_group(row): row for row in await self._rows(CURRENT_GROUPS, app)}
        assert found.keys() == groups.keys()
        for group, row in found.items():
            story = groups[group]
            assert _said(row, SHOWN) == {
                name: value for name, value in story.about.items() if value is not None
            }
            assert (row["member_count"], row["complete"]) == (len(story.members()), story.complete)
        people = {(*_group(row), row["user_id"]): row for row in await self._rows(CURRENT_MEMBERS, app)}
        told = {
            (*group, name): who for group, story in groups.items() for name, who in story.members().items()
        }
        assert people.keys() == told.keys()
        for member, row in people.items():
            assert {name: row[name] for name in told[member]} == told[member]
        kept = {
            (*_group(row), row["key"]): row["value"] for row in await self._rows(CURRENT_CUSTOM_DATA, app)
        }
        assert kept == {
            (*group, name): value for group, story in groups.items() for name, value in story.custom.items()
        }

    async def _rows(self, table: Any, app: str) -> Sequence[Row]:
        return await self._store.select(select(table).where(table.c.app == app))


def _group(row: Row) -> tuple[str, str, str]:
    return row["provider"], row["app"], row["group_id"]


def _asked(event: Envelope) -> tuple[str, list[str]]:
    """Return the act of a decision, and whom it is about."""
    if event.type == "im.group.join.decided.v1":
        return "join", [event.data["user_id"]]
    return "invite", event.data["invitee_ids"]


def _said(row: Row, names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row[name] is not None}


def _written(table: str, row: Row) -> dict[str, Any]:
    """Return the columns of the registers that were ever written."""
    written = (each for each in REGISTERS if each.table.name == table and row[f"{each.name}_v"])
    return {column: row[column] for register in written for column in register.written}


def _cut(events: Sequence[Envelope], sizes: Sequence[int]) -> Iterator[Sequence[Envelope]]:
    at = 0
    for turn in count():
        if at >= len(events):
            return
        size = sizes[turn % len(sizes)]
        yield events[at : at + size]
        at += size


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def sqlite(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    yield from _opened(loop, f"sqlite:///{tmp_path_factory.mktemp('converge') / 'store.db'}")


@pytest.fixture
def postgresql(loop: asyncio.Runner, postgres_database: str) -> Iterator[Tables]:
    yield from _opened(loop, postgres_database)


def _opened(loop: asyncio.Runner, url: str) -> Iterator[Tables]:
    store = store_for(url)
    loop.run(store.open())
    yield Tables(loop, store)
    loop.run(store.close())


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
patient = settings(deadline=None, suppress_health_check=quiet)
hunting = settings(patient, max_examples=1000, phases=[Phase.generate], database=None, derandomize=True)


@settings(patient, max_examples=150)
@given(case=cases())
def test_the_tables_in_sqlite_are_what_the_story_says(sqlite: Tables, case: Case) -> None:
    sqlite.check(case)


@pytest.mark.postgres
@settings(patient, max_examples=40)
@given(case=cases())
def test_the_tables_in_postgres_are_what_the_story_says(postgresql: Tables, case: Case) -> None:
    postgresql.check(case)


# Every guard is needed: the same check notices when one is taken away, over events that write the register.


def unguarded(register: Register) -> Executable:
    return register.upsert(None)


def guarded_by_version_alone(register: Register) -> Executable:
    version = f"{register.name}_v"
    return register.upsert(insert(register.table).excluded[version] > register.table.c[version])


WRITTEN_BY: dict[str, dict[str, str]] = {
    "groups": {"created": "created", "type": "created", "owner": "transferred", "cleared": "dismissed"},
    "group_custom_data": {},
    "members": {"joined": "joined", "assumed": "decided", "left": "kicked"},
}
OTHERWISE = {"groups": "updated", "group_custom_data": "updated", "members": "member"}
MUTANTS = [
    pytest.param(register, weaken, id=f"{register.table.name}.{register.name} {weaken.__name__}")
    for register in REGISTERS
    for weaken in (unguarded, guarded_by_version_alone)
    if len(register.stamps) > 1 or weaken is unguarded
]


def hunt(stored: Tables, mutation: Mutation, kind: str) -> None:
    """Look among events of one kind for a case whose tables are not what the story says."""

    @settings(hunting)
    @given(case=cases(kind, most=6))
    def look(case: Case) -> None:
        stored.check(case, mutation)

    with pytest.raises(AssertionError):
        look()


@pytest.mark.parametrize(("register", "weaken"), MUTANTS)
def test_no_register_can_do_without_its_guard(
    sqlite: Tables, register: Register, weaken: Callable[[Register], Executable]
) -> None:
    weak, table = weaken(register), register.table.name
    kind = WRITTEN_BY[table].get(register.name, OTHERWISE[table])
    hunt(sqlite, lambda each: Effect(weak, each.rows) if each.statement is register.statement else each, kind)


@pytest.mark.parametrize(
    "newer",
    [
        pytest.param(lambda *_: True, id="the last of a batch wins"),
        pytest.param(lambda *_: False, id="the first of a batch wins"),
        pytest.param(lambda one, other: one.version > other.version, id="by version alone"),
    ],
)
def test_a_batch_cannot_do_without_its_comparison(
    sqlite: Tables, monkeypatch: pytest.MonkeyPatch, newer: Callable[..., bool]
) -> None:
    monkeypatch.setattr(registers, "newer", newer)
    hunt(sqlite, lambda each: each, "member")


def test_every_column_belongs_to_one_register() -> None:
    written = sorted((each.table.name, column) for each in REGISTERS for column in each.written)
    assert written == sorted(
        (table.name, column.name)
        for table in (GROUPS, MEMBERS, CUSTOM_DATA)
        for column in table.columns
        if not column.primary_key and column.computed is None
    )
