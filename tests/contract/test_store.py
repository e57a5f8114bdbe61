"""What every store promises, held against SQLite and PostgreSQL."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger, Text, bindparam, insert, inspect, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from bridge.errors import Fenced, ImbridgeError, StoreError, StoreRefused, StoreUnavailable
from consumers.store import checkpoints
from consumers.store.base import Claim, Effect, Move
from consumers.store.migrate import VERSION_TABLE
from consumers.store.opening import store_for
from consumers.store.sql import SqlStore
from consumers.store.tables import CHECKPOINTS, CURRENT_GROUPS, GROUPS, METADATA
from tests.consuming import COUNTER, add, commit, counted, execute, key, new_counter, opened

STORES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]
PROJECT = Path(__file__).parents[2]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    found: str = request.getfixturevalue("postgres_database")
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened_store = await opened(url)
    yield opened_store
    await opened_store.close()


async def test_a_new_consumer_has_a_claim_and_no_offset(store: SqlStore) -> None:
    claim = await store.claim(key(), "me")
    assert (claim.key, claim.next_offset, claim.owner) == (key(), None, "me")


async def test_a_commit_moves_the_checkpoint_with_its_effects(store: SqlStore) -> None:
    new_counter(store, "c")
    claim = await commit(store, await store.claim(key(), "me"), 7, add("c", 7), last_event_ms=99)
    assert claim.next_offset == 7
    assert await counted(store, "c") == 7
    (row,) = await store.checkpoints("groups")
    assert (row.key, row.next_offset, row.owner, row.last_event_ms) == (key(), 7, "me", 99)
    assert (await store.claim(key(), "next")).next_offset == 7


async def test_a_later_claim_fences_the_earlier_one(store: SqlStore) -> None:
    new_counter(store, "c")
    zombie = await store.claim(key(), "zombie")
    heir = await store.claim(key(), "heir")
    with pytest.raises(Fenced, match="heir"):
        await commit(store, zombie, 5, add("c", 5))
    assert await counted(store, "c") == 0
    await commit(store, heir, 5, add("c", 5))
    assert await counted(store, "c") == 5


async def test_the_claim_after_a_commit_is_the_one_to_use(store: SqlStore) -> None:
    first = await store.claim(key(), "me")
    await commit(store, first, 5, ())
    with pytest.raises(Fenced):
        await commit(store, first, 6, ())


async def test_a_commit_repeated_because_its_answer_was_lost_has_no_second_effect(store: SqlStore) -> None:
    new_counter(store, "c")
    claim = await store.claim(key(), "me")
    once = await commit(store, claim, 5, add("c", 5))
    assert await commit(store, claim, 5, add("c", 5)) == once
    assert await counted(store, "c") == 5


async def test_a_commit_is_all_or_nothing(store: SqlStore) -> None:
    new_counter(store, "c")
    claim = await store.claim(key(), "me")
    twice = Effect(insert(COUNTER), [{"name": "c", "n": 1}])
    with pytest.raises(StoreRefused):
        await commit(store, claim, 5, [*add("c", 5), twice])
    assert await counted(store, "c") == 0
    assert (await store.checkpoints())[0].next_offset is None
    await commit(store, claim, 5, add("c", 5))


async def test_a_commit_only_moves_forward(store: SqlStore) -> None:
    claim = await commit(store, await store.claim(key(), "me"), 5, ())
    with pytest.raises(ValueError, match="forward"):
        await commit(store, claim, 5, ())


async def three_claims(store: SqlStore) -> Sequence[Claim]:
    return [await store.claim(key(partition=number), "me") for number in (2, 0, 1)]


async def offsets(store: SqlStore) -> Sequence[int | None]:
    return [row.next_offset for row in await store.checkpoints()]


async def test_checkpoints_of_several_partitions_move_together_with_their_effects(store: SqlStore) -> None:
    new_counter(store, "c")
    moves = [Move(claim, number, 10 * number) for number, claim in enumerate(await three_claims(store), 1)]
    claims = await store.commit(moves, add("c", 6))
    assert [(each.key.partition.partition, each.next_offset) for each in claims] == [(2, 1), (0, 2), (1, 3)]
    assert [(row.next_offset, row.last_event_ms) for row in await store.checkpoints()] == [
        (2, 20),
        (3, 30),
        (1, 10),
    ]
    assert list(await store.commit(moves, add("c", 6))) == list(claims), "its answer was lost"
    assert await counted(store, "c") == 6
    await store.commit([Move(claim, 7) for claim in claims], add("c", 1))
    assert await counted(store, "c") == 7
    assert {row.last_event_ms for row in await store.checkpoints()} == {10, 20, 30}


async def test_one_checkpoint_that_is_somebody_elses_keeps_all_of_a_commit_from_being_written(
    store: SqlStore,
) -> None:
    new_counter(store, "c")
    claims = await three_claims(store)
    await store.claim(claims[1].key, "heir")
    with pytest.raises(Fenced, match="heir"):
        await store.commit([Move(claim, 5) for claim in claims], add("c", 5))
    assert await offsets(store) == [None, None, None]
    assert await counted(store, "c") == 0


async def test_a_commit_of_which_only_some_was_written_before_is_refused_whole(store: SqlStore) -> None:
    new_counter(store, "c")
    claims = await three_claims(store)
    await commit(store, claims[0], 5, ())
    with pytest.raises(Fenced, match="moved before"):
        await store.commit([Move(claim, 5) for claim in claims], add("c", 5))
    assert await offsets(store) == [None, None, 5]
    assert await counted(store, "c") == 0


async def test_a_commit_of_no_checkpoint_is_refused(store: SqlStore) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await store.commit([], ())


async def test_commits_of_the_same_checkpoints_in_another_order_wait_for_each_other(
    store: SqlStore, url: str
) -> None:
    """Were rows locked in the order of the moves, PostgreSQL would end one of the two as a deadlock."""
    new_counter(store, "c")
    other = await opened(url)
    claims = await three_claims(store)
    for offset in range(1, 30):
        moves = [Move(claim, offset) for claim in claims]
        both = store.commit(moves, add("c", 1)), other.commit(moves[::-1], add("c", 1))
        ended = await asyncio.gather(*both)
        claims = ended[0]
    assert await counted(store, "c") == 29
    await other.close()


async def test_rewinding_fences_and_sets_the_offset(store: SqlStore) -> None:
    running = await commit(store, await store.claim(key(), "me"), 9, ())
    rewound = await store.rewind(key(), 3, "operator")
    assert rewound.next_offset == 3
    with pytest.raises(Fenced):
        await commit(store, running, 10, ())
    assert (await store.claim(key(), "me")).next_offset == 3


async def test_logs_partitions_and_consumers_have_checkpoints_of_their_own(store: SqlStore) -> None:
    keys = [key(), key(log_id="kafka:1:2"), key(partition=1), key("decisions")]
    for number, each in enumerate(keys, 1):
        await commit(store, await store.claim(each, "me"), number, ())
    assert {row.key: row.next_offset for row in await store.checkpoints()} == dict(
        zip(keys, range(1, 5), strict=True)
    )
    assert [row.key for row in await store.checkpoints("decisions")] == [key("decisions")]


async def test_dropping_a_consumer_forgets_it_and_fences_its_runner(store: SqlStore) -> None:
    running = await store.claim(key(), "me")
    await store.claim(key("decisions"), "me")
    assert await store.drop("groups") == 1
    heir = await store.claim(key(), "heir")
    assert heir.next_offset is None
    with pytest.raises(Fenced):
        await commit(store, running, 5, ())
    assert [row.key.consumer for row in await store.checkpoints()] == ["decisions", "groups"]


async def test_rows_of_one_effect_are_executed_one_after_the_other(store: SqlStore) -> None:
    statement = upsert(COUNTER)
    adding = statement.on_conflict_do_update(
        index_elements=["name"], set_={"n": COUNTER.c.n + statement.excluded.n}
    )
    rows = [{"name": "c", "n": 1}, {"name": "d", "n": 10}, {"name": "c", "n": 2}]
    await commit(store, await store.claim(key(), "me"), 1, [Effect(adding, rows), Effect(adding, ())])
    assert [await counted(store, name) for name in "cd"] == [3, 10]


async def test_values_held_by_the_statement_itself_are_kept(store: SqlStore) -> None:
    statement = insert(COUNTER).values(name=bindparam("name", type_=Text), n=5)
    await commit(
        store, await store.claim(key(), "me"), 1, [Effect(statement, [{"name": "c"}, {"name": "d"}])]
    )
    assert [await counted(store, name) for name in "cd"] == [5, 5]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"name": "c", "n": "\ud800"}, id="a lone surrogate"),
        pytest.param({"name": "c", "n": 2**64}, id="a number over 64 bits"),
        pytest.param({"name": "c", "n": {"a": 1}}, id="a type no column has"),
        pytest.param({"name": "c"}, id="a column that is missing"),
        pytest.param({"name": None, "n": None}, id="a null key"),
    ],
)
async def test_rows_the_database_cannot_take_are_refused_and_nothing_is_written(
    store: SqlStore, row: dict[str, object]
) -> None:
    execute(store, text("CREATE TABLE strict_counter (name TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)"))
    strict = COUNTER.to_metadata(METADATA.__class__(), name="strict_counter")
    strict.c.n.type = BigInteger()
    claim = await store.claim(key(), "me")
    good = {**row, "name": "good", "n": 1}
    for rows in ([row], [good, row]):
        with pytest.raises(StoreRefused):
            await commit(store, claim, 1, [Effect(insert(strict), rows)])
    assert (await store.checkpoints())[0].next_offset is None
    await commit(store, claim, 1, [Effect(insert(strict), [{"name": "c", "n": 1}])])


async def test_a_reader_cannot_write(store: SqlStore) -> None:
    with pytest.raises(StoreError):
        await store.select(GROUPS.delete())


async def test_the_tables_are_those_the_program_declares(store: SqlStore) -> None:
    options = {"compare_type": True, "version_table": VERSION_TABLE, "include_name": _is_ours}
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
        views = set(inspect(connection).get_view_names())
    assert views == {"current_groups", "current_members", "current_group_custom_data"}


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    return kind != "table" or name not in ("counter", VERSION_TABLE)


async def test_opening_again_changes_nothing(store: SqlStore, url: str) -> None:
    await store.claim(key(), "me")
    await store.open()
    again = await opened(url)
    assert len(await again.checkpoints()) == 1
    await again.close()


def test_two_processes_may_open_an_empty_database_at_once(url: str) -> None:
    program = (
        "import asyncio, sys; from consumers.store.opening import store_for\n"
        "async def main():\n"
        "    store = store_for(sys.argv[1]); await store.open()\n"
        "    print('opened', await store.checkpoints()); await store.close()\n"
        "print('ready', flush=True); sys.stdin.readline(); asyncio.run(main())"
    )
    command = [sys.executable, "-c", program, url]
    started = [
        subprocess.Popen(command, cwd=PROJECT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n", timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert all("opened []" in each for each in said)
    assert sum("store.migrated" in each for each in said) == 1


async def test_tables_of_a_newer_program_are_refused_in_a_clear_sentence(store: SqlStore, url: str) -> None:
    execute(store, text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    newer = store_for(url)
    with pytest.raises(
        StoreError, match=r"revision 9999, made by a newer imbridge.*upgrade this program"
    ) as said:
        await newer.open()
    assert not said.value.retriable
    await newer.close()


async def test_a_closed_store_says_so(url: str) -> None:
    store = await opened(url)
    claim = await store.claim(key(), "me")
    await store.close()
    for work in (
        store.claim(key(), "me"),
        commit(store, claim, 1, ()),
        store.checkpoints(),
        store.select(select(CURRENT_GROUPS)),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            await work


# Fencing: schedules of two runners that claim, commit, are killed, and wake up as zombies.


class _Runner:
    """A runner reduced to what it believes: its claim, and the commit whose answer it has not seen."""

    def __init__(self, store: SqlStore, name: str, counter: str) -> None:
        self.store, self.name, self.counter = store, name, counter
        self.claim: Claim | None = None
        self.unsure: tuple[Claim, int, Sequence[Effect]] | None = None

    async def take(self, action: str, records: int) -> None:
        if action == "claim" or self.claim is None:
            self.claim, self.unsure = await self.store.claim(key(self.counter), self.name), None
            return
        offset = (self.claim.next_offset or 0) + records
        attempt = self.unsure or (
            self.claim,
            offset,
            add(self.counter, offset - (self.claim.next_offset or 0)),
        )
        if action == "killed before":
            self.claim = self.unsure = None
            return
        try:
            moved = await commit(self.store, *attempt)
        except Fenced:
            self.claim = self.unsure = None
            return
        if action == "killed after":
            self.claim = self.unsure = None
        elif action == "answer lost":
            self.unsure = attempt
        else:
            self.claim, self.unsure = moved, None


ACTIONS = ("claim", "commit", "commit", "commit", "killed before", "killed after", "answer lost")


async def violations(store: SqlStore, schedules: int, seed: int) -> int:
    """Return how many random schedules left a counter that differs from its checkpoint."""
    dice, wrong = random.Random(seed), 0
    for number in range(schedules):
        counter = f"counter-{seed}-{number}"
        new_counter(store, counter)
        runners = [_Runner(store, name, counter) for name in "ab"]
        for _ in range(10):
            if dice.random() < 0.2:
                await asyncio.gather(*(each.take("commit", dice.randint(1, 3)) for each in runners))
            else:
                await dice.choice(runners).take(dice.choice(ACTIONS), dice.randint(1, 3))
        (row,) = await store.checkpoints(counter)
        wrong += await counted(store, counter) != (row.next_offset or 0)
    return wrong


async def test_zombies_and_crashes_leave_every_effect_exactly_once(store: SqlStore) -> None:
    schedules = 100 if store._engine.dialect.name == "sqlite" else 50
    assert await violations(store, schedules, seed=1) == 0


async def test_without_the_comparison_the_same_schedules_count_twice(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfenced = or_(checkpoints.UNMOVED, CHECKPOINTS.c.epoch.is_not(None))
    monkeypatch.setattr(checkpoints, "_MOVE", checkpoints.moving(unfenced))
    assert await violations(store, 15, seed=1) > 0


async def test_two_claims_at_once_leave_one_of_them_fenced(store: SqlStore, url: str) -> None:
    other = await opened(url)
    new_counter(store, "c")
    claims = await asyncio.gather(store.claim(key(), "a"), other.claim(key(), "b"))
    commits = (
        commit(each, claim, 5, add("c", 5)) for each, claim in zip((store, other), claims, strict=True)
    )
    ends = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(end) for end in ends if isinstance(end, ImbridgeError)] == [Fenced]
    assert await counted(store, "c") == 5
    await other.close()


async def test_times_come_from_the_clock_given(url: str) -> None:
    store = await opened(url, now_ms=lambda: 1_700_000_000_123)
    await store.claim(key(), "me")
    assert (await store.checkpoints())[0].updated_ms == 1_700_000_000_123
    assert len(await store.select(select(CHECKPOINTS))) == 1
    await store.close()
