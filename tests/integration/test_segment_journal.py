"""The journal in one process: queue, order, segments, reserve, failure, retention, closing."""

import asyncio
import errno
import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.errors import (
    ConfigurationError,
    FormatTooNew,
    JournalBusy,
    JournalFailed,
    JournalFull,
    LogCorrupt,
    LogError,
    LogLocked,
    LogUnavailable,
    RecordRefused,
)
from bridge.log.clock import HybridClock
from bridge.log.segments import (
    LogView,
    allocator,
    disk,
    drop_marks,
    journal_directories,
    list_marks,
    read_all,
    relay_lock,
)
from bridge.log.segments.format import pack_block
from bridge.log.segments.frames import encode
from bridge.log.segments.layout import journal_directory, segment_offsets, segment_path
from bridge.log.segments.slots import SLOT_BYTES
from bridge.log.segments.writer import Append, Writer
from tests.segment_log import (
    SECONDS,
    SEGMENT,
    append,
    numbers,
    open_at,
    opened,
    reached,
    record,
    stored,
    submit,
)

Sync = Callable[[int], None]


class Held:
    """A sync that waits until it is let go; ``begun`` says how many began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real, self._go, self.begun = disk.sync, threading.Event(), 0
        monkeypatch.setattr(disk, "sync", self._sync)

    def _sync(self, fd: int) -> None:
        self.begun += 1
        assert self._go.wait(SECONDS)
        self._real(fd)

    def release(self) -> None:
        self._go.set()


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(disk, "sync", sync)


def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list in which the number of appends of each hand-over to the writer will stand."""
    handed: list[int] = []
    put = Writer.put

    def seen(writer: Writer, appends: list[Append]) -> None:
        handed.append(len(appends))
        put(writer, appends)

    monkeypatch.setattr(Writer, "put", seen)
    return handed


async def test_appends_that_wait_together_become_one_batch_in_the_order_of_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        held = Held(monkeypatch)
        first = submit(journal, record(0))
        await reached(lambda: held.begun == 1)
        rest = [submit(journal, record(number), record(number + 1)) for number in range(1, 41, 2)]
        await asyncio.sleep(0)
        assert not first.done()
        held.release()
        positions = [place for places in await asyncio.gather(first, *rest) for place in places]
    assert [place.offset for place in positions] == list(range(41))
    assert held.begun == 3  # the first, the forty that waited, and the end at closing
    assert numbers(stored(journal_directory(tmp_path, 1))) == list(range(41))


async def test_what_comes_a_turn_of_the_loop_later_is_handed_over_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = handed_over(monkeypatch)
    async with opened(tmp_path) as journal:
        first = submit(journal, record(0))
        await asyncio.sleep(0)
        second = submit(journal, record(1))
        await asyncio.gather(first, second)
    assert handed == [2]


async def test_nothing_is_seen_before_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0))
        held = Held(monkeypatch)
        waiting = submit(journal, record(1))
        await reached(lambda: held.begun == 1)
        assert numbers(stored(journal.directory)) == [0]
        held.release()
        await waiting
        assert numbers(stored(journal.directory)) == [0, 1]


async def test_the_queue_is_bounded_and_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, queue_records=3, queue_bytes=2000) as journal:
        held = Held(monkeypatch)
        waiting = [submit(journal, record(number)) for number in range(3)]
        with pytest.raises(JournalBusy, match="3 records of"):
            submit(journal, record(3))
        held.release()
        await asyncio.gather(*waiting)
        waiting = [submit(journal, record(4, size=1500))]
        with pytest.raises(JournalBusy, match="1 records of"):
            submit(journal, record(5, size=1500))
        await asyncio.gather(*waiting)
        assert await journal.append([]) == []
    assert numbers(stored(journal_directory(tmp_path, 1))) == [0, 1, 2, 4]


async def test_a_journal_that_cannot_be_opened_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[int] = []

    def unmappable(fd: int, _: int) -> None:
        mapped.append(fd)
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(mmap, "mmap", unmappable)
    with pytest.raises(LogUnavailable, match="No such device"):
        await open_at(tmp_path)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mapped[0])


async def test_a_record_that_fits_no_segment_is_refused_for_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        with pytest.raises(RecordRefused, match=str(journal.max_record_bytes)):
            submit(journal, record(0, size=SEGMENT))
        fitting = record(1, size=journal.max_record_bytes - 100)
        await append(journal, fitting, record(2), fitting)
    assert numbers(stored(journal_directory(tmp_path, 1))) == [1, 2, 1]


@pytest.mark.parametrize("queue_bytes", [1000, SEGMENT])
async def test_the_largest_record_is_taken_and_the_next_larger_one_refused(
    tmp_path: Path, queue_bytes: int
) -> None:
    async with opened(tmp_path, queue_bytes=queue_bytes) as journal:
        size = journal.max_record_bytes - len(encode(record(0, size=0)))
        await append(journal, record(0, size=size))
        with pytest.raises(RecordRefused):
            submit(journal, record(1, size=size + 1))
    assert numbers(stored(journal_directory(tmp_path, 1))) == [0]


async def test_the_greatest_time_survives_segments_and_restarts_but_not_a_mistake(tmp_path: Path) -> None:
    now = 1_800_000_000_000
    async with opened(tmp_path, now_ms=lambda: now) as journal:
        assert journal.floor_ms == 0
        await append(journal, record(0)._replace(timestamp=now + 5))
        await append(journal, *(record(number, size=3000) for number in range(20)))
        assert len(segment_offsets(journal.directory)) > 2
        await append(journal, record(0)._replace(timestamp=now + 10**12))
        assert journal.floor_ms == now + 5
    async with opened(tmp_path, now_ms=lambda: now - 10**9) as journal:
        assert journal.floor_ms == now + 5
        clock = HybridClock(lambda: now - 10**9, journal.floor_ms)
        assert clock.tick() >> 16 > now + 5


async def test_processes_take_the_first_journal_that_is_free(tmp_path: Path) -> None:
    first, second = await open_at(tmp_path), await open_at(tmp_path)
    assert (first.number, second.number) == (1, 2)
    assert first.log_id != second.log_id
    await first.close()
    async with opened(tmp_path) as third:
        assert (third.number, third.log_id) == (1, first.log_id)
        assert list(journal_directories(tmp_path)) == [1, 2]
    await second.close()


async def test_when_every_number_is_held_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.log.segments.journal.MAX_JOURNALS", 1)
    async with opened(tmp_path):
        with pytest.raises(LogLocked, match="all 1 journals"):
            await open_at(tmp_path)


async def test_one_relay_at_a_time_holds_a_journal(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        with (
            relay_lock(journal.directory),
            pytest.raises(LogLocked, match=r"relay of journal 0001 .* process \d+"),
        ):
            relay_lock(journal.directory)
        relay_lock(journal.directory).release()


async def test_a_limit_that_holds_no_three_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"journal\.max_bytes"):
        await open_at(tmp_path, max_bytes=2 * SEGMENT)


async def test_a_directory_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(LogUnavailable):
        await open_at(tmp_path / "data")


@pytest.mark.parametrize("name", ["identity", "end", "segment"])
async def test_a_newer_format_is_refused_and_nothing_is_touched(tmp_path: Path, name: str) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0))
    path = segment_path(journal.directory, 0) if name == "segment" else journal.directory / name
    content = bytearray(path.read_bytes())
    for position in (0,) if name == "segment" else (0, SLOT_BYTES):
        magic, length = (
            content[position : position + 8],
            int.from_bytes(content[position + 10 : position + 12], "little"),
        )
        body = bytes(content[position + 16 : position + 16 + length])
        with pytest.MonkeyPatch.context() as newer:
            newer.setattr("bridge.log.segments.format.VERSION", 2)
            block = pack_block(bytes(magic), body)
        content[position : position + len(block)] = block
    path.write_bytes(content)
    before = {
        each: each.read_bytes()
        for each in journal.directory.rglob("*")
        if each.is_file() and each.name != "lock"
    }
    with pytest.raises(FormatTooNew, match="upgrade imbridge"):
        await open_at(tmp_path)
    assert {each: each.read_bytes() for each in before} == before


async def test_a_journal_that_was_renamed_is_not_taken_for_another(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0))
    journal.directory.rename(journal_directory(tmp_path, 2))
    async with opened(tmp_path) as fresh:
        assert fresh.number == 1
        with pytest.raises(LogCorrupt, match="holds log number 1: it was renamed or copied"):
            await open_at(tmp_path)


# Failure


async def test_from_a_failed_sync_on_nothing_is_accepted_also_when_the_disk_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await open_at(tmp_path)
    await append(journal, record(0))
    with monkeypatch.context() as broken:
        failing(broken)
        with pytest.raises(JournalFailed, match="Input/output error"):
            await journal.append([record(1)])
    assert journal.failed.is_set()
    assert not journal.is_writable()
    with pytest.raises(JournalFailed, match="what was acknowledged stands"):
        submit(journal, record(2))
    await journal.close()
    async with opened(tmp_path) as again:
        assert again.lost_records == 0
        assert again.end_offset == 2  # written, never acknowledged: it may be there
        assert numbers(stored(again.directory)) == [0, 1]


async def test_appends_behind_a_failed_one_fail_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = await open_at(tmp_path)
    calls = 0
    real, begun, go = disk.sync, threading.Event(), threading.Event()

    def sync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            begun.set()
            assert go.wait(SECONDS)
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(disk, "sync", sync)
    first = submit(journal, record(0))
    await reached(begun.is_set)
    behind = [submit(journal, record(number)) for number in range(1, 5)]
    await asyncio.sleep(0)
    go.set()
    answers = await asyncio.gather(first, *behind, return_exceptions=True)
    assert [type(answer) for answer in answers] == [JournalFailed] * 5
    assert calls == 1
    await journal.close()


async def test_what_is_queued_is_committed_at_closing_and_nothing_is_accepted_after(tmp_path: Path) -> None:
    journal = await open_at(tmp_path)
    waiting = [submit(journal, record(number)) for number in range(10)]
    await journal.close()
    assert [(await answer)[0].offset for answer in waiting] == list(range(10))
    with pytest.raises(LogUnavailable, match="closed"):
        submit(journal, record(10))
    await journal.close()
    assert not journal.is_writable()


async def test_closing_gives_up_on_a_disk_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await open_at(tmp_path)
    held = Held(monkeypatch)
    waiting = submit(journal, record(0))
    await reached(lambda: held.begun == 1)
    async with asyncio.timeout(SECONDS):
        await journal.close(timeout=0.05)
    assert not waiting.done()
    held.release()
    await waiting


async def test_what_is_patient_goes_with_what_comes_after_it_and_by_itself_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = handed_over(monkeypatch)
    monkeypatch.setattr("bridge.log.segments.log.PATIENCE_SECONDS", 0.5)
    async with opened(tmp_path) as journal:
        decided = submit(journal, record(0), patient=True)
        for _ in range(10):
            await asyncio.sleep(0)  # turns of the loop, after which nothing that hurries is left behind
        assert not handed
        await asyncio.gather(decided, submit(journal, record(1)))
        assert handed == [2]
        await submit(journal, record(2), patient=True)
        assert handed == [2, 1]
        assert numbers(stored(journal.directory)) == [0, 1, 2]


async def test_what_is_patient_is_on_disk_when_the_journal_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        submit(journal, record(0), patient=True)
    assert numbers(stored(journal.directory)) == [0]


def raising(_: int, __: LogError | None) -> None:
    raise ZeroDivisionError


async def test_who_stopped_waiting_or_fails_does_not_disturb_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        held = Held(monkeypatch)
        gone = asyncio.create_task(journal.append([record(0)]))
        await asyncio.sleep(0)
        journal.submit([record(1)], raising)
        stays = submit(journal, record(2))
        gone.cancel()
        held.release()
        assert [place.offset for place in await stays] == [2]
        assert numbers(stored(journal.directory)) == [0, 1, 2]


# Segments and the reserve


async def test_the_next_segment_is_ready_filled_with_zeros_before_it_is_needed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        reserve = journal.directory / "reserve"
        assert reserve.read_bytes() == bytes(SEGMENT)
        assert reserve.stat().st_blocks * 512 >= SEGMENT
        await append(journal, record(0, size=10_000), record(1, size=10_000))
        assert segment_offsets(journal.directory) == [0, 1]
        assert segment_path(journal.directory, 1).stat().st_size == SEGMENT
        await reached(lambda: reserve.exists() and bool(journal._files.reserve_room))


async def test_a_full_journal_refuses_while_what_it_accepted_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocator, "RETRY_SECONDS", 0.02)
    async with opened(tmp_path, max_bytes=3 * SEGMENT) as journal:
        await append(journal, record(0, size=10_000), record(1, size=10_000))
        await reached(lambda: bool(journal._files.reserve_room))
        held = Held(monkeypatch)
        accepted = [submit(journal, record(number, size=5_000)) for number in (2, 3, 4)]  # into the reserve
        held.release()
        assert [place.offset for place in (await asyncio.gather(*accepted))[2]] == [4]
        await reached(journal.is_full)
        assert journal._files.room > 10_000 - 6_000
        with pytest.raises(JournalFull, match="holds 49152 of at most 49152 bytes"):
            submit(journal, record(5))
        assert not journal.is_writable()
        assert await asyncio.to_thread(journal.forget, 0, 10**15, {"relay": 2}) == 0
        await reached(journal.is_writable)  # what is young and relayed is forgotten for the room it takes
        await append(journal, record(6))
        assert numbers(stored(journal.directory)) == [1, 2, 3, 4, 6]


async def test_at_its_limit_a_journal_takes_on_while_what_it_holds_is_relayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocator, "RETRY_SECONDS", 1000)
    async with opened(tmp_path, max_bytes=4 * SEGMENT) as journal:
        with capture_logs() as logs:
            for number in range(40):
                await append(journal, record(number, size=5_000))
                await asyncio.to_thread(journal.forget, 0, 10**15, {"relay": number - 3})
                assert journal.is_writable()
        assert "segment.forgotten_early" in {each["event"] for each in logs}
        assert "journal.filled" not in {each["event"] for each in logs}
        assert numbers(stored(journal.directory))[-4:] == [36, 37, 38, 39]


async def test_some_of_the_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 100 * SEGMENT
    monkeypatch.setattr(disk, "free_bytes", lambda _: free)
    async with opened(tmp_path) as journal:
        free = 2 * SEGMENT - 1
        await append(journal, record(0, size=10_000), record(1, size=10_000))
        await reached(journal.is_full)
        with pytest.raises(JournalFull, match=f"{free} bytes free: a segment takes {SEGMENT}, and {SEGMENT}"):
            await append(journal, record(2, size=10_000))
        await asyncio.to_thread(journal.forget, 0, 10**15, {"relay": 1})
        await reached(journal.is_writable)  # with one segment left, and nothing to forget, it must go on
        await append(journal, record(2, size=10_000))
        await reached(journal.is_full)
        free += 1
        await reached(journal.is_writable)


async def test_a_disk_that_fails_a_sync_is_no_place_to_open_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0))

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(disk, "sync", refuse)
        with pytest.raises(LogUnavailable, match="Input/output error"):
            await open_at(tmp_path)
    async with opened(tmp_path) as journal:
        assert numbers(stored(journal.directory)) == [0]


async def test_a_reserve_that_cannot_be_written_costs_no_segment_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0, size=10_000), record(1, size=10_000))
        await reached(lambda: bool(journal._files.reserve_room))
        await asyncio.to_thread(journal.forget, 0, 10**15, {"relay": 2})

        def refuse(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(disk, "fill_with_zeros", refuse)
        await append(journal, record(2, size=10_000))
        await reached(journal.is_full)
        assert segment_offsets(journal.directory) == [0, 1, 2]


async def test_a_full_journal_can_be_opened_again(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=3 * SEGMENT) as journal:
        for number in range(100):
            try:
                await append(journal, record(number, size=5_000))
            except JournalFull:
                break
        kept = numbers(stored(journal.directory))
    async with opened(tmp_path, max_bytes=3 * SEGMENT) as journal:
        assert journal.is_full()
        assert numbers(stored(journal.directory)) == kept
        await asyncio.to_thread(journal.forget, 0, 0, {"relay": journal.end_offset})
        await reached(journal.is_writable)


async def test_segments_of_another_size_are_read_and_the_reserve_is_made_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, record(0))
    async with opened(tmp_path, segment_bytes=2 * SEGMENT) as journal:
        assert (journal.directory / "reserve").stat().st_size == 2 * SEGMENT
        await append(journal, record(1, size=20_000))
        assert numbers(stored(journal.directory)) == [0, 1]


# Retention


async def test_only_whole_segments_that_are_old_and_below_every_mark_are_forgotten(tmp_path: Path) -> None:
    now = 1_000_000
    async with opened(tmp_path, now_ms=lambda: now) as journal:
        for number in range(4):
            await append(journal, record(number, size=10_000))
            now += 1000  # segment N is sealed, by the next one, at 1_001_000 + N * 1000
        assert segment_offsets(journal.directory) == [0, 1, 2, 3]

        def forget(keep_ms: int, marks: dict[str, int]) -> tuple[int, list[int]]:
            return journal.forget(now, keep_ms, marks), segment_offsets(journal.directory)

        assert forget(3001, {"relay": 4}) == (0, [0, 1, 2, 3])
        assert forget(0, {"relay": 4, "groups@im.group.v1": 0}) == (0, [0, 1, 2, 3])
        assert forget(3000, {"relay": 4}) == (1, [1, 2, 3])
        assert forget(0, {"relay": 2}) == (1, [2, 3])
        assert journal.begin_offset == 2
        assert forget(0, {}) == (1, [3])  # the open one stays
        assert forget(0, {}) == (0, [3])
        await append(journal, record(4))
    async with opened(tmp_path) as journal:
        assert (journal.begin_offset, journal.end_offset) == (3, 5)


async def test_marks_are_listed_survive_damage_and_are_dropped_by_consumer(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, *(record(number) for number in range(5)))
        view = LogView(journal.directory)
        for next_offset in (1, 2, 3):
            view.write_mark("relay", next_offset, 77)
            view.write_mark("groups@im.group.v1", next_offset + 1, 78)
            view.write_mark("groups2@im.group.v1", 5, 79)
        listed = {(each.number, each.log_id, each.name): each.mark[:2] for each in list_marks(tmp_path)}
        assert listed == {
            (1, journal.log_id, "relay"): (3, 77),
            (1, journal.log_id, "groups@im.group.v1"): (4, 78),
            (1, journal.log_id, "groups2@im.group.v1"): (5, 79),
        }
        assert drop_marks(tmp_path, "groups") == 1
        assert sorted(view.marks()) == ["groups2@im.group.v1", "relay"]
        path = journal.directory / "marks" / "relay"
        path.write_bytes(path.read_bytes().replace(b"imb-mrk", b"imb-mrX", 1))
        assert view.marks()["relay"].next_offset in {2, 3}  # one slot is left
        path.write_bytes(bytes(1024))
        assert view.marks()["relay"].next_offset == 0  # holds everything back until it is set again
        view.write_mark("relay", 4, 80)
        assert view.marks()["relay"].next_offset == 4
        view.close()


async def test_a_mark_of_another_log_does_not_count(tmp_path: Path) -> None:
    async with opened(tmp_path / "a") as one, opened(tmp_path / "b") as other:
        view = LogView(one.directory)
        view.write_mark("relay", 9, 1)
        (other.directory / "marks").mkdir()
        (one.directory / "marks" / "relay").rename(other.directory / "marks" / "relay")
        stranger = LogView(other.directory)
        assert stranger.marks()["relay"].next_offset == 0
        view.close()
        stranger.close()


# Readers beside the writer


async def test_a_reader_of_every_topic_sees_offset_order_and_is_woken(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        view = LogView(journal.directory)
        async with read_all(view, 0, journal.bell) as reader:
            await append(journal, record(0), record(1, topic="im.user.v1"))
            batch = await reader.read(10, SECONDS)
            assert batch is not None
            assert (batch.partition, batch.next_offset) == (("", 1), 2)
            assert [each.record.topic for each in batch.records] == ["im.group.v1", "im.user.v1"]
            waiting = asyncio.create_task(reader.read(10, SECONDS))
            await asyncio.sleep(0)
            await append(journal, record(2))
            batch = await waiting
            assert batch is not None
            assert numbers(list(batch.records)) == [2]
        view.close()


async def test_a_reader_finishes_the_segment_that_is_forgotten_under_it_and_then_says_what_is_gone(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, *(record(number, size=1_000) for number in range(60)))
        offsets = segment_offsets(journal.directory)
        view = LogView(journal.directory)
        reader = read_all(view, 0)
        found = []
        batch = await reader.read(1, SECONDS)
        assert batch is not None
        found += numbers(list(batch.records))
        await asyncio.to_thread(journal.forget, 10**15, 0, {})
        assert segment_offsets(journal.directory) == offsets[-1:]
        while len(found) < offsets[1]:
            batch = await reader.read(100, SECONDS)
            assert batch is not None
            found += numbers(list(batch.records))
        assert found == list(range(offsets[1]))
        with pytest.raises(Exception, match=f"holds offsets {offsets[-1]} to 60, asked for {offsets[1]}"):
            await reader.read(100, SECONDS)
        await reader.close()
        view.close()
