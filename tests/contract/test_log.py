"""What every log promises, asked of each implementation (``make_log`` in conftest)."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

from bridge.errors import OffsetGone, RecordRefused
from bridge.log.base import Batch, Log, Reader, Record, StoredRecord, TopicPartition
from bridge.log.clock import wall_ms
from schemas.topics import DLQ, GROUP, RULES, USER

BEGAN = wall_ms()


def record(number: int, key: str = "g1", topic: str = GROUP, **headers: str) -> Record:
    return Record(topic, key, b"value %d" % number, {"number": str(number), **headers}, BEGAN + number)


def number_of(stored: StoredRecord) -> int:
    return int(stored.record.headers["number"])


async def starts(log: Log, *topics: str) -> dict[TopicPartition, int]:
    return {
        TopicPartition(topic, number): bounds.begin
        for topic in topics or (GROUP,)
        for number, bounds in (await log.bounds(topic)).items()
    }


async def read_all(reader: Reader, count: int, seconds: float) -> dict[TopicPartition, list[StoredRecord]]:
    """Read until ``count`` records came, by partition."""
    found: dict[TopicPartition, list[StoredRecord]] = defaultdict(list)
    async with asyncio.timeout(seconds):
        while sum(map(len, found.values())) < count:
            batch = await reader.read(100, 0.5)
            if batch is not None:
                found[batch.partition] += batch.records
    return found


async def read_everything(log: Log, count: int, seconds: float, *topics: str) -> list[StoredRecord]:
    reader = log.reader(await starts(log, *topics))
    try:
        found = await read_all(reader, count, seconds)
    finally:
        await reader.close()
    return [stored for records in found.values() for stored in records]


class Member:
    """A member of a group that knows what it owns; ``owners`` is shared by all members."""

    def __init__(self, owners: dict[TopicPartition, "Member"], next_offsets: Mapping[Any, int] = {}) -> None:
        self.owners = owners
        self.next_offsets = next_offsets
        self.log_ids: dict[TopicPartition, str] = {}
        self.conflicts: list[TopicPartition] = []

    async def assigned(self, partition: TopicPartition, log_id: str) -> int | None:
        if self.owners.get(partition, self) is not self:
            self.conflicts.append(partition)
        self.owners[partition] = self
        self.log_ids[partition] = log_id
        return self.next_offsets.get(partition)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            if self.owners.get(partition) is self:
                del self.owners[partition]

    @property
    def owned(self) -> set[TopicPartition]:
        return {partition for partition, owner in self.owners.items() if owner is self}


async def consume(log: Log, group: str, member: Member, found: list[StoredRecord]) -> None:
    """Read as a member of the group until cancelled."""
    async with log.subscribe([GROUP], group, member) as subscription:
        while True:
            batch = await subscription.read(100, 0.1)
            if batch is not None:
                found += batch.records
                await subscription.note(batch.partition, batch.next_offset)


async def reached(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_appended_is_read_back_as_it_was(log: Log, make_log: Any) -> None:
    plain = record(1, ce_id="tencent-1", text='日本語 " \\ \n')
    positions = await log.append([plain])
    [stored] = await read_everything(log, 1, make_log.seconds)
    assert stored == StoredRecord(positions[0].offset, plain)


async def test_a_tombstone_and_a_record_without_a_key_stay_what_they_are(log: Log, make_log: Any) -> None:
    tombstone = record(1, key="rule/a/1")._replace(value=None)
    keyless = record(2)._replace(key=None)
    await log.append([tombstone, keyless])
    found = await read_everything(log, 2, make_log.seconds)
    assert sorted((stored.record for stored in found), key=lambda r: r.timestamp) == [tombstone, keyless]


async def test_text_that_is_no_valid_unicode_survives(log: Log, make_log: Any) -> None:
    odd = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    sent = record(1, key=odd, name=odd)
    await log.append([sent])
    [stored] = await read_everything(log, 1, make_log.seconds)
    assert stored.record == sent


async def test_records_of_one_key_keep_the_order_of_their_appends(log: Log, make_log: Any) -> None:
    for start in range(0, 60, 6):
        await log.append([record(start + place, key=f"g{place % 3}") for place in range(6)])
    by_key = defaultdict(list)
    for stored in await read_everything(log, 60, make_log.seconds):
        by_key[stored.record.key].append(number_of(stored))
    assert by_key == {f"g{key}": list(range(key, 60, 3)) for key in range(3)}


async def test_appends_that_wait_together_each_get_their_own_growing_offset(log: Log, make_log: Any) -> None:
    answers = await asyncio.gather(
        *(log.append([record(number, key=f"g{number % 5}")]) for number in range(50))
    )
    places = [position for positions in answers for position in positions]
    assert len(set(places)) == 50
    reader = log.reader(await starts(log))
    found = await read_all(reader, 50, make_log.seconds)
    await reader.close()
    for partition, records in found.items():
        offsets = [stored.offset for stored in records]
        assert offsets == sorted(set(offsets))
        for stored in records:
            [place] = answers[number_of(stored)]
            assert place == (*partition, stored.offset)


async def test_the_bounds_show_what_was_appended(log: Log) -> None:
    before = await log.bounds(GROUP)
    [position] = await log.append([record(1)])
    after = await log.bounds(GROUP)
    assert after[position.partition].end > position.offset >= before[position.partition].end
    assert after[position.partition].begin == before[position.partition].begin


async def test_a_reader_at_the_end_is_woken_by_an_append(log: Log, make_log: Any) -> None:
    await log.append([record(1)])
    ends = {TopicPartition(GROUP, n): bounds.end for n, bounds in (await log.bounds(GROUP)).items()}
    reader = log.reader(ends)
    assert await reader.read(10, 0.2) is None
    waiting = asyncio.create_task(reader.read(10, 60.0))
    await asyncio.sleep(0)
    await log.append([record(2)])
    async with asyncio.timeout(make_log.seconds):
        batch = await waiting
    assert batch is not None
    assert [number_of(stored) for stored in batch.records] == [2]
    assert batch.next_offset == batch.end_offset
    await reader.close()


async def test_a_read_without_anything_to_read_ends_at_its_timeout(log: Log, make_log: Any) -> None:
    reader = log.reader(await starts(log))
    async with asyncio.timeout(make_log.seconds):
        assert await reader.read(10, 0.05) is None
    await reader.close()


async def test_a_batch_is_no_larger_than_asked_and_reading_goes_on_behind_it(log: Log, make_log: Any) -> None:
    await log.append([record(number) for number in range(7)])
    reader = log.reader(await starts(log))
    sizes: list[int] = []
    numbers: list[int] = []
    async with asyncio.timeout(make_log.seconds):
        while len(numbers) < 7:
            batch = await reader.read(3, 1.0)
            assert batch is not None
            sizes.append(len(batch.records))
            numbers += [number_of(stored) for stored in batch.records]
    assert max(sizes) <= 3
    assert numbers == list(range(7))
    await reader.close()


async def test_reading_begins_where_it_is_told_to(log: Log, make_log: Any) -> None:
    positions = await log.append([record(number) for number in range(5)])
    reader = log.reader({TopicPartition(GROUP, positions[3].partition): positions[3].offset})
    found = await read_all(reader, 2, make_log.seconds)
    assert [number_of(stored) for records in found.values() for stored in records] == [3, 4]
    await reader.close()


async def test_a_reader_sees_only_the_topics_it_asked_for(log: Log, make_log: Any) -> None:
    await log.append(
        [record(1), record(2, topic=USER), record(3), record(4, topic=DLQ), record(5, topic=RULES)]
    )
    assert {number_of(s) for s in await read_everything(log, 2, make_log.seconds)} == {1, 3}
    others = await read_everything(log, 3, make_log.seconds, USER, DLQ, RULES)
    assert {(s.record.topic, number_of(s)) for s in others} == {(USER, 2), (DLQ, 4), (RULES, 5)}


async def test_a_cancelled_read_loses_nothing(log: Log, make_log: Any) -> None:
    reader = log.reader(await starts(log))
    await log.append([record(number) for number in range(20)])
    numbers: list[int] = []
    async with asyncio.timeout(make_log.seconds):
        while len(numbers) < 20:
            reading = asyncio.create_task(reader.read(3, 1.0))
            await asyncio.sleep(0)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                numbers += _numbers(await reading)
            numbers += _numbers(await reader.read(3, 0.05))
    assert numbers == list(range(20))
    await reader.close()


def _numbers(batch: Batch | None) -> list[int]:
    return [] if batch is None else [number_of(stored) for stored in batch.records]


async def test_readers_do_not_disturb_each_other(log: Log, make_log: Any) -> None:
    await log.append([record(number) for number in range(3)])
    for _ in range(2):
        assert [number_of(stored) for stored in await read_everything(log, 3, make_log.seconds)] == [0, 1, 2]


async def test_two_groups_each_read_everything(log: Log, make_log: Any) -> None:
    await log.append([record(number) for number in range(5)])
    found: dict[str, list[StoredRecord]] = {"a": [], "b": []}
    tasks = [asyncio.create_task(consume(log, name, Member({}), into)) for name, into in found.items()]
    await reached(lambda: all(len(records) >= 5 for records in found.values()), make_log.seconds)
    for task in tasks:
        await ended(task)
    assert all([number_of(s) for s in records] == [0, 1, 2, 3, 4] for records in found.values())


async def test_a_partition_has_one_owner_in_a_group_and_the_next_takes_over(log: Log, make_log: Any) -> None:
    everything = set(await starts(log))
    owners: dict[TopicPartition, Member] = {}
    first, second = Member(owners), Member(owners)
    holding = asyncio.create_task(consume(log, "a", first, []))
    await reached(lambda: first.owned == everything, make_log.seconds)
    waiting = asyncio.create_task(consume(log, "a", second, []))
    await log.append([record(1)])
    await ended(holding)
    await reached(lambda: second.owned == everything, make_log.seconds)
    await ended(waiting)
    assert not first.conflicts
    assert not second.conflicts
    assert owners == {}


async def test_a_subscription_begins_where_its_assignee_says(log: Log, make_log: Any) -> None:
    positions = await log.append([record(number) for number in range(5)])
    at = {TopicPartition(GROUP, positions[3].partition): positions[3].offset}
    found: list[StoredRecord] = []
    member = Member({}, at)
    task = asyncio.create_task(consume(log, "a", member, found))
    await reached(lambda: len(found) >= 2, make_log.seconds)
    await ended(task)
    assert [number_of(stored) for stored in found] == [3, 4]
    for partition, log_id in member.log_ids.items():
        assert log_id == await log.log_id(partition)


async def test_who_leaves_and_enters_again_is_assigned_anew(log: Log, make_log: Any) -> None:
    await log.append([record(1)])
    for _ in range(2):
        found: list[StoredRecord] = []
        task = asyncio.create_task(consume(log, "a", Member({}), found))
        await reached(lambda found=found: len(found) == 1, make_log.seconds)  # type: ignore[misc]
        await ended(task)


async def test_everything_is_there_after_a_restart(make_log: Any) -> None:
    if not make_log.keeps:
        pytest.skip("a log in memory ends with its process")
    async with make_log.opened() as log:
        positions = await log.append([record(number) for number in range(5)])
        ids = {partition: await log.log_id(partition) for partition in await starts(log)}
    async with make_log.opened() as log:
        assert {partition: await log.log_id(partition) for partition in ids} == ids
        later = await log.append([record(5)])
        assert later[0].offset > positions[-1].offset
        reader = log.reader({TopicPartition(*positions[2][:2]): positions[2].offset})
        found = await read_all(reader, 4, make_log.seconds)
        assert [number_of(s) for records in found.values() for s in records] == [2, 3, 4, 5]
        await reader.close()


async def test_a_log_made_anew_is_another_log(make_log: Any) -> None:
    ids = []
    for _ in range(2):
        async with make_log.opened() as log:
            [position] = await log.append([record(1)])
            ids.append(await log.log_id(TopicPartition(GROUP, position.partition)))
        await make_log.make_anew()
    assert ids[0] != ids[1]


async def test_a_record_too_large_is_refused_and_the_log_goes_on(log: Log, make_log: Any) -> None:
    with pytest.raises(RecordRefused, match="bytes"):
        await log.append([record(1)._replace(value=b"x" * (make_log.max_record_bytes + 1))])
    await log.append([record(2)])
    assert [number_of(stored) for stored in await read_everything(log, 1, make_log.seconds)] == [2]


async def test_a_topic_nobody_knows_is_refused_by_name(log: Log) -> None:
    with pytest.raises(RecordRefused, match=r"im\.nothing\.v1.*im\.group\.v1"):
        await log.append([record(1, topic="im.nothing.v1")])
    with pytest.raises(RecordRefused, match=r"im\.nothing\.v1"):
        await log.bounds("im.nothing.v1")


async def test_an_offset_that_was_forgotten_is_a_named_incident(log: Log, make_log: Any) -> None:
    [position] = await log.append([record(1)])
    await make_log.forget(log)
    partition = TopicPartition(GROUP, position.partition)
    assert (await log.bounds(GROUP))[position.partition].begin > position.offset
    reader = log.reader({partition: position.offset})
    with pytest.raises(OffsetGone) as caught:
        async with asyncio.timeout(make_log.seconds):
            await reader.read(10, make_log.seconds)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (*partition, position.offset)
    assert caught.value.begin == (await log.bounds(GROUP))[position.partition].begin
    await reader.close()


async def test_an_offset_behind_the_end_is_a_named_incident(log: Log, make_log: Any) -> None:
    [position] = await log.append([record(1)])
    reader = log.reader({TopicPartition(GROUP, position.partition): position.offset + 1000})
    with pytest.raises(OffsetGone):
        async with asyncio.timeout(make_log.seconds):
            await reader.read(10, make_log.seconds)
    await reader.close()


async def test_an_offset_is_found_by_time(log: Log) -> None:
    positions = await log.append([record(number) for number in (0, 10, 20)])
    partition = TopicPartition(GROUP, positions[0].partition)
    for time, expected in ((-5, 0), (0, 0), (1, 1), (10, 1), (20, 2)):
        assert await log.offset_at(partition, BEGAN + time) == positions[expected].offset
    assert await log.offset_at(partition, BEGAN + 21) == (await log.bounds(GROUP))[partition.partition].end


async def test_a_timestamp_far_ahead_does_not_hide_records_from_a_search(log: Log) -> None:
    ahead = record(1)._replace(timestamp=BEGAN + 400 * 86_400_000)
    positions = await log.append([record(0), ahead, record(2)])
    partition = TopicPartition(GROUP, positions[0].partition)
    assert await log.offset_at(partition, ahead.timestamp) == positions[1].offset


async def test_a_reader_closes_promptly_while_a_read_waits(log: Log, make_log: Any) -> None:
    reader = log.reader(await starts(log))
    waiting = asyncio.create_task(reader.read(10, 60.0))
    await asyncio.sleep(0)
    async with asyncio.timeout(make_log.seconds):
        await reader.close()
        await asyncio.wait([waiting])
    assert waiting.done()
    waiting.exception()


async def test_the_log_closes_promptly_with_readers_and_members_inside(make_log: Any) -> None:
    async with make_log.opened() as log:
        reader = log.reader(await starts(log))
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(reader.read(10, 60.0))]
        member = Member({})
        tasks.append(asyncio.create_task(consume(log, "a", member, [])))
        await reached(lambda: bool(member.owned), make_log.seconds)
        async with asyncio.timeout(make_log.seconds):
            await log.close()
            await asyncio.wait(tasks)
        for task in tasks:
            task.exception()
