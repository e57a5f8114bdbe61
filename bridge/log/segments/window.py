"""A segment file being read: a stretch of its bytes in memory, moved along as reading goes on."""

import os
from pathlib import Path
from typing import Final

from bridge.log.segments import disk
from bridge.log.segments.format import (
    SEGMENT_BYTES,
    BatchHead,
    batch_at,
    batch_stop,
    find_batch,
    read_segment_header,
)

_CHUNK_BYTES: Final = 128 << 10


class Window:
    """``data`` holds the file's bytes from ``base`` on; positions of batches are within ``data``."""

    def __init__(self, path: Path, seed: int) -> None:
        """Open the file. Raises FileNotFoundError (forgotten), FormatTooNew, OSError."""
        self.path = path
        self.base = 0
        self.data = b""
        self._seed = seed
        self._fd = os.open(path, os.O_RDONLY)
        self._size = os.fstat(self._fd).st_size
        read_segment_header(disk.read(self._fd, SEGMENT_BYTES, 0), path)

    def batch_at(self, position: int) -> BatchHead | None:
        """Return the batch at ``position`` of the file, None when none checks out there on disk now."""
        batch = self._look(position)
        if batch is None:
            self._fill(position, _CHUNK_BYTES)
            batch = self._look(position)
        if batch is None:
            stop = batch_stop(self.data, position - self.base)
            if len(self.data) < stop <= self._size - position:
                self._fill(position, stop)
                batch = self._look(position)
        return batch

    def find(self, position: int, least_offset: int) -> BatchHead | None:
        """Return the first valid batch behind ``position`` that begins at ``least_offset`` or later."""
        self._fill(position, max(0, self._size - position))
        return find_batch(self.data, 1, self._seed, least_offset, self.path)

    def _look(self, position: int) -> BatchHead | None:
        if position < self.base:
            return None
        return batch_at(self.data, position - self.base, self._seed, self.path)

    def _fill(self, position: int, count: int) -> None:
        self.base, self.data = position, disk.read(self._fd, count, position)

    def close(self) -> None:
        """Release the file."""
        os.close(self._fd)
