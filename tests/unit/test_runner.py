"""The runner: every record counts once, whatever fails on the way."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from bridge.backoff import Backoff
from bridge.errors import Fenced, LogUnavailable, RecordRefused, StoreError, StoreUnavailable
from bridge.log.base import Assignee, Batch, Position, Record, Subscription, TopicPartition
from bridge.log.dead_letters import PREFIX, dead_letter_id
from bridge.log.memory import MemoryLog
from bridge.telemetry import REGISTRY
from consumers.projections.base import Projection
from consumers.projections.groups import GroupsProjection
from consumers.runner import Runner
from consumers.store.base import CheckpointKey, Claim, Effect, Move
from consumers.store.sql import SqlStore
from consumers.store.tables import CURRENT_MEMBERS
from schemas.envelope import STRUCTURED_CONTENT_TYPE, Envelope
from schemas.topics import DLQ, GROUP
from tests.consuming import (
    COUNTER,
    Counting,
    add,
    commit,
    counted,
    event,
    joined,
    new_counter,
    opened,
    read_all,
    record,
    running,
    until,
)

PARTITION = TopicPartition(GROUP, 0)
Read = Callable[[int, float], Awaitable[Batch | None]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened_store = await opened(f"sqlite:///{tmp_path / 'store.db'}", lock_seconds=0.05)
    new_counter(opened_store, "seen")
    yield opened_store
    await opened_store.close()


@pytest.fixture
async def log() -> AsyncIterator[MemoryLog]:
    memory = MemoryLog(partitions=1)
    yield memory
    await memory.close()


def runner(log: MemoryLog, store: SqlStore, projection: Projection | None = None, **options: Any) -> Runner:
    options = {
        "dead_letters": log,
        "owner": "me",
        "poll_seconds": 0.01,
        "backoff": Backoff(0.001, 0.005),
        **options,
    }
    return Runner(log, store, projection or Counting(), **options)


async def checkpoint_key(log: MemoryLog, consumer: str = "counting") -> CheckpointKey:
    return CheckpointKey(consumer, await log.log_id(PARTITION), PARTITION)


async def append(log: MemoryLog, *events: Envelope) -> int:
    """Append the events and return the next offset."""
    return (await log.append([record(each) for each in events]))[-1].offset + 1


async def next_offset(store: SqlStore) -> int | None:
    (row,) = await store.checkpoints("counting")
    return row.next_offset


async def letters(log: MemoryLog) -> list[dict[str, str]]:
    """Return what the dead letters say, without the prefix."""
    found = await read_all(log, DLQ)
    return [
        {n.removeprefix(PREFIX): t for n, t in each.headers.items() if n.startswith(PREFIX)} for each in found
    ]


# Applying


async def test_what_is_appended_is_applied_and_the_checkpoint_and_the_mark_follow(
    log: MemoryLog, store: SqlStore
) -> None:
    end = await append(log, *map(joined, range(5)))
    consuming = runner(log, store, batch_records=2)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
        await consuming.reached(PARTITION, await append(log, joined(5)))
        await until(lambda: log.marks["counting", PARTITION] == end + 1)
    assert await counted(store, "seen") == 6
    assert await next_offset(store) == end + 1
    assert consuming.status().state == "ended"


async def test_the_next_runner_goes_on_where_the_last_one_stopped(log: MemoryLog, store: SqlStore) -> None:
    for number in range(3):
        consuming = runner(log, store)
        end = await append(log, joined(number))
        async with running(consuming):
            await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 3


async def test_a_consumer_without_checkpoint_starts_where_the_log_begins_now(
    log: MemoryLog, store: SqlStore
) -> None:
    end = await append(log, *map(joined, range(5)))
    log.forget(PARTITION, 2)
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 3


class AlteredLog(MemoryLog):
    """A log whose subscriptions read what ``altered`` makes of it."""

    async def altered(self, read: Read, max_records: int, timeout: float) -> Batch | None:
        raise NotImplementedError

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], group: str, assignee: Assignee
    ) -> AsyncIterator[Subscription]:
        async with super().subscribe(topics, group, assignee) as subscription:
            subscription.read = partial(self.altered, subscription.read)  # type: ignore[method-assign]
            yield subscription


class WideLog(AlteredLog):
    """A log of four partitions that can fail when it is asked for more."""

    def __init__(self, *errors: LogUnavailable) -> None:
        super().__init__(partitions=4)
        self.errors = list(errors)

    async def fill(self) -> dict[TopicPartition, int]:
        """Append until every partition holds something; return each end."""
        for number in range(40):
            await append(self, joined(number, group=f"g{number}"))
        ends = {TopicPartition(GROUP, p): bounds.end for p, bounds in (await self.bounds(GROUP)).items()}
        assert len(ends) == 4
        assert all(ends.values())
        return ends

    async def altered(self, read: Read, max_records: int, timeout: float) -> Batch | None:
        if timeout == 0 and self.errors:
            raise self.errors.pop()
        return await read(max_records, timeout)


def commits_of(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Move]]:
    """Return the list in which the moves of each commit from now on will stand."""
    commits = store.commit
    made: list[Sequence[Move]] = []

    async def listed(moves: Sequence[Move], effects: Sequence[Effect]) -> Sequence[Claim]:
        made.append(moves)
        return await commits(moves, effects)

    monkeypatch.setattr(store, "commit", listed)
    return made


async def reached(consuming: Runner, ends: dict[TopicPartition, int]) -> None:
    for partition, end in ends.items():
        await consuming.reached(partition, end)


async def test_what_stands_ready_in_all_partitions_goes_into_one_commit(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = WideLog()
    ends = await log.fill()
    made = commits_of(store, monkeypatch)
    consuming = runner(log, store)
    async with running(consuming):
        await reached(consuming, ends)
        assert {(each.partition, each.next_offset) for each in consuming.status().partitions} == {
            *ends.items()
        }
    assert [len(moves) for moves in made] == [4]
    assert {partition: log.marks["counting", partition] for partition in ends} == ends
    assert await counted(store, "seen") == 40


async def test_a_commit_holds_no_more_records_than_a_batch(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, sizes = WideLog(), list[int]()
    ends = await log.fill()
    consuming = runner(log, store, Counting(lambda each: sizes.append(len(each))), batch_records=7)
    async with running(consuming):
        await reached(consuming, ends)
    assert max(sizes) == 7
    assert sum(sizes) == await counted(store, "seen") == 40


async def test_a_commit_gathers_no_further_once_it_holds_some_mebibytes(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.gathering.BATCH_BYTES", 1)
    log = WideLog()
    ends = await log.fill()
    made = commits_of(store, monkeypatch)
    consuming = runner(log, store, linger_seconds=3600)
    async with running(consuming):
        await reached(consuming, ends)
    assert [len(moves) for moves in made] == [1, 1, 1, 1]


async def test_a_log_that_goes_away_while_more_is_looked_for_keeps_nothing_in_hand_waiting(
    store: SqlStore,
) -> None:
    log = WideLog(*(LogUnavailable("no broker"),) * 2)
    ends = await log.fill()
    consuming = runner(log, store)
    async with running(consuming):
        await reached(consuming, ends)
    assert log.errors == []
    assert await counted(store, "seen") == 40


async def test_a_poison_record_of_one_partition_keeps_no_other_partition_waiting(store: SqlStore) -> None:
    log = WideLog()
    ends = await log.fill()
    consuming = runner(log, store, Counting(refuse(6)))
    async with running(consuming):
        await reached(consuming, ends)
    (letter,) = await letters(log)
    assert letter["reason"] == "PoisonRecord: ZeroDivisionError: a bug met by one event"
    assert await counted(store, "seen") == 39


async def test_of_partitions_in_hand_the_one_that_went_to_somebody_else_is_left_out(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stolen = WideLog(), list[Move]()
    ends = await log.fill()
    consuming, commits = runner(log, store), store.commit

    async def steal_once(moves: Sequence[Move], effects: Sequence[Effect]) -> Sequence[Claim]:
        if not stolen:
            stolen.append(moves[0])
            theirs = await store.claim(moves[0].claim.key, "other")
            await consuming._assignment.revoked([theirs.key.partition])
            await commits([moves[0]._replace(claim=theirs)], add("seen", moves[0].next_offset))
        return await commits(moves, effects)

    monkeypatch.setattr(store, "commit", steal_once)
    async with running(consuming):
        await until(lambda: bool(stolen))
        gone = stolen[0].claim.key.partition
        await reached(consuming, {partition: end for partition, end in ends.items() if partition != gone})
        assert {each.partition for each in consuming.status().partitions} == ends.keys() - {gone}
    assert await counted(store, "seen") == 40


async def test_where_all_is_read_records_gather_before_they_are_read_again(
    log: MemoryLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = commits_of(store, monkeypatch)
    consuming = runner(log, store, linger_seconds=0.5)
    async with running(consuming):
        await consuming.reached(PARTITION, await append(log, joined(0)))
        for number in range(1, 20):
            end = await append(log, joined(number))
            await asyncio.sleep(0)
        assert len(made) == 1
        await consuming.reached(PARTITION, end)
    assert [moves[0].next_offset for moves in made] == [1, 20]


def records(outcome: str) -> float:
    labels = {"consumer": "counting", "topic": GROUP, "outcome": outcome}
    return REGISTRY.get_sample_value("imbridge_consumer_records_total", labels) or 0


async def test_events_of_other_types_are_passed_over_unread_and_counted(
    log: MemoryLog, store: SqlStore
) -> None:
    before = records("applied"), records("ignored")
    other = event("group.painted", {"group_id": "g1"})
    unread = record(other)._replace(value=b"not even JSON")
    await log.append(
        [unread, Record(GROUP, "g1", other.structured(), {"content-type": STRUCTURED_CONTENT_TYPE}, 1)]
    )
    end = await append(log, joined(1))
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 1
    assert (records("applied") - before[0], records("ignored") - before[1]) == (1, 2)
    assert await letters(log) == []


async def test_events_in_structured_mode_are_applied_too(log: MemoryLog, store: SqlStore) -> None:
    structured = Record(GROUP, "g1", joined(1).structured(), {"content-type": STRUCTURED_CONTENT_TYPE}, 1)
    (position,) = await log.append([structured])
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, position.offset + 1)
    assert await counted(store, "seen") == 1


# Poison


def refuse(number: int) -> Callable[[Sequence[Envelope]], None]:
    def look(envelopes: Sequence[Envelope]) -> None:
        if any(each.id == f"e{number}" for each in envelopes):
            raise ZeroDivisionError("a bug met by one event")

    return look


async def test_a_record_the_projection_cannot_apply_is_parked_alone_and_the_others_are_applied(
    log: MemoryLog, store: SqlStore
) -> None:
    end = await append(log, *map(joined, range(10)))
    consuming = runner(log, store, Counting(refuse(6)), now_ms=lambda: 1_700_000_000_000)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 9
    (letter,) = await letters(log)
    log_id = await log.log_id(PARTITION)
    assert letter == {
        "id": dead_letter_id("counting", log_id, Position(*PARTITION, 6)),
        "consumer": "counting",
        "log": log_id,
        "topic": GROUP,
        "partition": "0",
        "offset": "6",
        "timestamp": "7",
        "reason": "PoisonRecord: ZeroDivisionError: a bug met by one event",
        "attempts": "4",
        "disposition": "poison",
    }
    (parked,) = await read_all(log, DLQ)
    original = record(joined(6))
    assert (parked.key, parked.value) == (original.key, original.value)
    assert original.headers.items() <= parked.headers.items()
    assert consuming.status().parked == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(record(joined(1))._replace(value=b"{"), id="no JSON"),
        pytest.param(record(joined(1))._replace(value=None), id="a tombstone"),
        pytest.param(record(joined(1))._replace(headers={}), id="no attributes"),
    ],
)
async def test_what_is_no_envelope_is_parked_as_it_came(
    log: MemoryLog, store: SqlStore, broken: Record
) -> None:
    await log.append([record(joined(0)), broken, record(joined(2))])
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, 3)
    (parked,) = await read_all(log, DLQ)
    assert (parked.value, parked.headers[f"{PREFIX}offset"]) == (broken.value, "1")
    assert await counted(store, "seen") == 2


async def test_rows_the_database_refuses_park_their_record(log: MemoryLog, store: SqlStore) -> None:
    class Inserting(Counting):
        def effects(self, envelopes: Sequence[Envelope]) -> Sequence[Effect]:
            rows = [{"name": each.id, "n": 1} for each in envelopes]
            return [*super().effects(envelopes), Effect(insert(COUNTER), rows)]

    new_counter(store, "e3")
    end = await append(log, *map(joined, range(6)))
    consuming = runner(log, store, Inserting())
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 5
    assert [(each["offset"], each["reason"].split(":")[0]) for each in await letters(log)] == [
        ("3", "StoreRefused")
    ]


class StubbornLog(MemoryLog):
    """A log whose appends to the dead letters fail for a while."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(partitions=1)
        self.errors = list(errors)

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        if records[0].topic == DLQ and self.errors:
            raise self.errors.pop(0)
        return await super().append(records)


async def test_the_checkpoint_waits_until_the_dead_letter_is_durable(store: SqlStore) -> None:
    log = StubbornLog(*(LogUnavailable("no room"),) * 3)
    end = await append(log, *map(joined, range(3)))
    consuming = runner(log, store, Counting(refuse(0)))
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert log.errors == []
    assert [each["offset"] for each in await letters(log)] == ["0"]
    assert await counted(store, "seen") == 2


async def test_a_dead_letter_that_is_refused_stops_the_consumer_before_the_record(store: SqlStore) -> None:
    log = StubbornLog(RecordRefused("too large"))
    await append(log, *map(joined, range(3)))
    consuming = runner(log, store, Counting(refuse(1)))
    async with running(consuming):
        await until(lambda: consuming.status().state == "stopped")
        assert consuming.status().reason == "too large"
    assert (await next_offset(store), await counted(store, "seen")) == (1, 1)


async def test_too_many_parked_records_stop_the_consumer_and_are_left_to_its_next_start(
    log: MemoryLog, store: SqlStore
) -> None:
    def always(_: Sequence[Envelope]) -> None:
        raise KeyError("a bug met by all")

    end = await append(log, *map(joined, range(10)))
    consuming = runner(log, store, Counting(always), max_parked_per_minute=3)
    with capture_logs() as lines:
        async with running(consuming) as task:
            await until(lambda: consuming.status().state == "stopped")
            assert "more than 3 records within a minute" in (consuming.status().reason or "")
            assert not task.done()
    assert [line["error"] for line in lines if line["event"] == "consumer.stopped"] == ["TooManyParked"]
    assert (await next_offset(store), len(await letters(log))) == (3, 3)
    mended = runner(log, store)
    async with running(mended):
        await mended.reached(PARTITION, end)
    assert await counted(store, "seen") == 7


# Failures that pass


class Flaky:
    """Makes calls of a store fail: before they are done, or after, as when the answer is lost."""

    def __init__(self, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self._store, self._monkeypatch = store, monkeypatch
        self.calls = 0

    def fail(self, name: str, times: int, *, after: bool = False) -> None:
        works = getattr(self._store, name)

        async def failing(*args: Any, **options: Any) -> Any:
            self.calls += 1
            failed = self.calls <= times
            if failed and not after:
                raise StoreUnavailable("the database is away")
            result = await works(*args, **options)
            if failed:
                raise StoreUnavailable("the answer was lost")
            return result

        self._monkeypatch.setattr(self._store, name, failing)


@pytest.fixture
def flaky(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> Flaky:
    return Flaky(store, monkeypatch)


@pytest.mark.parametrize("name", ["open", "claim", "commit"])
async def test_a_store_that_is_away_is_waited_for_with_one_line_for_each_change(
    log: MemoryLog, store: SqlStore, flaky: Flaky, name: str
) -> None:
    flaky.fail(name, times=5)
    end = await append(log, *map(joined, range(3)))
    consuming = runner(log, store)
    with capture_logs() as lines:
        async with running(consuming):
            await consuming.reached(PARTITION, end)
            assert consuming.status().state == "running"
    changes = [line["event"] for line in lines if line["event"].startswith("consumer.")]
    assert changes == ["consumer.interrupted", "consumer.running"]
    assert await counted(store, "seen") == 3


async def test_a_commit_whose_answer_was_lost_counts_once(
    log: MemoryLog, store: SqlStore, flaky: Flaky
) -> None:
    flaky.fail("commit", times=3, after=True)
    end = await append(log, *map(joined, range(3)))
    consuming = runner(log, store, batch_records=2)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 3


async def test_an_unreachable_log_is_waited_for(
    log: MemoryLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe, failures = log.subscribe, [LogUnavailable("no broker")] * 3

    def failing(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return subscribe(*args)

    monkeypatch.setattr(log, "subscribe", failing)
    end = await append(log, joined(0))
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert failures == []


async def test_tables_of_a_newer_program_stop_the_consumer(
    log: MemoryLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse_to_open() -> None:
        raise StoreError("made by a newer imbridge")

    monkeypatch.setattr(store, "open", refuse_to_open)
    consuming = runner(log, store)
    async with running(consuming):
        await until(lambda: consuming.status().state == "stopped")
    assert consuming.status().state == "ended"


async def test_a_fault_of_the_runner_itself_ends_it(
    log: MemoryLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise AssertionError("a bug of ours")

    monkeypatch.setattr(store, "claim", broken)
    with pytest.raises(AssertionError, match="a bug of ours"):
        await runner(log, store).run()


# Fencing


async def test_rewinding_fences_a_running_runner_which_goes_on_from_there(
    log: MemoryLog, store: SqlStore
) -> None:
    end = await append(log, *map(joined, range(5)))
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
        await store.rewind(await checkpoint_key(log), 2, "operator")
        await consuming.reached(PARTITION, await append(log, joined(5)))
    assert await counted(store, "seen") == 5 + 4
    fenced = REGISTRY.get_sample_value("imbridge_consumer_fenced_total", {"consumer": "counting"})
    assert fenced


async def test_a_runner_with_nothing_to_do_notices_that_it_was_rewound(
    log: MemoryLog, store: SqlStore
) -> None:
    end = await append(log, *map(joined, range(5)))
    consuming = runner(log, store, idle_checkpoint_seconds=0.02)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
        await store.rewind(await checkpoint_key(log), 2, "operator")
        async with asyncio.timeout(10):
            while await counted(store, "seen") < 5 + 3:  # noqa: ASYNC110 - the store does not signal
                await asyncio.sleep(0.01)
    assert await counted(store, "seen") == 5 + 3
    assert await next_offset(store) == end


async def test_a_dropped_consumer_starts_anew(log: MemoryLog, store: SqlStore) -> None:
    end = await append(log, *map(joined, range(5)))
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, end)
        await store.drop("counting")
        await consuming.reached(PARTITION, await append(log, joined(5)))
    assert await counted(store, "seen") == 5 + 6


async def test_a_batch_in_hand_is_dropped_when_its_partition_went_to_somebody_else(
    log: MemoryLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one commits the batch meanwhile: were it applied here as well, it would count twice."""
    consuming, commits, stolen = runner(log, store), store.commit, asyncio.Event()

    async def steal_once(moves: Sequence[Move], effects: Sequence[Effect]) -> Sequence[Claim]:
        if not stolen.is_set():
            stolen.set()
            (move,) = moves
            await consuming._assignment.revoked([PARTITION])
            theirs = move._replace(claim=await store.claim(move.claim.key, "other"))
            (other,) = await commits([theirs], effects)
            await consuming._assignment.assigned(PARTITION, move.claim.key.log_id)
            assert other.next_offset == 3
        return await commits(moves, effects)

    monkeypatch.setattr(store, "commit", steal_once)
    await append(log, *map(joined, range(3)))
    async with running(consuming):
        await stolen.wait()
        await consuming.reached(PARTITION, await append(log, joined(3)))
    assert await counted(store, "seen") == 4


async def test_of_two_runners_one_works_and_the_other_takes_over(log: MemoryLog, store: SqlStore) -> None:
    first, second = runner(log, store), runner(log, store, owner="heir")
    async with running(second), running(first):
        working, waiting = first, second
        end = await append(log, *map(joined, range(3)))
        await until(lambda: bool(first.status().partitions or second.status().partitions))
        if second.status().partitions:
            working, waiting = second, first
        await working.reached(PARTITION, end)
        assert waiting.status().partitions == ()
        working.stop()
        await waiting.reached(PARTITION, await append(log, joined(3)))
    assert await counted(store, "seen") == 4


async def test_a_runner_that_waits_for_its_turn_can_be_stopped(log: MemoryLog, store: SqlStore) -> None:
    first, second = runner(log, store), runner(log, store)
    async with running(first):
        await until(lambda: bool(first.status().partitions))
        async with running(second):
            await until(lambda: second._entering is not None)
        assert second.status().state == "ended"


async def test_moving_to_another_log_starts_at_its_beginning_and_the_tables_converge(
    log: MemoryLog, store: SqlStore
) -> None:
    """As from embedded to Kafka: the relay carries everything over, in another order between partitions."""
    events = [joined(number, user=f"u{number % 3}") for number in range(6)]
    events += [
        event("group.member.left", {"group_id": "g1", "members": [{"user_id": "u1"}]}, 99 << 16, "left")
    ]
    end = await append(log, *events)
    consuming = runner(log, store, GroupsProjection())
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    before = await store.select(select(CURRENT_MEMBERS))
    kafka = MemoryLog(partitions=1)
    end = await append(kafka, *events[3:], *events[:3], joined(9, user="u9"))
    moved = runner(kafka, store, GroupsProjection())
    async with running(moved):
        await moved.reached(PARTITION, end)
    after = await store.select(select(CURRENT_MEMBERS))
    assert [row["user_id"] for row in before] == ["u0", "u2"]
    assert [row for row in after if row["user_id"] != "u9"] == before
    assert len(after) == 3
    assert len(await store.checkpoints("groups")) == 2 + 2  # for each log, the groups and the decisions


# Gaps


async def test_a_gap_stops_the_consumer_with_its_bounds(log: MemoryLog, store: SqlStore) -> None:
    await append(log, *map(joined, range(5)))
    await store.rewind(await checkpoint_key(log), 1, "test")
    log.forget(PARTITION, 3)
    consuming = runner(log, store)
    async with running(consuming):
        await until(lambda: consuming.status().state == "stopped")
        assert "holds offsets 3 to 5, asked for 1" in (consuming.status().reason or "")
    assert await next_offset(store) == 1


@pytest.mark.parametrize("checkpoint", [1, 100])
async def test_a_gap_that_is_skipped_is_recorded_and_reading_goes_on_where_the_log_begins(
    log: MemoryLog, store: SqlStore, checkpoint: int
) -> None:
    end = await append(log, *map(joined, range(5)))
    await store.rewind(await checkpoint_key(log), checkpoint, "test")
    log.forget(PARTITION, 3)
    consuming = runner(log, store, on_gap="skip")
    async with running(consuming):
        await consuming.reached(PARTITION, end)
    assert await counted(store, "seen") == 2
    (letter,) = await letters(log)
    assert (letter["disposition"], letter["offset"]) == ("gap", str(checkpoint))
    assert f"holds offsets 3 to 5, asked for {checkpoint}" in letter["reason"]


# Stretches that hold nothing for this consumer


class PassingLog(AlteredLog):
    """A log whose partition says how far it was read without a record in it, as a journal of other topics."""

    def __init__(self, *progress: int) -> None:
        super().__init__(partitions=1)
        self.progress = deque(progress)

    async def altered(self, read: Read, max_records: int, timeout: float) -> Batch | None:
        if self.progress:
            offset = self.progress.popleft()
            return Batch(PARTITION, (), offset, offset)
        return await read(max_records, timeout)


@pytest.mark.parametrize(("seconds", "expected"), [(3600, [30]), (0, [10, 20, 30])])
async def test_the_checkpoint_passes_them_now_and_then_and_when_stopping(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: list[int]
) -> None:
    log = PassingLog(10, 20, 30)
    made = commits_of(store, monkeypatch)
    consuming = runner(log, store, idle_checkpoint_seconds=seconds)
    async with running(consuming):
        await consuming.reached(PARTITION, 30)
        assert consuming.status().lag_records == 0
    assert [move.next_offset for moves in made for move in moves] == expected
    assert log.marks["counting", PARTITION] == 30


# Stopping, measuring


async def test_an_orderly_stop_finishes_the_batch_in_hand(log: MemoryLog, store: SqlStore) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(_: Sequence[Envelope]) -> None:
        entered.set()
        assert go_on.wait(10)

    end = await append(log, *map(joined, range(3)))
    consuming = runner(log, store, Counting(hold))
    async with running(consuming):
        await until(entered.is_set)
        consuming.stop()
        go_on.set()
    assert await next_offset(store) == end


async def test_a_stop_does_not_wait_for_a_store_that_is_away(
    log: MemoryLog, store: SqlStore, flaky: Flaky
) -> None:
    flaky.fail("commit", times=1_000_000)
    await append(log, joined(0))
    consuming = runner(log, store, backoff=Backoff(60, 60))
    async with running(consuming):
        await until(lambda: consuming.status().state == "retrying")
    assert await counted(store, "seen") == 0


async def test_cancelling_is_the_hard_stop(log: MemoryLog, store: SqlStore) -> None:
    consuming = runner(log, store)
    task = asyncio.create_task(consuming.run())
    await until(lambda: bool(consuming.status().partitions))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert consuming.status().partitions == ()


async def test_status_tells_the_lag_in_records_and_seconds_while_a_batch_is_in_hand(
    log: MemoryLog, store: SqlStore
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(_: Sequence[Envelope]) -> None:
        entered.set()
        assert go_on.wait(10)

    await append(log, joined(0), joined(1), joined(2))
    consuming = runner(log, store, Counting(hold), batch_records=2, now_ms=lambda: 5_001)
    async with running(consuming):
        await until(entered.is_set)
        (partition,) = consuming.status().partitions
        assert (partition.partition, partition.next_offset, partition.end_offset) == (PARTITION, None, 3)
        assert (partition.lag_records, partition.lag_seconds) == (3, 5.0)
        assert (consuming.status().lag_records, consuming.status().lag_seconds) == (3, 5.0)
        labels = {"consumer": "counting", "topic": GROUP, "partition": "0"}
        assert REGISTRY.get_sample_value("imbridge_consumer_lag_records", labels) == 3
        go_on.set()
        await consuming.reached(PARTITION, 3)
        assert (consuming.status().lag_records, consuming.status().lag_seconds) == (0, 0.0)
    assert REGISTRY.get_sample_value("imbridge_consumer_lag_records", labels) is None


async def test_fenced_is_what_a_zombie_meets(log: MemoryLog, store: SqlStore) -> None:
    claim = await store.claim(await checkpoint_key(log), "zombie")
    consuming = runner(log, store)
    async with running(consuming):
        await consuming.reached(PARTITION, await append(log, joined(0)))
        with pytest.raises(Fenced):
            await commit(store, claim, 1, add("seen", 1))
    assert await counted(store, "seen") == 1
