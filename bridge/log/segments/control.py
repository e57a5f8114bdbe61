"""Control: the segment log to which every process appends, under a lock taken for each append.

Rules, replays, dead letters, operations; and events appended by a process that holds no journal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from bridge.errors import JournalFailed, JournalFull, LogUnavailable, RecordRefused
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
        self._failure: str | None = None

    def create(self) -> None:
        """Make the log if there is none. Raises as ``append``."""
        with self._opened():
            pass

    def append(self, records: Sequence[Record]) -> list[Position]:
        """Make the records durable, in order, and return where each stands.

        Raises RecordRefused (too large), JournalFull, LogUnavailable (the lock was not to be had), and
        JournalFailed from the first failed write or sync on.
        """
        if not records:
            return []
        data = b"".join(map(encode, records))
        with self._opened() as files:
            offset = self._write(files, [data], records)
        return [Position(record.topic, CONTROL_NUMBER, place) for place, record in enumerate(records, offset)]

    def _write(self, files: SegmentFiles, parts: list[bytes], records: Sequence[Record]) -> int:
        size = sum(map(len, parts)) + BATCH_BYTES
        if size > files.capacity:
            raise RecordRefused(f"{len(records)} record(s) of {size} bytes: control takes {files.capacity}")
        if size > files.room and not files.reserve_room:
            files.allocate()
        offset = files.append(parts, len(records), max(record.timestamp for record in records))
        JOURNAL_RECORDS.inc(len(records))
        JOURNAL_BYTES.inc(size)
        return offset

    @contextmanager
    def _opened(self) -> Iterator[SegmentFiles]:
        with self._turn, lock_within(self.directory / LOCK, self._lock_seconds):
            if self._failure is not None:
                raise JournalFailed(self._failure)
            files = self._open()
            try:
                yield files
            except OSError as error:
                self._failure = (
                    f"writing to {self.directory} failed ({error}): this process accepts nothing more; "
                    "start it again once the disk is well"
                )
                _log.critical("control.failed", directory=str(self.directory), error=repr(error))
                raise JournalFailed(self._failure) from error
            finally:
                files.close()

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
        limit = files.forgettable_until(older_than_ms, needed_from, _is_full(files))
        if not limit:
            return 0
        self._carry_forward(files, limit)
        return files.forget(limit)

    def _carry_forward(self, files: SegmentFiles, limit: int) -> None:
        """Append again what compacted topics hold before ``limit`` and nothing behind it supersedes."""
        latest = {_place(stored): stored.offset for stored in _compacted(files, files.end_offset)}
        live = [
            stored.record
            for stored in _compacted(files, limit)
            if latest[_place(stored)] == stored.offset and stored.record.value is not None
        ]
        for record in live:
            self._write(files, [encode(record)], [record])
        if live:
            _log.info("records.carried_forward", directory=str(self.directory), records=len(live))


def _is_full(files: SegmentFiles) -> bool:
    if files.reserve_room:
        return False
    try:
        files.allocate()
    except JournalFull as error:
        _log.warning("control.filled", directory=str(files.directory), reason=str(error))
        return True
    return False


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
