"""The relay over a journal and a target in memory: order, refusals, retries, marks, the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

import pytest
from structlog.testing import capture_logs

from bridge.errors import JournalFull, LogLocked, LogUnavailable, OffsetGone, RecordRefused
from bridge.log.base import Batch, Bounds, Position, Reader, Record, StoredRecord, TopicPartition
from bridge.relay import Relay
from bridge.telemetry import REGISTRY
from schemas.topics import DLQ, GROUP

SECONDS = 10


def record(number: int, size: int = 10, key: str = "g1") -> Record:
    return Record(GROUP, key, str(number).encode().ljust(size, b"."), {"ce_id": str(number)}, 1_000 + number)


def ids(records: Sequence[Record]) -> list[int]:
    return [int(record.headers["ce_id"]) for record in records]


def first_occurrences(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


class Journal:
    """A journal in memory, as a relay sees it."""

    number = 7
    log_id = "journal:test"

    def __init__(self, count: int = 0, begin: int = 0) -> None:
        self.records = [record(number) for number in range(count)]
        self.begin = begin
        self.marked: int | None = None
        self.marks: list[int] = []
        self.locked = False
        self.mark_trouble: list[Exception] = []
        self.grown = asyncio.Event()
        self.read_seconds = 0.0

    def add(self, *records: Record) -> None:
        self.records += records
        self.grown.set()

    def lock(self) -> AbstractContextManager[object]:
        if self.locked:
            raise LogLocked("held by process 1")
        self.locked = True
        return self._held()

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.locked = False

    def mark(self) -> int | None:
        return self.marked

    def set_mark(self, next_offset: int) -> None:
        if self.mark_trouble:
            raise self.mark_trouble.pop()
        self.marked = next_offset
        self.marks.append(next_offset)

    def bounds(self) -> Bounds:
        return Bounds(self.begin, len(self.records))

    def end(self) -> int:
        return len(self.records)

    def reader(self, start: int) -> Reader:
        return JournalReader(self, start)


class JournalReader:
    def __init__(self, journal: Journal, start: int) -> None:
        self.journal, self.next = journal, start

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        held = self.journal.bounds()
        if not held.begin <= self.next <= held.end:
            raise OffsetGone("", 7, self.next, *held)
        if self.next == held.end:
            self.journal.grown.clear()
            try:
                await asyncio.wait_for(self.journal.grown.wait(), timeout)
            except TimeoutError:
                return None
        await asyncio.sleep(self.journal.read_seconds)
        found = list(enumerate(self.journal.records))[self.next : self.next + max_records]
        self.next += len(found)
        stored = [StoredRecord(offset, record) for offset, record in found]
        return Batch(TopicPartition("", 7), stored, self.next, len(self.journal.records))

    async def close(self) -> None: ...


class Target:
    """A log in memory that can be away, refuse by size, and lose what was appended with an answer."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self.records: list[Record] = []
        self.trouble: list[Exception] = []
        self.trouble_after: list[Exception] = []
        self.appends: list[int] = []
        self.away = False

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        await asyncio.sleep(0)
        self.appends.append(len(records))
        if self.away:
            raise LogUnavailable("nobody there")
        if self.trouble:
            raise self.trouble.pop()
        for record in records:
            if len(record.value or b"") > self.limit:
                raise RecordRefused(f"larger than {self.limit}")
            self.records.append(record)
        if self.trouble_after:
            raise self.trouble_after.pop()
        return [Position(record.topic, 0, 0) for record in records]


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(relay.run())
    try:
        yield task
        relay.stop()
        async with asyncio.timeout(SECONDS):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 anything may change it
            await asyncio.sleep(0.005)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"imbridge_{name}", labels) or 0.0


async def test_everything_arrives_in_order_and_the_mark_follows() -> None:
    journal, target = Journal(25), Target()
    async with running(Relay(journal, target, Target(), batch_records=10)):
        await until(lambda: journal.marked == 25)
        journal.add(record(25), record(26))
        await until(lambda: journal.marked == 27)
    assert ids(target.records) == list(range(27))
    assert journal.marks == [10, 20, 25, 27]


async def test_the_mark_moves_only_behind_what_stands_in_the_target() -> None:
    journal, target = Journal(5), Target()
    target.away = True
    async with running(Relay(journal, target, Target())):
        await until(lambda: len(target.appends) >= 2)
        assert journal.marked is None
        target.away = False
        await until(lambda: journal.marked == 5)
    assert ids(target.records) == list(range(5))


async def test_a_restart_goes_on_at_the_mark() -> None:
    journal, target = Journal(10), Target()
    journal.marked = 4
    async with running(Relay(journal, target, Target())):
        await until(lambda: journal.marked == 10)
    assert ids(target.records) == list(range(4, 10))


async def test_every_relayed_record_names_the_journal_that_fixed_its_order() -> None:
    journal, target = Journal(2), Target()
    async with running(Relay(journal, target, Target())):
        await until(lambda: len(target.records) == 2)
    expected = [{**record.headers, "im-journal": journal.log_id} for record in journal.records]
    assert [record.headers for record in target.records] == expected


async def test_an_answer_that_was_lost_repeats_records_and_loses_none() -> None:
    journal, target = Journal(10), Target()
    target.trouble_after = [LogUnavailable("no answer in time")]
    async with running(Relay(journal, target, Target(), batch_records=6)):
        await until(lambda: journal.marked == 10)
    assert ids(target.records) == [*range(6), *range(6), *range(6, 10)]


async def test_a_refused_record_is_set_aside_and_the_others_go_on_in_order() -> None:
    journal, target, park = Journal(), Target(limit=100), Target()
    journal.add(*(record(number, size=500 if number in {3, 9} else 10) for number in range(12)))
    before = counted("dead_letters_total", consumer="relay", disposition="refused")
    with capture_logs() as said:
        async with running(Relay(journal, target, park)):
            await until(lambda: journal.marked == 12)
    assert first_occurrences(ids(target.records)) == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]
    assert ids(park.records) == [3, 9]
    letter = park.records[0]
    assert letter.topic == DLQ
    assert letter.value == journal.records[3].value
    headers = {
        name: letter.headers[f"im-dlq-{name}"] for name in ("consumer", "log", "topic", "offset", "reason")
    }
    assert headers == {
        "consumer": "relay",
        "log": "journal:test",
        "topic": GROUP,
        "offset": "3",
        "reason": "larger than 100",
    }
    assert counted("dead_letters_total", consumer="relay", disposition="refused") == before + 2
    parked = [entry for entry in said if entry["event"] == "record.parked"]
    assert [(entry["id"], entry["offset"]) for entry in parked] == [("3", 3), ("9", 9)]


async def test_what_cannot_be_set_aside_is_neither_skipped_nor_lost() -> None:
    journal, target, park = Journal(), Target(limit=100), Target()
    journal.add(record(0), record(1, size=500), record(2))
    park.trouble = [JournalFull("no room"), LogUnavailable("locked")]
    async with running(relay := Relay(journal, target, park)):
        await until(lambda: relay.status().state == "stalled")
        assert "cannot be set aside: locked" in relay.status().reason
        assert journal.marked is None
        await until(lambda: journal.marked == 3)
        assert relay.status().state == "relaying"
    assert ids(park.records) == [1]
    assert first_occurrences(ids(target.records)) == [0, 2]


async def test_a_refused_record_is_relayed_when_the_target_takes_it_after_all() -> None:
    journal, target, park = Journal(), Target(limit=100), Target()
    journal.add(record(0, size=500))
    park.away = True
    async with running(Relay(journal, target, park)):
        await until(lambda: park.appends)
        target.limit = 1000
        await until(lambda: journal.marked == 1)
    assert ids(target.records) == [0]


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends() -> None:
    journal, target = Journal(3), Target()
    target.away = True
    with capture_logs() as said:
        async with running(relay := Relay(journal, target, Target(), now_ms=lambda: 61_000)):
            await until(lambda: len(target.appends) >= 4)
            status = relay.status()
            assert (status.state, status.reason) == ("stalled", "nobody there")
            assert (status.lag_records, status.lag_seconds) == (3, 60.0)
            assert counted("relay_lag_records", journal="7") == 3
            assert counted("relay_lag_seconds", journal="7") == 60
            target.away = False
            await until(lambda: journal.marked == 3)
    assert [entry["event"] for entry in said] == [
        "relay.resumed",
        "relay.stalled",
        "relay.resumed",
        "relay.stopped",
    ]
    assert counted("relay_lag_records", journal="7") == 0
    assert counted("relay_lag_seconds", journal="7") == 0


async def test_between_two_batches_of_a_backlog_it_is_as_far_behind_as_before() -> None:
    journal, target = Journal(100), Target()
    journal.read_seconds = 0.01
    seen: list[tuple[int, float]] = []
    relay = Relay(journal, target, Target(), batch_records=10, now_ms=lambda: 61_000)

    async with running(relay), asyncio.timeout(SECONDS):
        while journal.marked != 100:
            await asyncio.sleep(0)
            if journal.marked:
                seen.append((relay.status().lag_records, relay.status().lag_seconds))
    assert len({records for records, _ in seen}) >= 5
    for records, seconds in seen:
        oldest_ms = 1_000 + 100 - records
        assert (61_000 - oldest_ms) / 1000 <= seconds <= 60.0 if records else seconds == 0.0


async def test_the_first_record_after_a_long_rest_is_not_behind_for_the_length_of_the_rest() -> None:
    journal, target = Journal(1), Target()
    now = 61_000
    reads: list[int] = []

    def now_ms() -> int:
        reads.append(now)
        return now

    relay = Relay(journal, target, Target(), now_ms=now_ms)
    async with running(relay):
        await until(lambda: journal.marked == 1)
        now = 3_661_000
        await until(lambda: now in reads)  # it looked once more and found nothing
        target.away = True
        journal.records.append(record(1))  # and has not read it yet
        assert (relay.status().lag_records, relay.status().lag_seconds) == (1, 0.0)
        target.away = False
        journal.grown.set()


async def test_a_mark_that_cannot_be_moved_stops_nothing() -> None:
    journal, target = Journal(10), Target()
    journal.mark_trouble = [LogUnavailable("read-only disk")]
    async with running(Relay(journal, target, Target(), batch_records=5)):
        await until(lambda: journal.marked == 10)
    assert ids(target.records) == list(range(10))


async def test_stopping_relays_what_the_journal_holds() -> None:
    journal, target = Journal(50), Target()
    relay = Relay(journal, target, Target(), batch_records=5)
    relay_task = asyncio.create_task(relay.run())
    await until(lambda: target.records)
    relay.stop()
    await relay_task
    assert ids(target.records) == list(range(50))
    assert journal.marked == 50
    assert relay.status().state == "stopped"
    assert not journal.locked


@pytest.mark.parametrize("hangs", [False, True])
async def test_stopping_waits_no_longer_than_that_for_a_target_that_is_away(hangs: bool) -> None:
    class Hanging(Target):
        async def append(self, records: Sequence[Record]) -> Sequence[Position]:
            self.appends.append(len(records))
            await asyncio.Event().wait()
            raise AssertionError

    journal, target = Journal(8), Hanging() if hangs else Target()
    target.away = True
    relay = Relay(journal, target, Target(), drain_seconds=0.05)
    with capture_logs() as said:
        async with running(relay):
            await until(lambda: target.appends)
    assert said[-1] == {
        "event": "relay.stopped",
        "journal": 7,
        "left": 8,
        "log_level": "warning",
        "next_offset": 0,
        "part": "relay",
    }
    assert journal.marked is None


async def test_a_second_relay_waits_and_takes_over_at_the_mark() -> None:
    journal, target = Journal(4), Target()
    second = Relay(journal, target, Target())
    async with running(Relay(journal, target, Target())):
        await until(lambda: journal.marked == 4)
        task = asyncio.create_task(second.run())
        await until(lambda: second.status().reason == "held by process 1")
        assert (second.status().state, second.status().lag_records) == ("waiting", 0)
    journal.add(record(4))
    await until(lambda: journal.marked == 5)
    second.stop()
    await task
    assert ids(target.records) == list(range(5))


async def test_a_relay_that_waits_can_be_stopped() -> None:
    journal = Journal()
    journal.locked = True
    async with running(Relay(journal, Target(), Target())):
        pass


@pytest.mark.parametrize(("mark", "expected"), [(2, [5, 6, 7, 8, 9]), (30, [])])
async def test_a_mark_outside_the_journal_is_an_incident_and_not_the_end(
    mark: int, expected: list[int]
) -> None:
    journal, target = Journal(10, begin=5), Target()
    journal.marked = mark
    with capture_logs() as said:
        async with running(Relay(journal, target, Target())):
            await until(lambda: journal.marked == 10)
            journal.add(record(10))
            await until(lambda: journal.marked == 11)
    assert ids(target.records) == [*expected, 10]
    (gap,) = [entry for entry in said if entry["event"] == "relay.gap_passed"]
    assert gap["lost"] == max(0, 5 - mark)


async def test_an_append_is_bounded_in_bytes() -> None:
    journal, target = Journal(), Target()
    journal.add(*(record(number, size=400) for number in range(10)))
    async with running(Relay(journal, target, Target(), batch_bytes=1000)):
        await until(lambda: journal.marked == 10)
    assert target.appends == [2, 2, 2, 2, 2]


async def test_a_cancelled_relay_gives_the_journal_back() -> None:
    journal, target = Journal(3), Target()
    target.away = True
    task = asyncio.create_task(Relay(journal, target, Target()).run())
    await until(lambda: target.appends)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not journal.locked


async def test_a_bug_ends_the_relay_instead_of_being_retried() -> None:
    journal, target = Journal(3), Target()
    target.trouble = [KeyError("typo")]
    with pytest.raises(KeyError):
        await Relay(journal, target, Target()).run()
    assert not journal.locked


async def test_of_a_backlog_the_next_batch_is_read_while_the_target_takes_one() -> None:
    journal, target, takes = Journal(30), Target(), asyncio.Event()

    class Slow(Target):
        async def append(self, records: Sequence[Record]) -> Sequence[Position]:
            await takes.wait()
            return await target.append(records)

    reads: list[int] = []

    class Watched(JournalReader):
        async def read(self, max_records: int, timeout: float) -> Batch | None:
            batch = await super().read(max_records, timeout)
            reads.append(self.next)
            return batch

    journal.reader = lambda start: Watched(journal, start)  # type: ignore[method-assign]
    async with running(Relay(journal, Slow(), Target(), batch_records=10)):
        await until(lambda: len(reads) == 2)
        assert journal.marked is None
        takes.set()
        await until(lambda: journal.marked == 30)
    assert reads[:3] == [10, 20, 30]
    assert ids(target.records) == list(range(30))


async def test_an_error_of_reading_ahead_comes_after_what_was_read_before_it() -> None:
    journal, target = Journal(30), Target()
    trouble: list[Exception] = [LogUnavailable("the disk stumbled")]

    class Stumbling(JournalReader):
        async def read(self, max_records: int, timeout: float) -> Batch | None:
            if self.next == 10 and trouble:
                raise trouble.pop()
            return await super().read(max_records, timeout)

    journal.reader = lambda start: Stumbling(journal, start)  # type: ignore[method-assign]
    with capture_logs() as said:
        async with running(Relay(journal, target, Target(), batch_records=10)):
            await until(lambda: journal.marked == 30)
    assert not trouble
    assert journal.marks == [10, 20, 30]
    assert ids(target.records) == list(range(30))
    assert [entry["reason"] for entry in said if entry["event"] == "relay.stalled"] == ["the disk stumbled"]
