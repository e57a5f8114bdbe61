"""One segment file as its writer holds it."""

import os
from pathlib import Path

from bridge.log.segments import disk
from bridge.log.segments.format import BATCH_BYTES, SEGMENT_BYTES, SegmentHeader, read_segment_header
from bridge.log.segments.layout import segment_path


class Segment:
    """The open segment: batches go to ``position``; ``room`` is how many bytes still fit behind it."""

    def __init__(self, directory: Path, first_offset: int) -> None:
        self.path = segment_path(directory, first_offset)
        self.first_offset = first_offset
        self.fd = os.open(self.path, os.O_RDWR)
        self._capacity = os.fstat(self.fd).st_size
        self.stand_at(SEGMENT_BYTES)

    def stand_at(self, position: int, *, sealed: bool = False) -> None:
        """Go on at ``position``, or nowhere when ``sealed``."""
        self.position = position
        self.room = 0 if sealed else max(0, self._capacity - position)

    def append(self, data: bytes) -> None:
        """Write one batch and return once it is on disk. Raises OSError: append nothing after that."""
        disk.write_all(self.fd, data, self.position)
        disk.sync(self.fd)
        self.position += len(data)
        self.room -= len(data)

    def content(self) -> bytes:
        """Return every byte of the file."""
        return disk.read(self.fd, self._capacity, 0)

    def is_clean_at(self, position: int) -> bool:
        """Say whether nothing was begun at ``position``: a writer may have died before publishing it."""
        return not disk.read(self.fd, BATCH_BYTES, position).strip(b"\0")

    def close(self) -> None:
        """Release the file."""
        os.close(self.fd)


def header_of(directory: Path, first_offset: int) -> SegmentHeader | None:
    """Return the header of one segment, None when it does not check out. Raises FormatTooNew, OSError."""
    path = segment_path(directory, first_offset)
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_segment_header(disk.read(fd, SEGMENT_BYTES, 0), path)
    finally:
        os.close(fd)
