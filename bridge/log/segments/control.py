"""Control: the segment log to which every process appends, under a lock taken for each append.

Rules, replays, dead letters, operations; and events appended by a process that holds no journal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from bridge.errors import JournalFull, LogUnavailable, RecordRefused
from bridge.log.base import Position, Record, StoredRecord, TopicPartition
from bridge.log.clock import wall_ms
from bridge.log.segments.cursor import Cursor
from bridge.log.segments.files import SegmentFiles
from bridge.log.segments.format import BATCH_BYTES
from bridge.log.segments.frames import encode
from bridge.log.segments.layout import CONTROL_NUMBER, LOCK, control_directory
from bridge.log.segments.locks import lock_within
from bridge.log.segments.marks import read_marks
from bridge.telemetry import JOURNAL_BYTES, JOURNAL_RECORDS, logger
from schemas.topics import TOPICS

SEGMENT_BYTES: Final = 16 << 20
MAX_BYTES: Final = 2 << 30
_LOCK_SECONDS: Final = 10.0
_READ: Final = 1000
_BATCH_LIMIT: Final = 4 << 20
_COMPACTED: Final = tuple(topic.name for topic in TOPICS.values() if "compact" in topic.cleanup)
_log = logger("segments")


class ControlLog:
    """The writing side of ``control/``. Each call opens the log, does its work and lets go. Blocking."""

    def __init__(
        self,
        data_dir: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        max_bytes: int = MAX_BYTES,
        lock_seconds: float = _LOCK_SECONDS,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.directory = control_directory(data_dir)
        self._segment_bytes, self._max_bytes = segment_bytes, max_bytes
        self._lock_seconds, self._now_ms = lock_seconds, now_ms
        self._turn = Lock()
        self._filled = self._failed = False

    def create(self) -> None:
        """Make the log if there is none. Raises as ``append``."""
        with self._opened():
            pass

    def append(self, records: Sequence[Record]) -> list[Position]:
        """Make the records durable, in order, and return where each stands.

        Raises RecordRefused (one is too large; nothing was appended), JournalFull, LogUnavailable (the lock
        was not to be had, or a write or sync failed: then the records may stand all the same).
        """
        if not records:
            return []
        frames = [(record, encode(record)) for record in records]
        with self._opened() as files:
            for record, frame in frames:
                if len(frame) + BATCH_BYTES > files.capacity:
                    raise RecordRefused(
                        f"a record of {record.topic} has {len(frame)} bytes: control takes {files.capacity}"
                    )
            return self._write(files, frames)

    def _write(self, files: SegmentFiles, frames: Sequence[tuple[Record, bytes]]) -> list[Position]:
        """Append the frames, in as many batches as they need."""
        positions: list[Position] = []
        limit = min(_BATCH_LIMIT, files.capacity) - BATCH_BYTES
        while len(positions) < len(frames):
            start = stop = len(positions)
            size = 0
            while stop < len(frames) and (stop == start or size + len(frames[stop][1]) <= limit):
                size += len(frames[stop][1])
                stop += 1
            positions += self._write_batch(files, frames[start:stop], size)
        return positions

    def _write_batch(
        self, files: SegmentFiles, frames: Sequence[tuple[Record, bytes]], size: int
    ) -> list[Position]:
        if size + BATCH_BYTES > files.room and not files.reserve_room:
            files.allocate()
        newest_ms = max(record.timestamp for record, _ in frames)
        offset = files.append([frame for _, frame in frames], len(frames), newest_ms)
        JOURNAL_RECORDS.inc(len(frames))
        JOURNAL_BYTES.inc(size)
        return [
            Position(record.topic, CONTROL_NUMBER, place) for place, (record, _) in enumerate(frames, offset)
        ]

    @contextmanager
    def _opened(self) -> Iterator[SegmentFiles]:
        with self._turn, lock_within(self.directory / LOCK, self._lock_seconds):
            files = self._open()
            try:
                yield files
            except OSError as error:
                self._say_failed(error)
                raise LogUnavailable(
                    f"writing to {self.directory} failed ({error}): try again once the disk is well"
                ) from error
            else:
                self._failed = False
            finally:
                files.close()

    def _say_failed(self, error: OSError) -> None:
        """Log it once. What a failed sync left in memory, the next opening writes once more: recovery."""
        if not self._failed:
            _log.critical("control.failed", directory=str(self.directory), error=repr(error))
        self._failed = True

    def _open(self) -> SegmentFiles:
        try:
            return SegmentFiles(
                self.directory,
                CONTROL_NUMBER,
                segment_bytes=self._segment_bytes,
                max_bytes=self._max_bytes,
                now_ms=self._now_ms,
                trust_end=True,
            )
        except OSError as error:
            raise LogUnavailable(f"{self.directory} cannot be opened: {error}") from error

    def forget(self, now_ms: int, keep_ms: int) -> int:
        """Unlink whole segments older than ``keep_ms`` and below every mark; return how many.

        What compacted topics still say in them is appended again first, so that only superseded keys and
        tombstones go. When a further segment cannot be allocated, a younger one goes too, logged. Raises
        as ``append``.
        """
        with self._opened() as files:
            return self._forget(files, now_ms - keep_ms)

    def _forget(self, files: SegmentFiles, older_than_ms: int) -> int:
        marks = read_marks(self.directory, files.identity.uuid).values()
        needed_from = min((mark.next_offset for mark in marks), default=files.end_offset)
        limit = files.forgettable_until(older_than_ms, needed_from, self._is_full(files))
        if not limit:
            return 0
        self._carry_forward(files, limit)
        return files.forget(limit)

    def _is_full(self, files: SegmentFiles) -> bool:
        """Say whether there is no segment ahead and none can be allocated; logged when that changes."""
        try:
            if not files.reserve_room:
                files.allocate()
        except JournalFull as error:
            if not self._filled:
                _log.warning("control.filled", directory=str(self.directory), reason=str(error))
            self._filled = True
        else:
            self._filled = False
        return self._filled

    def _carry_forward(self, files: SegmentFiles, limit: int) -> None:
        """Append again what compacted topics hold before ``limit`` and nothing behind it supersedes."""
        latest = {_place(stored): stored.offset for stored in _compacted(files, files.end_offset)}
        live = [
            (stored.record, encode(stored.record))
            for stored in _compacted(files, limit)
            if latest[_place(stored)] == stored.offset and stored.record.value is not None
        ]
        self._write(files, live)
        if live:
            _log.info("records.carried_forward", directory=str(self.directory), records=len(live))


def _place(stored: StoredRecord) -> tuple[str, str | int]:
    """Return what later records of the same topic supersede: the key; a record without one stands alone."""
    topic, key = stored.record.topic, stored.record.key
    return topic, stored.offset if key is None else key


def _compacted(files: SegmentFiles, until: int) -> Iterator[StoredRecord]:
    partition = TopicPartition("", CONTROL_NUMBER)
    cursor = Cursor(files.directory, files.identity, partition, files.bounds.begin, _COMPACTED)
    try:
        while cursor.next_offset < until:
            yield from cursor.read(_READ, until)
    finally:
        cursor.close()
