"""Walks one segment log forward from an offset, in any process, verifying every batch. Blocking."""

from bisect import bisect_right
from collections.abc import Collection
from pathlib import Path
from typing import Final

from bridge.errors import LogError, LogUnavailable, OffsetGone
from bridge.log.base import StoredRecord, TopicPartition
from bridge.log.segments import damage
from bridge.log.segments.damage import Gap
from bridge.log.segments.format import BATCH_BYTES, SEGMENT_BYTES, BatchHead
from bridge.log.segments.frames import decode, topic_prefixes
from bridge.log.segments.identity import Identity
from bridge.log.segments.layout import segment_offsets, segment_path
from bridge.log.segments.window import Window

_SCAN_BYTES: Final = 8 << 20
_TRIES: Final = 10


class Cursor:
    """A place in one log; ``next_offset`` is where reading goes on.

    Bytes below the durable end that do not check out are damage: reading goes on at the next batch that
    does, and the loss is counted and named. A segment unlinked while it is read is read to its end.
    """

    def __init__(
        self,
        directory: Path,
        identity: Identity,
        partition: TopicPartition,
        start: int,
        topics: Collection[str] | None,
    ) -> None:
        self.next_offset = start
        self._directory, self._identity, self._partition = directory, identity, partition
        self._prefixes = None if topics is None else topic_prefixes(topics)
        self._window: Window | None = None
        self._first_offset = 0  # of the segment in the window
        self._position = 0  # in that file, of the next batch
        self._walked = 0  # the offset that batch should begin at
        self._loaded = start  # everything before it was loaded or is not wanted
        self._held: list[StoredRecord] = []  # loaded, not yet returned

    def read(self, max_records: int, end_offset: int, newest_from_ms: int = 0) -> list[StoredRecord]:
        """Return the next records before ``end_offset``: at most ``max_records``, from a bounded stretch.

        An empty answer may have made progress, seen at ``next_offset``. Batches without a timestamp of
        ``newest_from_ms`` or later are passed over. Blocks. Raises OffsetGone, LogUnavailable,
        FormatTooNew.
        """
        records = self._hand_out(max_records)
        scanned = 0
        while len(records) < max_records and self._loaded < end_offset and scanned < _SCAN_BYTES:
            try:
                scanned += self._load(end_offset, newest_from_ms)
            except LogError:
                if not records:
                    raise
                break  # what was found comes first, the error with the next call
            records += self._hand_out(max_records - len(records))
        return records

    def _hand_out(self, max_records: int) -> list[StoredRecord]:
        records, self._held = self._held[:max_records], self._held[max_records:]
        self.next_offset = records[-1].offset + 1 if self._held else self._loaded
        return records

    def _load(self, end_offset: int, newest_from_ms: int) -> int:
        try:
            return self._step(end_offset, newest_from_ms)
        except OSError as error:
            raise LogUnavailable(f"{self._directory} cannot be read: {error}") from error

    def _step(self, end_offset: int, newest_from_ms: int) -> int:
        """Load a batch, pass over one, or pass over damage. Return the bytes walked."""
        window = self._window or self._open(end_offset)
        batch = window.batch_at(self._position)
        if batch is None or batch.first_offset < self._walked:
            batch = window.find(self._position, self._walked)
        if batch is None or batch.first_offset >= end_offset:
            self._leave(end_offset)
            return 0
        self._lose(batch.first_offset)
        if batch.next_offset > self._loaded:
            if batch.times.newest_ms >= newest_from_ms:
                self._hold(window, batch)
            self._loaded = batch.next_offset
        self._position, self._walked = window.base + batch.stop, batch.next_offset
        return batch.stop - batch.position

    def _hold(self, window: Window, batch: BatchHead) -> None:
        start = batch.position + BATCH_BYTES
        records = decode(window.data, start, batch.stop, batch.first_offset, self._prefixes)
        wanted = self._loaded
        self._held = records if batch.first_offset >= wanted else [r for r in records if r.offset >= wanted]

    def _lose(self, until: int) -> None:
        """Pass over the offsets up to ``until``, which no batch holds."""
        if until > self._loaded:
            path = segment_path(self._directory, self._first_offset)
            damage.report(self._identity.uuid, path, Gap(self._loaded, until), "reader")
            self._loaded = until

    def _open(self, end_offset: int) -> Window:
        """Open the segment that holds the next offset wanted. Raises OffsetGone, LogUnavailable."""
        for _ in range(_TRIES):
            offsets = segment_offsets(self._directory)
            place = bisect_right(offsets, self._loaded) - 1
            if place < 0:
                raise self._gone(offsets, end_offset)
            try:
                return self._enter(offsets[place])
            except FileNotFoundError:
                continue  # forgotten between listing and opening
        raise LogUnavailable(f"the segments of {self._directory} change faster than they can be opened")

    def _gone(self, offsets: list[int], end_offset: int) -> OffsetGone:
        begin = offsets[0] if offsets else end_offset
        return OffsetGone(*self._partition, self._loaded, begin, end_offset)

    def _enter(self, first_offset: int) -> Window:
        window = Window(segment_path(self._directory, first_offset), self._identity.seed)
        self.close()
        self._window = window
        self._first_offset = self._walked = first_offset
        self._position = SEGMENT_BYTES
        return window

    def _leave(self, end_offset: int) -> None:
        """Go to the segment after this one, which holds nothing more below the durable end."""
        offsets = segment_offsets(self._directory)
        later = [offset for offset in offsets if offset > self._first_offset]
        if not later or later[0] >= end_offset:
            self._lose(end_offset)
        elif later[0] > self._loaded and later[0] == offsets[0]:
            self.close()
            raise self._gone(offsets, end_offset)
        else:
            self._lose(later[0])
            self._enter(later[0])

    def close(self) -> None:
        """Release the open file."""
        window, self._window = self._window, None
        if window is not None:
            window.close()
