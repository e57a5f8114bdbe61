"""The embedded log beyond the contract: several journals, control, marks, other processes' records."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.errors import LogUnavailable, OffsetGone, RecordRefused
from bridge.log.base import Record, Subscription, TopicPartition
from bridge.log.embedded import EmbeddedLog
from bridge.log.segments import ControlLog, LogView, disk, list_marks, recovery
from bridge.log.segments.format import SEGMENT_BYTES
from bridge.log.segments.layout import control_directory, segment_path
from schemas.topics import DLQ, GROUP, RULES, USER
from tests.segment_log import BEGAN, SECONDS, SEGMENT, append, numbers, opened, reached, record, stored


def embedded(data_dir: Path, journal: object = None) -> EmbeddedLog:
    return EmbeddedLog(data_dir, journal, control=ControlLog(data_dir, segment_bytes=SEGMENT))  # type: ignore[arg-type]


class Assigned:
    """Begins everything at its beginning and remembers what it was given."""

    def __init__(self) -> None:
        self.partitions: list[TopicPartition] = []
        self.log_ids: set[str] = set()
        self.revoked_partitions: list[TopicPartition] = []

    async def assigned(self, partition: TopicPartition, log_id: str) -> int | None:
        self.partitions.append(partition)
        self.log_ids.add(log_id)
        return None

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.revoked_partitions += partitions


async def take(subscription: Subscription, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < count:
            batch = await subscription.read(100, 1.0)
            if batch is not None:
                found += numbers(list(batch.records))
    return found


async def test_records_go_to_the_journal_or_to_control_by_their_topic(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        log = embedded(tmp_path, journal)
        places = await log.append(
            [record(0), record(1, topic=RULES), record(2, topic=USER), record(3, topic=DLQ), record(4)]
        )
        assert [place.partition for place in places] == [1, 0, 1, 0, 1]
        assert numbers(stored(journal.directory)) == [0, 2, 4]
        assert numbers(stored(control_directory(tmp_path))) == [1, 3]
        assert list(await log.bounds(GROUP)) == [0, 1]
        assert list(await log.bounds(RULES)) == [0]
        assert await log.append([]) == []
        await log.close()


async def test_a_process_without_a_journal_appends_to_control_and_reads_all_of_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as first, opened(tmp_path) as second:
        await append(first, record(0))
        await append(second, record(1))
        log = embedded(tmp_path)
        [place] = await log.append([record(2)])
        assert place.partition == 0
        async with log.subscribe([GROUP], "groups", Assigned()) as subscription:
            assert sorted(await take(subscription, 3)) == [0, 1, 2]
        await log.close()


async def test_a_journal_that_appears_is_assigned_within_a_second_and_read(tmp_path: Path) -> None:
    log, assigned = embedded(tmp_path), Assigned()
    async with log.subscribe([GROUP, RULES], "groups", assigned) as subscription:
        assert assigned.partitions == [(GROUP, 0), (RULES, 0)]
        reading = asyncio.create_task(take(subscription, 1))
        async with opened(tmp_path) as journal:
            await append(journal, record(7))
            async with asyncio.timeout(1.5):
                assert await reading == [7]
        assert assigned.partitions == [(GROUP, 0), (RULES, 0), (GROUP, 1)]
    assert sorted(assigned.revoked_partitions) == sorted(assigned.partitions)
    await log.close()


async def test_an_append_by_another_process_wakes_a_reader_within_100_ms(tmp_path: Path) -> None:
    """Another ``EmbeddedLog`` shares nothing with this one but the files, as another process would."""
    async with opened(tmp_path) as journal:
        log = embedded(tmp_path)
        reader = log.reader({TopicPartition(GROUP, 1): 0})
        assert await reader.read(10, 0) is None
        delays = []
        for number in range(5):
            waiting = asyncio.create_task(reader.read(10, SECONDS))
            await asyncio.sleep(0)
            await append(journal, record(number))
            since = asyncio.get_running_loop().time()
            await waiting
            delays.append(asyncio.get_running_loop().time() - since)
        assert min(delays) < 0.1
        await reader.close()
        await log.close()


async def test_a_group_notes_marks_from_its_start_on_also_where_its_topics_are_silent(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0), record(1, topic=USER))
        log = embedded(tmp_path, journal)

        def marks() -> dict[str, int]:
            return {each.name: each.mark.next_offset for each in list_marks(tmp_path) if each.number == 1}

        async with log.subscribe([GROUP, USER], "groups", Assigned()) as subscription:
            assert marks() == {f"groups@{GROUP}": 0, f"groups@{USER}": 0}
            async with asyncio.timeout(SECONDS):
                while set(marks().values()) != {2}:
                    batch = await subscription.read(10, 0.2)
                    if batch is not None:
                        await subscription.note(batch.partition, batch.next_offset)
            await append(journal, *(record(number, topic=USER) for number in range(5)))
            silent = TopicPartition(GROUP, 1)
            async with asyncio.timeout(SECONDS):
                while (batch := await subscription.read(10, 0.2)) is None or batch.partition != silent:
                    pass
            assert (list(batch.records), batch.next_offset) == ([], 7)
        await log.close()


async def test_a_note_on_a_disk_that_takes_nothing_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    log = embedded(tmp_path)
    async with log.subscribe([RULES], "rules", Assigned()) as subscription:
        monkeypatch.setattr(LogView, "write_mark", refuse)
        await subscription.note(TopicPartition(RULES, 0), 3)
    await log.close()


async def test_a_journal_nobody_has_is_unavailable(tmp_path: Path) -> None:
    log = embedded(tmp_path)
    nowhere = TopicPartition(GROUP, 7)
    with pytest.raises(LogUnavailable, match="has no log number 7 to read: it has \\[0\\]"):
        await log.log_id(nowhere)
    reader = log.reader({nowhere: 0})
    with pytest.raises(LogUnavailable):
        await reader.read(1, 0)
    await reader.close()
    await log.close()


async def test_a_reader_that_fell_behind_retention_is_told_and_the_others_read_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, *(record(number, size=1_000) for number in range(30)))
        await asyncio.to_thread(journal.forget, 10**15, 0, {})
        log = embedded(tmp_path, journal)
        behind, abreast = (
            log.reader({TopicPartition(GROUP, 1): 0}),
            log.reader({TopicPartition(GROUP, 1): 29}),
        )
        with pytest.raises(OffsetGone, match=r"im\.group\.v1/1"):
            await behind.read(10, SECONDS)
        batch = await abreast.read(10, SECONDS)
        assert batch is not None
        assert numbers(list(batch.records)) == [29]
        await log.close()
        with pytest.raises(LogUnavailable):
            await abreast.read(10, 0)


# Control


async def test_compacted_topics_lose_only_superseded_keys(tmp_path: Path) -> None:
    now = BEGAN
    control = ControlLog(tmp_path, segment_bytes=SEGMENT, now_ms=lambda: now)

    def rule(number: int, key: str | None, *, dropped: bool = False) -> Record:
        made = record(number, topic=RULES, key=key, size=500)
        return made._replace(value=None) if dropped else made

    control.append([rule(0, "a"), rule(1, "b"), rule(2, "c"), rule(3, None), record(4, topic=DLQ)])
    control.append([rule(5, "b"), rule(6, "c", dropped=True), record(7, topic=GROUP)])
    for number in range(10, 30):
        control.append([record(number, topic=DLQ, size=2_000)])
    now += 1000
    assert control.forget(now, 1001) == 0
    assert control.forget(now, 1000) >= 2
    for _ in range(3):  # sealed or not meanwhile: what lives is there once, as it was
        found = stored(control.directory)
        assert found[0].offset > 7
        live = [each.record for each in found if each.record.topic == RULES]
        assert sorted(live, key=lambda each: each.timestamp) == [rule(0, "a"), rule(3, None), rule(5, "b")]
        now += 1000
        control.forget(now, 0)


async def test_control_keeps_what_a_consumer_still_needs(tmp_path: Path) -> None:
    control = ControlLog(tmp_path, segment_bytes=SEGMENT)
    for number in range(30):
        control.append([record(number, topic=DLQ, size=2_000)])
    view = LogView(control.directory)
    view.write_mark(f"groups@{DLQ}", 1, 0)
    assert control.forget(10**15, 0) == 0
    view.write_mark(f"groups@{DLQ}", 30, 0)
    assert control.forget(10**15, 0) > 1
    view.close()


async def test_offsets_of_control_are_found_by_time_across_segments(tmp_path: Path) -> None:
    control = ControlLog(tmp_path, segment_bytes=SEGMENT)
    for number in range(40):
        control.append([record(number, topic=DLQ, size=1_000)])
    log = embedded(tmp_path)
    for number in (0, 13, 39):
        assert await log.offset_at(TopicPartition(DLQ, 0), BEGAN + number) == number
    assert await log.offset_at(TopicPartition(DLQ, 0), BEGAN + 40) == 40
    assert await log.offset_at(TopicPartition(GROUP, 0), BEGAN) == 40
    await log.close()


async def test_embedded_logs_of_two_processes_take_over_a_group_from_each_other(tmp_path: Path) -> None:
    one, other = embedded(tmp_path), embedded(tmp_path)
    first, second = Assigned(), Assigned()
    async with one.subscribe([RULES], "rules", first):
        entering = asyncio.create_task(_enter(other, second))
        await one.append([record(1, topic=RULES)])
        assert second.partitions == []
    await reached(lambda: bool(second.partitions))
    assert first.revoked_partitions == [(RULES, 0)]
    async with asyncio.timeout(SECONDS):
        assert await entering == [1]
    await one.close()
    await other.close()


async def _enter(log: EmbeddedLog, assigned: Assigned) -> list[int]:
    async with log.subscribe([RULES], "rules", assigned) as subscription:
        return await take(subscription, 1)


async def test_more_records_than_one_segment_holds_are_appended_in_several_batches(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        log = embedded(tmp_path, journal)
        many = [record(number, size=1_000) for number in range(12)]
        async with asyncio.timeout(SECONDS):
            assert [place.offset for place in await log.append(many)] == list(range(12))
        await log.append([each._replace(topic=DLQ) for each in (*many, *many, *many)])
        assert numbers(stored(control_directory(tmp_path))) == list(range(12)) * 3
        too_large = record(99, size=SEGMENT)
        for refused in (too_large, too_large._replace(topic=DLQ)):
            with pytest.raises(RecordRefused):
                await log.append([record(50)._replace(topic=refused.topic), refused])
        await log.close()
    assert 50 not in numbers(stored(journal.directory)) + numbers(stored(control_directory(tmp_path)))


async def test_a_journal_nobody_can_identify_does_not_stop_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        await append(one, record(0))
        await append(other, record(1))
        (other.directory / "identity").write_bytes(bytes(1024))
        with segment_path(other.directory, 0).open("r+b") as segment:
            segment.write(bytes(SEGMENT_BYTES))
        log = embedded(tmp_path)
        async with log.subscribe([GROUP], "groups", Assigned()) as subscription:
            assert await take(subscription, 1) == [0]
        with pytest.raises(LogUnavailable):
            await log.log_id(TopicPartition(GROUP, 2))
        await log.close()


async def test_a_failed_sync_of_control_is_refused_and_the_next_append_writes_it_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = ControlLog(tmp_path, segment_bytes=SEGMENT)
    control.append([record(0, topic=DLQ)])

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(disk, "sync", refuse)
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="Input/output error"):
                control.append([record(1, topic=DLQ)])
    rewritten: list[int] = []
    monkeypatch.setattr(recovery, "write_again", lambda *where: rewritten.append(where[3] - where[2]))
    control.append([record(2, topic=DLQ)])
    assert rewritten[0] > 0  # a sync alone would succeed without what the failed one was to put on disk
    assert numbers(stored(control.directory)) == [0, 1, 2]  # 1 was written, never acknowledged


async def test_who_reads_control_alone_is_not_woken_by_appends_to_the_journal(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        log = embedded(tmp_path, journal)
        async with log.reader({TopicPartition(RULES, 0): 0}) as rules:
            waiting = asyncio.create_task(rules.read(10, SECONDS))
            await reached(lambda: log._control_bell.waiters == 1)
            assert not journal.bell.waiters
            await log.append([record(1, topic=RULES)])
            batch = await waiting
            assert batch is not None
            assert numbers(list(batch.records)) == [1]
        await log.close()
