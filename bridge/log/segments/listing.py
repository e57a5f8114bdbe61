"""The segments of one log as its writer knows them: listed, sized, and unlinked when they are forgotten."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock

from bridge.log.segments import disk
from bridge.log.segments.layout import segment_offsets, segment_path
from bridge.log.segments.segment import header_of
from bridge.telemetry import logger

_log = logger("segments")


class Listing:
    """First offsets in order. The writer adds; forgetting, in another thread, takes from the front."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = Lock()
        self._offsets = segment_offsets(directory)

    def begin(self) -> int | None:
        """Return the first offset the log holds, None when it has no segment."""
        with self._lock:
            return self._offsets[0] if self._offsets else None

    def last(self) -> int | None:
        """Return the first offset of the last segment, None when the log has none."""
        with self._lock:
            return self._offsets[-1] if self._offsets else None

    def add(self, first_offset: int) -> None:
        """Know the new last segment; one that replaces an empty one is known already."""
        with self._lock:
            if first_offset not in self._offsets[-1:]:
                self._offsets.append(first_offset)

    def stored_bytes(self) -> int:
        """Return what the segments take on disk."""
        with self._lock:
            offsets = tuple(self._offsets)
        return sum(_size(segment_path(self.directory, offset)) for offset in offsets)

    def sealed(self) -> list[tuple[int, int]]:
        """Return where each segment but the last begins and ends, oldest first."""
        with self._lock:
            return list(pairwise(self._offsets))

    def leave_out(self, limit: int) -> list[int]:
        """List the segments that end at or before ``limit`` no longer; return where they begin."""
        with self._lock:
            gone = [first for first, until in pairwise(self._offsets) if until <= limit]
            del self._offsets[: len(gone)]
        return gone

    def unlink(self, gone: Sequence[int]) -> None:
        """Unlink the segments that begin at these offsets. Raises OSError."""
        for first in gone:
            segment_path(self.directory, first).unlink(missing_ok=True)
        disk.sync_directory(self.directory)
        begin = self.begin()
        _log.info("segments.forgotten", directory=str(self.directory), segments=len(gone), begin_offset=begin)

    def written_until_ms(self, until: int) -> int:
        """Return when the segment that ends at ``until`` was sealed: when the one after it was begun."""
        header = header_of(self.directory, until)
        if header is not None:
            return header.created_ms
        return int(segment_path(self.directory, until).stat().st_mtime * 1000)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # forgotten meanwhile
        return 0
