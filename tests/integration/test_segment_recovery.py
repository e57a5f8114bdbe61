"""What opening a log again finds, by cases: torn tails, damage in the middle, at the end, in small files."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.errors import LogCorrupt
from bridge.log.segments import LogView, SegmentLog, disk, journal_directories
from bridge.log.segments.format import SEGMENT_BYTES
from bridge.log.segments.layout import journal_directory, segment_offsets, segment_path
from bridge.telemetry import JOURNAL_LOST
from tests.segment_log import append, numbers, open_at, opened, record, stored


class Written:
    """A journal of five batches of one record each, closed, and where each batch stands in its file."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.directory = journal_directory(data_dir, 1)
        self.path = segment_path(self.directory, 0)
        self.starts: list[int] = []

    async def write(self) -> "Written":
        async with opened(self.data_dir) as journal:
            for number in range(5):
                self.starts.append(_segment_position(journal))
                await append(journal, record(number))
            self.starts.append(_segment_position(journal))
        return self

    def overwrite(self, position: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(position)
            file.write(data)

    def spoil(self, batch: int) -> None:
        self.overwrite(self.starts[batch] + 60, b"\xff\xff")


def _segment_position(journal: SegmentLog) -> int:
    segment = journal._files._segment
    assert segment is not None
    return segment.position


@pytest.fixture
async def written(tmp_path: Path) -> Written:
    return await Written(tmp_path).write()


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as events:
        yield events


def lost(logs: list[Any]) -> list[tuple[str, int, int, int]]:
    return [
        (Path(event["file"]).name, event["first_offset"], event["until_offset"], event["records"])
        for event in logs
        if event["event"] == "records.lost"
    ]


async def test_a_torn_tail_is_overwritten_with_zeros_and_nothing_is_lost(
    written: Written, logs: list[Any]
) -> None:
    torn = written.path.read_bytes()[written.starts[0] : written.starts[1] - 3]
    written.overwrite(written.starts[5], torn)
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.end_offset) == (0, 5)
        assert not written.path.read_bytes()[written.starts[5] :].strip(b"\0")
        await append(journal, record(5))
        assert numbers(stored(journal.directory)) == [0, 1, 2, 3, 4, 5]
    assert lost(logs) == []
    assert not (written.directory / "damaged").exists()


async def test_damage_with_valid_batches_behind_it_is_kept_aside_counted_and_named(
    written: Written, logs: list[Any]
) -> None:
    written.spoil(1)
    written.spoil(2)
    before, content = JOURNAL_LOST._value.get(), written.path.read_bytes()
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.end_offset) == (2, 5)
        await append(journal, record(5))
        assert numbers(stored(journal.directory)) == [0, 3, 4, 5]
        assert segment_offsets(journal.directory) == [0, 5]
    assert lost(logs) == [(f"{0:020d}.seg", 1, 3, 2)]
    assert JOURNAL_LOST._value.get() - before == 2
    assert (written.directory / "damaged" / written.path.name).read_bytes() == content
    assert written.path.read_bytes() == content
    async with opened(written.data_dir) as journal:
        assert journal.lost_records == 0  # sealed: the open segment is sound
        assert numbers(stored(journal.directory)) == [0, 3, 4, 5]


async def test_an_acknowledged_batch_cut_off_at_the_tail_is_a_loss_and_its_offset_is_never_reused(
    written: Written, logs: list[Any]
) -> None:
    written.spoil(4)
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.end_offset) == (1, 5)
        assert [place.offset for place in await append(journal, record(5))] == [5]
        assert numbers(stored(journal.directory)) == [0, 1, 2, 3, 5]
    assert lost(logs) == [(f"{0:020d}.seg", 4, 5, 1)]


async def test_a_mark_also_tells_of_a_lost_tail(written: Written) -> None:
    view = LogView(written.directory)
    view.write_mark("relay", 5, 0)
    view.close()
    (written.directory / "end").write_bytes(bytes(1024))
    written.spoil(4)
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.end_offset) == (1, 5)


async def test_a_cut_segment_loses_only_what_was_cut(written: Written) -> None:
    os.truncate(written.path, written.starts[3] + 1)
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.end_offset) == (2, 5)
        await append(journal, record(5))
        assert numbers(stored(journal.directory)) == [0, 1, 2, 5]


async def test_a_last_segment_that_is_gone_does_not_lead_to_a_silent_empty_start(
    written: Written, logs: list[Any]
) -> None:
    written.path.unlink()
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.begin_offset, journal.end_offset) == (5, 5, 5)
        assert [place.offset for place in await append(journal, record(5))] == [5]
    assert lost(logs) == [("0001", 0, 5, 5)]


async def test_what_was_written_and_never_published_is_written_again_and_synced_before_it_is_shown(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9 between write and sync; a sync alone would not bring back what a failed one lost."""
    end = written.directory / "end"
    before = end.read_bytes()
    async with opened(written.data_dir) as journal:
        await append(journal, record(5))
    end.write_bytes(before)
    done: list[tuple[str, int]] = []
    real_write, real_sync = disk.write_all, disk.sync

    def write_all(fd: int, data: bytes, position: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink() == written.path:
            done.append(("write", position))
        real_write(fd, data, position)

    def sync(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink() == written.path:
            done.append(("sync", LogView(written.directory).end()))
        real_sync(fd)

    monkeypatch.setattr(disk, "write_all", write_all)
    monkeypatch.setattr(disk, "sync", sync)
    async with opened(written.data_dir) as journal:
        assert journal.end_offset == 6
        assert done == [("write", written.starts[5]), ("sync", 5)]
        assert numbers(stored(journal.directory)) == [0, 1, 2, 3, 4, 5]


async def test_a_power_cut_that_lost_the_published_end_loses_no_record(written: Written) -> None:
    (written.directory / "end").write_bytes(bytes(1024))
    assert stored(written.directory) == []
    async with opened(written.data_dir) as journal:
        assert (journal.lost_records, journal.end_offset) == (0, 5)
        assert numbers(stored(journal.directory)) == [0, 1, 2, 3, 4]


async def test_a_reader_ahead_of_a_published_end_that_a_power_cut_set_back_waits_instead_of_giving_up(
    written: Written,
) -> None:
    (written.directory / "end").write_bytes(bytes(1024))
    assert stored(written.directory, start=3) == []
    with pytest.raises(Exception, match="asked for 6"):
        stored(written.directory, start=6)


@pytest.mark.parametrize("spoil", [b"\0" * 512, b"\xff" * 1024, b""])
async def test_a_damaged_identity_is_mended_from_its_other_slot_or_the_segments(
    written: Written, spoil: bytes
) -> None:
    path = written.directory / "identity"
    whole = path.read_bytes()
    path.write_bytes(spoil + whole[len(spoil) :] if spoil else b"")
    async with opened(written.data_dir) as journal:
        assert path.read_bytes() == whole
        assert numbers(stored(journal.directory)) == [0, 1, 2, 3, 4]


async def test_a_log_nothing_can_identify_is_not_started_anew(written: Written) -> None:
    (written.directory / "identity").write_bytes(bytes(1024))
    written.overwrite(0, bytes(SEGMENT_BYTES))
    with pytest.raises(LogCorrupt, match="restore the directory from a backup"):
        await open_at(written.data_dir)
    with pytest.raises(LogCorrupt, match="does not check out"):
        LogView(written.directory)


async def test_a_log_killed_while_it_was_made_is_made(tmp_path: Path) -> None:
    directory = journal_directory(tmp_path, 1)
    directory.mkdir(parents=True)
    (directory / "identity.filling").write_bytes(b"half")
    (directory / "reserve.filling").write_bytes(b"half")
    async with opened(tmp_path) as journal:
        await append(journal, record(0))
        assert not (directory / "reserve.filling").exists()


async def test_without_a_copy_the_damaged_segment_is_kept_under_a_second_name(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", no_space)
    written.spoil(2)
    async with opened(written.data_dir):
        kept = written.directory / "damaged" / written.path.name
        assert kept.samefile(written.path)


async def test_damage_in_a_sealed_segment_is_passed_over_and_reported_by_the_reader(
    tmp_path: Path, logs: list[Any]
) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, *(record(number, size=1_000) for number in range(40)))
        offsets = segment_offsets(journal.directory)
        path = segment_path(journal.directory, offsets[1])
        content = bytearray(path.read_bytes())
        content[SEGMENT_BYTES + 200] ^= 1  # the first batch of the second segment
        content[-1000] ^= 1  # and its last
        path.write_bytes(content)
        found = numbers(stored(journal.directory))
        missing = sorted(set(range(40)) - set(found))
        assert found == sorted(found)
        assert missing == [offsets[1], offsets[2] - 1]
    assert lost(logs) == [(path.name, gap, gap + 1, 1) for gap in missing]


async def test_a_page_the_disk_cannot_read_costs_only_the_records_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, *(record(number, size=1_000) for number in range(12)))
        path, real = segment_path(journal.directory, 0), os.pread
        inode = path.stat().st_ino

        def pread(fd: int, count: int, position: int) -> bytes:
            if os.fstat(fd).st_ino == inode and position < 8192 and position + count > 4096:
                raise OSError(5, "Input/output error")
            return real(fd, count, position)

        monkeypatch.setattr(os, "pread", pread)
        found = numbers(stored(journal.directory))
        assert set(range(12)) - set(found) == set(range(found[2] + 1, found[3]))
        assert found[:3] == [0, 1, 2]
        assert found[-1] == 11
    assert {event["event"] for event in logs} >= {"page.unreadable", "records.lost"}


async def test_segments_missing_at_the_beginning_are_lost_and_forgotten_ones_are_not(
    tmp_path: Path, logs: list[Any]
) -> None:
    async with opened(tmp_path) as journal:
        await append(journal, *(record(number, size=10_000) for number in range(4)))
        directory = journal.directory
        assert segment_offsets(directory) == [0, 1, 2, 3]
        assert await asyncio.to_thread(journal.forget, 10**15, 0, {"relay": 1}) == 1
    async with opened(tmp_path) as journal:
        assert journal.lost_records == 0
    segment_path(directory, 1).unlink()
    async with opened(tmp_path) as journal:
        assert (journal.lost_records, journal.begin_offset) == (1, 2)
    assert lost(logs) == [("0001", 1, 2, 1)]
    async with opened(tmp_path) as journal:
        assert journal.lost_records == 0


async def test_a_log_whose_identity_is_gone_is_found_and_read_by_what_its_segments_say(
    written: Written, logs: list[Any]
) -> None:
    (written.directory / "identity").unlink()
    assert list(journal_directories(written.data_dir)) == [1]
    assert numbers(stored(written.directory)) == [0, 1, 2, 3, 4]
    assert "identity.damaged" in {event["event"] for event in logs}
