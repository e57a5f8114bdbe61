"""The segment log against a model of a few lines, through crashes, torn writes, flipped bits and full disks.

The model is a dictionary: what was acknowledged, by offset. After every step the log must hold exactly that,
less what was forgotten on purpose or damaged on purpose; and damage must be reported to the record.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from bridge.errors import JournalBusy, JournalFailed, JournalFull, LogError, OffsetGone
from bridge.log.base import Position, Record, StoredRecord, TopicPartition
from bridge.log.segments import LogView, allocator, disk, durable_end, open_journal
from bridge.log.segments.cursor import Cursor
from bridge.log.segments.format import SEGMENT_BYTES, batch_at
from bridge.log.segments.layout import journal_directory, segment_offsets, segment_path
from schemas.topics import GROUP
from tests.segment_log import submit

SIZE = 2048  # of a segment
BEGAN = 1_700_000_000_000
SECONDS = 10
T = TypeVar("T")
sizes = st.sampled_from((0, 1, 30, 200, 700))
share = st.floats(0, 1)


def picked(among: Sequence[T], at: float) -> T:
    """Return one of them: what there is may differ from run to run, what is drawn (a share) may not."""
    return among[min(int(at * len(among)), len(among) - 1)]


class Disk:
    """What the tests do to the disk under the log; ``syncs`` fail while ``broken``."""

    broken = False
    synced_ends: ClassVar[dict[Path, bytes]] = {}


@pytest.fixture
def breakable(monkeypatch: pytest.MonkeyPatch) -> None:
    real_sync, real_end_sync = disk.sync, durable_end.EndFile.sync

    def sync(fd: int) -> None:
        if Disk.broken:
            raise OSError(5, "Input/output error")
        real_sync(fd)

    def end_sync(end: durable_end.EndFile) -> None:
        real_end_sync(end)
        Disk.synced_ends[end._path] = end._map[:]

    monkeypatch.setattr(disk, "sync", sync)
    monkeypatch.setattr(durable_end.EndFile, "sync", end_sync)
    monkeypatch.setattr(allocator, "RETRY_SECONDS", 0.02)


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path | None]:
    """A disk of 1 MiB, None where this user may not mount one."""
    directory = Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        warnings.warn(
            f"NOT TESTED ON A FULL DISK: mount of a tmpfs failed: {mounted.stderr.strip()}", stacklevel=1
        )
    yield None if mounted.returncode else directory
    if not mounted.returncode:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
    directory.rmdir()


class SegmentMachine(RuleBasedStateMachine):
    """Runs the real log, threads and all."""

    base: ClassVar[Path]
    can_fill: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        self.data_dir = Path(tempfile.mkdtemp(dir=self.base))
        self.directory = journal_directory(self.data_dir, 1)
        self.loop = asyncio.new_event_loop()
        self.now = BEGAN
        self.latest = 0  # the latest time the log must remember
        self.count = 0
        self.acked: dict[int, Record] = {}  # the model
        self.unsure: dict[str, Record] = {}  # written, never acknowledged: may be there, once
        self.end = 0  # no offset below it may be given again
        self.needed = 0  # nothing at or behind it may be forgotten
        self.damaged: set[int] = set()  # may be missing, if it was reported
        self.seen = 0  # up to where the reader in the other process got
        self.cursor: Cursor | None = None
        self.capture = capture_logs()
        self.logs = self.capture.__enter__()
        self.open()

    # Opening and closing

    def open(self) -> None:
        self.log = self.loop.run_until_complete(
            asyncio.to_thread(
                open_journal,
                self.data_dir,
                loop=self.loop,
                segment_bytes=SIZE,
                max_bytes=8 * SIZE,
                now_ms=lambda: self.now,
            )
        )
        self.view = LogView(self.directory)
        self.seed = self.log._files.identity.seed
        assert self.log.number == 1
        assert self.log.end_offset >= self.end
        assert self.log.floor_ms >= self.latest

    def close(self) -> None:
        self.loop.run_until_complete(self.log.close(SECONDS))
        self.view.close()

    def teardown(self) -> None:
        if self.cursor is not None:
            self.cursor.close()
        self.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.capture.__exit__(None, None, None)
        shutil.rmtree(self.data_dir)

    # Appending

    def records(self, sizes: list[int]) -> list[Record]:
        numbers = range(self.count, self.count + len(sizes))
        self.count += len(sizes)
        return [
            Record(GROUP, f"g{number % 3}", b"." * size, {"n": str(number)}, self.now)
            for number, size in zip(numbers, sizes, strict=True)
        ]

    async def submitted(self, groups: list[list[Record]]) -> list[Any]:
        """Submit each group; return positions, or the error that came, in order."""
        answers = [await self.entered(group) for group in groups]
        waiting = [answer for answer in answers if not isinstance(answer, LogError)]
        async with asyncio.timeout(SECONDS):
            results = iter(await asyncio.gather(*waiting, return_exceptions=True))
        return [answer if isinstance(answer, LogError) else next(results) for answer in answers]

    async def entered(self, group: list[Record]) -> Any:
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    return submit(self.log, *group)
                except JournalBusy:  # the next segment is being allocated
                    await asyncio.sleep(0.001)
                except LogError as error:
                    return error

    def append_all(self, groups: list[list[Record]]) -> list[Any]:
        answers = self.loop.run_until_complete(self.submitted(groups))
        for group, answer in zip(groups, answers, strict=True):
            if not isinstance(answer, LogError):
                self.acknowledge(group, answer)
        return answers

    def acknowledge(self, group: list[Record], positions: list[Position]) -> None:
        for record, position in zip(group, positions, strict=True):
            assert position.offset >= self.end, "an offset was given twice"
            self.acked[position.offset] = record
            self.end = position.offset + 1
            self.latest = max(self.latest, self.now)

    @rule(sizes=st.lists(sizes, min_size=1, max_size=6), together=st.booleans())
    def append(self, sizes: list[int], together: bool) -> None:
        records = self.records(sizes)
        groups = [records] if together and sum(sizes) < SIZE / 2 else [[record] for record in records]
        for answer in self.append_all(groups):
            assert not isinstance(answer, LogError) or isinstance(answer, JournalFull)

    @rule(ms=st.integers(-100_000, 100_000))
    def step_clock(self, ms: int) -> None:
        self.now += ms

    # Crashes

    @rule(
        sizes=st.lists(sizes, min_size=1, max_size=3),
        harm=st.sampled_from(("kept", "truncated", "tail lost", "head lost")),
        at=share,
        power_cut=st.booleans(),
    )
    def crash_before_the_sync(self, sizes: list[int], harm: str, at: float, power_cut: bool) -> None:
        records = self.records(sizes)
        Disk.broken = True
        answers = self.append_all([[record] for record in records])
        assert all(isinstance(answer, JournalFailed | JournalFull) for answer in answers)
        assert self.log.failed.is_set() == any(isinstance(answer, JournalFailed) for answer in answers)
        self.unsure |= {record.headers["n"]: record for record in records}
        segment = self.log._files._segment
        assert segment is not None
        self.close()
        Disk.broken = False
        spoil(segment.path, segment.position, harm, at)
        if power_cut and not self.damaged:  # a rotten last batch and a power cut at once: that is two faults
            (self.directory / "end").write_bytes(Disk.synced_ends[self.directory / "end"])
        self.open()

    @rule()
    def reopen(self) -> None:
        self.close()
        self.open()

    # Damage

    @rule(which=share, at=share, bit=st.integers(0, 7))
    def flip_a_bit_of_any_file_and_reopen(self, which: float, at: float, bit: int) -> None:
        self.close()
        files = [path for path in self.directory.rglob("*") if path.is_file() and "damaged" not in path.parts]
        self.flip(picked(sorted(files), which), at, bit)
        self.open()

    @rule(which=share, at=share, bit=st.integers(0, 7))
    def flip_a_bit_of_a_segment_in_use(self, which: float, at: float, bit: int) -> None:
        paths = [segment_path(self.directory, offset) for offset in segment_offsets(self.directory)]
        self.flip(picked(paths, which), at, bit)

    def flip(self, path: Path, at: float, bit: int) -> None:
        """Flip one bit of the file, mostly where something is written."""
        content = bytearray(path.read_bytes())
        written = len(content.rstrip(b"\0"))
        if content:
            position = picked(range(min(len(content), written + 100)), at)
            self.damaged |= offsets_at(bytes(content), position, self.seed)
            content[position] ^= 1 << bit
            with path.open("r+b") as file:
                file.write(content)

    # Marks, retention, full disks

    @rule(at=share)
    def mark(self, at: float) -> None:
        begin, end = self.view.bounds()
        self.view.write_mark("relay", begin + int(at * (end - begin)), self.now)

    @rule(age=st.integers(0, 100_000), at=share)
    def forget(self, age: int, at: float) -> None:
        begin, end = self.view.bounds()
        needed = begin + int(at * (end - begin))
        self.needed = max(needed, self.needed)
        self.log.forget(self.now, age, {"relay": self.needed})
        assert self.view.bounds().begin <= max(begin, self.needed)

    @rule()
    def fill_to_the_limit_and_make_room(self) -> None:
        self.fill()
        self.heal()

    @precondition(lambda self: self.can_fill)
    @rule(reopen=st.booleans())
    def fill_the_disk_and_make_room(self, reopen: bool) -> None:
        ballast = self.data_dir / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass
        self.fill()
        if reopen:
            self.close()
            self.open()
        ballast.unlink()
        self.heal()

    def fill(self) -> None:
        """Append until the log says it is full; everything it accepted on the way is acknowledged."""
        for _ in range(100):
            [*answers] = self.append_all([self.records([700]) for _ in range(3)])
            if any(isinstance(answer, LogError) for answer in answers):
                assert all(isinstance(answer, JournalFull | list) for answer in answers)
                if not self.log.is_writable():  # else it found room meanwhile in what it was told to forget
                    assert not self.log.failed.is_set(), "full is what it is, then"
                    return
        raise AssertionError("the log never said that it is full")

    def heal(self) -> None:
        async def writable() -> None:
            async with asyncio.timeout(SECONDS):
                while not self.log.is_writable():
                    self.needed = self.end
                    await asyncio.to_thread(self.log.forget, self.now, 10**12, {"relay": self.end})
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(writable())
        [answer] = self.append_all([self.records([30])])
        assert not isinstance(answer, LogError)

    # What must hold

    @rule(count=st.integers(1, 20))
    def read_on_in_another_process(self, count: int) -> None:
        end = self.view.end()
        if self.cursor is None:
            self.cursor = self.view.cursor(TopicPartition("", 1), self.view.bounds().begin, None)
            self.seen = self.cursor.next_offset
        try:
            found = self.cursor.read(count, end)
        except OffsetGone:
            self.cursor.close()
            self.cursor = None
            assert self.view.bounds().begin > self.seen
            return
        self.compare(found, self.seen, self.cursor.next_offset)
        self.seen = self.cursor.next_offset

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        begin, end, found = self.read_all()
        self.compare(found, begin, end)
        numbers = [stored.record.headers["n"] for stored in found]
        assert len(numbers) == len(set(numbers)), "a record stands in the log twice"

    def read_all(self) -> tuple[int, int, list[StoredRecord]]:
        """Return what the log holds, and from where to where, though it forgets what it may meanwhile."""
        while True:
            begin, end = self.view.bounds()
            found: list[StoredRecord] = []
            with suppress(OffsetGone):
                cursor = self.view.cursor(TopicPartition("", 1), begin, None)
                with closing(cursor):
                    while cursor.next_offset < end:
                        found += cursor.read(1000, end)
                    return begin, end, found

    def compare(self, found: list[StoredRecord], begin: int, end: int) -> None:
        for offset, record in found:
            if offset not in self.acked:
                assert self.unsure.pop(record.headers["n"]) == record
                self.acked[offset] = record
                self.end = max(self.end, offset + 1)
            assert self.acked[offset] == record
        offsets = [stored.offset for stored in found]
        assert offsets == sorted(set(offsets))
        missing = {offset for offset in self.acked if begin <= offset < end} - set(offsets)
        assert missing <= self.damaged, "a record is missing that nothing happened to"
        assert missing <= self.reported, "damage was passed over in silence"
        assert self.reported & set(self.acked) <= self.damaged, "a loss was reported of what is not damaged"

    @property
    def reported(self) -> set[int]:
        lost = [event for event in self.logs if event["event"] == "records.lost"]
        return {offset for event in lost for offset in range(event["first_offset"], event["until_offset"])}


def spoil(path: Path, position: int, harm: str, at: float) -> None:
    """Do to the bytes behind ``position``, which were never synced, what a crash may do to them."""
    content = bytearray(path.read_bytes())
    written = len(content.rstrip(b"\0"))
    cut = position + int(at * max(0, written - position))
    if harm == "truncated":
        del content[cut:]
    elif harm == "tail lost":
        content[cut:] = bytes(len(content) - cut)
    elif harm == "head lost":
        content[position:cut] = bytes(cut - position)
    path.write_bytes(content)


def offsets_at(content: bytes, position: int, seed: int) -> set[int]:
    """Return the offsets of the batch that the byte at ``position`` of a segment belongs to."""
    start = SEGMENT_BYTES
    while 0 <= start < len(content):
        batch = batch_at(content, start, seed, "the test")
        if batch is None:
            start = content.find(b"\xffimB", start + 1)
            continue
        if batch.position <= position < batch.stop:
            return set(range(batch.first_offset, batch.next_offset))
        start = batch.stop
    return set()


@pytest.mark.usefixtures("breakable")
def test_the_log_holds_what_it_acknowledged_whatever_happens(small_disk: Path | None, tmp_path: Path) -> None:
    SegmentMachine.base = small_disk or tmp_path
    SegmentMachine.can_fill = small_disk is not None
    run_state_machine_as_test(
        SegmentMachine,
        settings=settings(
            max_examples=int(os.environ.get("SEGMENT_EXAMPLES", "60")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
