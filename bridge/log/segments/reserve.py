"""The reserve: the segment allocated and zero-filled ahead of need, which becomes the next one."""

import errno
import os
from pathlib import Path
from typing import Final

from bridge.log.segments import disk
from bridge.log.segments.format import SEGMENT_BYTES, SegmentHeader
from bridge.log.segments.layout import FILLING, RESERVE, segment_path

OUT_OF_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Reserve:
    """``room`` is how many bytes fit into the segment ahead, 0 when there is none."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        """Look for a reserve left from before; one of another size is thrown away. Raises OSError."""
        self._directory, self._bytes = directory, segment_bytes
        self._path = directory / RESERVE
        self._path.with_name(RESERVE + FILLING).unlink(missing_ok=True)
        if self._path.exists() and self._path.stat().st_size != segment_bytes:
            self._path.unlink()
        self.room = segment_bytes - SEGMENT_BYTES if self._path.exists() else 0

    def fill(self, rest_seconds: float = 0.0) -> None:
        """Make the reserve, on disk. Leaves nothing behind when it cannot. Raises OSError."""
        disk.fill_with_zeros(self._path, self._bytes, rest_seconds)
        self.room = self._bytes - SEGMENT_BYTES

    def become_segment(self, header: SegmentHeader) -> None:
        """Give the reserve its header and its name, on disk; whoever knows of it then sets ``room`` to 0.

        Raises OSError: out of space for the name, the reserve is still there.
        """
        fd = os.open(self._path, os.O_RDWR)
        try:
            disk.write_all(fd, header.pack(), 0)
            disk.sync(fd)
        finally:
            os.close(fd)
        self._path.rename(segment_path(self._directory, header.first_offset))
        disk.sync_directory(self._directory)
