"""A segment log as any process sees it: who it is, what it holds, a cursor into it. Writes only marks."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.errors import LogUnavailable, OffsetGone
from bridge.log.base import Bounds, TopicPartition
from bridge.log.segments.cursor import Cursor
from bridge.log.segments.durable_end import EndView
from bridge.log.segments.identity import read_identity
from bridge.log.segments.layout import segment_offsets, segment_path
from bridge.log.segments.marks import Mark, read_marks, write_mark
from bridge.log.segments.recovery import survey
from bridge.log.segments.segment import header_of

_READ: Final = 1000
_TRIES: Final = 10


class LogView:
    """One segment log, read up to its published durable end."""

    def __init__(self, directory: Path) -> None:
        """Look at the log in ``directory``.

        Raises LogUnavailable (there is none), LogCorrupt, FormatTooNew.
        """
        try:
            self._identity = read_identity(directory)
        except OSError as error:
            raise LogUnavailable(f"{directory} cannot be read: {error}") from error
        self.directory = directory
        self.number = self._identity.number
        self.log_id = self._identity.log_id
        self._end = EndView(directory, self._identity.uuid)

    def end(self) -> int:
        """Return the durable end now. Raises LogUnavailable, FormatTooNew."""
        with self._reading():
            return self._end.offset()

    def bounds(self) -> Bounds:
        """Return what the log holds now. Raises LogUnavailable, FormatTooNew."""
        end = self.end()
        with self._reading():
            offsets = segment_offsets(self.directory)
        return Bounds(min(offsets[0], end) if offsets else end, end)

    def cursor(self, partition: TopicPartition, start: int, topics: Collection[str] | None) -> Cursor:
        """Return a cursor at ``start`` over the records of ``topics``, of all with None.

        Blocks. Raises OffsetGone when the log holds no such offset.
        """
        bounds = self.bounds()
        if start < bounds.begin or (start > bounds.end and start > self._written_end(bounds.end)):
            raise OffsetGone(*partition, start, *bounds)
        return Cursor(self.directory, self._identity, partition, start, topics)

    def _written_end(self, end: int) -> int:
        """Return the end of what is written: after a power cut the published end lags until a writer came."""
        with self._reading():
            offsets = segment_offsets(self.directory)
            if not offsets:
                return end
            data = segment_path(self.directory, offsets[-1]).read_bytes()
        return survey(data, offsets[-1], self._identity.seed, self.directory).next_offset

    def offset_at(self, topic: str, timestamp: int) -> int:
        """Return the first offset of a record of ``topic`` stamped ``timestamp`` (ms) or later, else the end.

        Blocks. Raises LogUnavailable, FormatTooNew.
        """
        for _ in range(_TRIES):
            with suppress(OffsetGone, FileNotFoundError), self._reading():  # forgotten meanwhile
                return self._search(topic, timestamp)
        raise LogUnavailable(f"the segments of {self.directory} change faster than they can be searched")

    def _search(self, topic: str, timestamp: int) -> int:
        end = self.end()
        partition = TopicPartition(topic, self.number)
        cursor = Cursor(self.directory, self._identity, partition, self._start_for(timestamp), (topic,))
        try:
            while cursor.next_offset < end:
                for stored in cursor.read(_READ, end, timestamp):
                    if stored.record.timestamp >= timestamp:
                        return stored.offset
        finally:
            cursor.close()
        return end

    def _start_for(self, timestamp: int) -> int:
        """Return where the last segment begins before which no record is stamped ``timestamp`` or later."""
        offsets = segment_offsets(self.directory)
        start = offsets[0] if offsets else 0
        for first_offset in offsets[1:]:
            header = header_of(self.directory, first_offset)
            if header is not None and header.times.newest_ms >= timestamp:
                break
            if header is not None:
                start = first_offset
        return start

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn an error of the disk into LogUnavailable; a file that was unlinked is the caller's to know."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise LogUnavailable(f"{self.directory} cannot be read: {error}") from error

    def marks(self) -> dict[str, Mark]:
        """Return the marks by name. Raises OSError."""
        return read_marks(self.directory, self._identity.uuid)

    def write_mark(self, name: str, next_offset: int, now_ms: int) -> None:
        """Set a mark. Raises OSError."""
        write_mark(self.directory, self._identity.uuid, name, next_offset, now_ms)

    def close(self) -> None:
        """Release what the view holds."""
        self._end.close()
