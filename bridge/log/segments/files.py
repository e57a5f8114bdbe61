"""The writing side of one segment log: recovery, batches, the next segment, the reserve.

Blocking, and for one writer at a time who holds the log's lock: the journal's writer thread, or a process
appending to control. Only ``allocate`` and ``forget`` may run beside it, each in one other thread.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from bridge.errors import JournalFull, LogUnavailable
from bridge.log.base import Bounds
from bridge.log.clock import wall_ms
from bridge.log.segments import damage, disk, recovery
from bridge.log.segments.damage import Gap
from bridge.log.segments.durable_end import DurableEnd, EndFile
from bridge.log.segments.forgetting import forgettable_until
from bridge.log.segments.format import SEGMENT_BYTES, SegmentHeader, Times, pack_batch, read_segment_header
from bridge.log.segments.identity import open_identity
from bridge.log.segments.listing import Listing
from bridge.log.segments.marks import read_marks
from bridge.log.segments.reserve import OUT_OF_SPACE, Reserve
from bridge.log.segments.segment import Segment
from bridge.telemetry import logger

_DAY_MS: Final = 86_400_000
_log = logger("segments")


class SegmentFiles:
    """A log opened and recovered for writing; ``lost_records`` says how many recovery found missing."""

    def __init__(
        self,
        directory: Path,
        number: int,
        *,
        segment_bytes: int,
        max_bytes: int,
        spare_bytes: int = 0,
        now_ms: Callable[[], int] = wall_ms,
        trust_end: bool = False,
    ) -> None:
        """Open the log in ``directory``, making it if there is none.

        ``spare_bytes`` of the disk are left to others: a third segment that would take them is not made. With
        ``trust_end`` the last segment is searched only when something was begun behind the published end;
        without it the disk must take a sync now. Raises JournalFull (no room for a first segment),
        LogUnavailable (it cannot be allocated for another reason), LogCorrupt, FormatTooNew, OSError.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.identity = open_identity(directory, number)
        self._seed = self.identity.seed
        self._segment_bytes, self._max_bytes, self._now_ms = segment_bytes, max_bytes, now_ms
        self._spare_bytes = spare_bytes
        self._listing = Listing(directory)
        self._reserve = Reserve(directory, segment_bytes)
        self._segment: Segment | None = None
        self.end_offset = self.lost_records = 0
        self._times = Times()
        self._publishing = Lock()
        self._end = EndFile(directory, self.identity.uuid)
        try:
            self._recover(trust_end)
        except BaseException:
            self._release()
            raise

    @property
    def floor_ms(self) -> int:
        """The greatest time the log holds: wall clock at writing or, if believable, a record's timestamp."""
        return self._times.floor_ms

    @property
    def room(self) -> int:
        """Bytes that still fit into the open segment."""
        return 0 if self._segment is None else self._segment.room

    @property
    def reserve_room(self) -> int:
        """Bytes that fit into the segment allocated ahead, 0 when there is none."""
        return self._reserve.room

    @property
    def capacity(self) -> int:
        """Bytes that fit into a new segment: no batch can be larger."""
        return self._segment_bytes - SEGMENT_BYTES

    @property
    def bounds(self) -> Bounds:
        """Where the log begins now, and its durable end."""
        begin = self._listing.begin()
        return Bounds(self.end_offset if begin is None else begin, self.end_offset)

    def _recover(self, trust_end: bool) -> None:
        published = self._end.read()
        last = self._listing.last()
        if last is not None:
            self._miss_the_first(published)
            self._open_last(last, published, trust_end)
        elif published is not None:
            self.end_offset, self._times = published.end_offset, published.times
            self._lose([Gap(published.begin_offset, published.end_offset)], self.directory)
        if not self.room:
            self._begin_segment()
        self._publish()
        if not trust_end:
            self._end.sync()

    def _miss_the_first(self, published: DurableEnd | None) -> None:
        """Count what was never forgotten and stands before the first segment there is."""
        begin = self._listing.begin()
        if published is not None and begin is not None:
            gap = Gap(published.begin_offset, min(begin, published.end_offset))
            self._lose([gap] if gap.records > 0 else [], self.directory)

    def _open_last(self, first_offset: int, published: DurableEnd | None, trust_end: bool) -> None:
        self._segment = segment = Segment(self.directory, first_offset)
        ours = published if published is not None and published.segment == first_offset else None
        if trust_end and ours is not None and segment.is_clean_at(ours.position):
            self.end_offset, self._times = ours.end_offset, ours.times
            segment.stand_at(ours.position)
        else:
            if ours is None:  # its writer may have ended before the name was on disk
                disk.sync_directory(self.directory)
            self._repair(segment, published, SEGMENT_BYTES if ours is None else ours.position)

    def _repair(self, segment: Segment, published: DurableEnd | None, synced: int) -> None:
        data = segment.content()
        found = recovery.survey(data, segment.first_offset, self._seed, segment.path)
        self.end_offset = max(found.next_offset, self._told(published))
        gaps = [gap for gap in (*found.gaps, Gap(found.next_offset, self.end_offset)) if gap.records]
        if gaps:
            recovery.copy_aside(segment.path)
        recovery.write_again(segment.fd, data, synced, found.position)
        if not gaps:
            recovery.zero_tail(segment.fd, data, found.position, segment.path)
        header = read_segment_header(data, segment.path)
        known = found.times.joined(header.times) if header else found.times
        self._times = known.joined(published.times) if published else known
        self._lose(gaps, segment.path)
        segment.stand_at(found.position, sealed=bool(gaps))

    def _told(self, published: DurableEnd | None) -> int:
        """Return the highest end anybody was told: no offset below it may be given again."""
        marks = read_marks(self.directory, self.identity.uuid).values()
        told = max((mark.next_offset for mark in marks), default=0)
        return told if published is None else max(told, published.end_offset)

    def _lose(self, gaps: Sequence[Gap], path: Path) -> None:
        for gap in gaps:
            damage.report(self.identity.uuid, path, gap, "recovery")
            self.lost_records += gap.records

    def _begin_segment(self) -> None:
        try:
            if not self.reserve_room:
                self.allocate()
            self.roll()
        except LogUnavailable as error:
            if self._segment is None:
                raise
            _log.warning("segment.not_begun", directory=str(self.directory), reason=str(error))

    def append(self, parts: Sequence[bytes], count: int, newest_ms: int) -> int:
        """Make ``count`` encoded records durable as one batch, publish it, return the offset of the first.

        ``newest_ms`` is their greatest timestamp. Begins the next segment when this one has no room.
        Raises JournalFull when there is no next one (nothing was written), OSError when a write or sync
        failed: after that nothing may be appended to these files.
        """
        now = self._now_ms()
        times = Times(self._floor(now, newest_ms), max(0, newest_ms))
        data = pack_batch(self._seed, self.end_offset, count, now, times, parts)
        if len(data) > self.room:
            self.roll()
        if self._segment is None or len(data) > self.room:
            raise JournalFull(f"{len(data)} bytes fit into no segment of {self.directory}")
        self._segment.append(data)
        first_offset = self.end_offset
        with self._publishing:
            self.end_offset, self._times = first_offset + count, self._times.joined(times)
            self._publish_now()
        return first_offset

    def _floor(self, now: int, newest_ms: int) -> int:
        """Return the greatest time held. A timestamp over a day ahead is a mistake and holds nothing up."""
        latest = max(self.floor_ms, now)
        return newest_ms if latest < newest_ms <= latest + _DAY_MS else latest

    def _publish(self) -> None:
        with self._publishing:
            self._publish_now()

    def _publish_now(self) -> None:
        if self._segment is not None:
            at = self._segment.first_offset, self._segment.position
            self._end.publish(DurableEnd(self.end_offset, *at, self.bounds.begin, self._times))

    def roll(self) -> None:
        """Make the reserve the open segment, beginning at the end offset. Raises JournalFull, OSError."""
        if not self.reserve_room:
            raise JournalFull(f"{self.directory} has no next segment: {self._what_to_do()}")
        now = self._now_ms()
        header = SegmentHeader(self.identity.uuid, self.end_offset, self._segment_bytes, now, self._times)
        try:
            self._reserve.become_segment(header)
        except OSError as error:
            if error.errno in OUT_OF_SPACE:  # the directory has no room for the name
                raise JournalFull(f"{self.directory} takes no next segment: {self._what_to_do()}") from error
            raise
        with self._publishing:
            before, self._segment = self._segment, Segment(self.directory, self.end_offset)
            self._listing.add(self.end_offset)
            self._reserve.room = 0
            self._publish_now()
        if before is not None:
            before.close()
        self._end.sync()

    def allocate(self, rest_seconds: float = 0.0) -> None:
        """Fill the reserve, the segment ahead of the open one; where that fails nothing is left behind.

        Between its pieces it rests for ``rest_seconds``, so that others come to their turn.
        Raises JournalFull (room would help), LogUnavailable (the disk refuses for another reason).
        """
        try:
            self._look_for_room()
            self._reserve.fill(rest_seconds)
        except OSError as error:
            kind = JournalFull if error.errno in OUT_OF_SPACE else LogUnavailable
            raise kind(
                f"no segment of {self._segment_bytes} bytes can be allocated in {self.directory}: {error}"
            ) from error

    def _look_for_room(self) -> None:
        stored = self._listing.stored_bytes()
        if stored + self._segment_bytes > self._max_bytes:
            raise JournalFull(
                f"{self.directory} holds {stored} of at most {self._max_bytes} bytes: "
                "nothing older may be forgotten yet, or raise the limit"
            )
        spare = self._spare_bytes if self._listing.sealed() else 0  # with one segment alone it must go on
        free = disk.free_bytes(self.directory)
        if free < self._segment_bytes + spare:
            raise JournalFull(
                f"the disk of {self.directory} has {free} bytes free: a segment takes {self._segment_bytes}, "
                f"and {spare} are left to the store and to others"
            )

    def _what_to_do(self) -> str:
        return f"free disk space, or raise the limit of {self._max_bytes} bytes"

    def forgettable_until(self, older_than_ms: int, needed_from: int, under_pressure: bool) -> int:
        """Return the offset before which segments may go: see ``forgetting``. Raises OSError."""
        return forgettable_until(self._listing, older_than_ms, needed_from, under_pressure)

    def forget(self, limit: int) -> int:
        """Unlink the segments that end at or before ``limit``; return how many. Raises OSError.

        That the log begins behind them is published first: a segment missing from then on is a loss.
        """
        gone = self._listing.leave_out(limit)
        if gone:
            self._publish()
            self._end.sync()
            self._listing.unlink(gone)
        return len(gone)

    def close(self) -> None:
        """Put the published end on disk and release the files."""
        try:
            self._end.sync()
        except OSError as error:
            _log.warning("end.not_synced", directory=str(self.directory), error=str(error))
        self._release()

    def _release(self) -> None:
        self._end.close()
        if self._segment is not None:
            self._segment.close()
