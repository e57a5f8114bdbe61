"""The published durable end of a log: written by its writer after each sync, read by every process."""

import mmap
import os
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Final, NamedTuple

from bridge.log.segments import disk, slots
from bridge.log.segments.format import Times, pack_block
from bridge.log.segments.layout import END

_MAGIC: Final = b"imb-end\n"
_BODY: Final = Struct("<16sQQQQQQ")


class DurableEnd(NamedTuple):
    """One past the last synced record, where that stands, where the log begins, and its times."""

    end_offset: int
    segment: int
    position: int
    begin_offset: int
    times: Times


def decode_end(data: bytes, uuid: bytes, where: object) -> DurableEnd | None:
    """Return what a log's ``end`` file says, None when neither slot checks out. Raises FormatTooNew."""
    ends = []
    for body in slots.bodies(data, _MAGIC, where):
        if body is not None:
            owner, end, segment, position, begin, floor_ms, newest_ms = _BODY.unpack(body)
            if owner == uuid:
                ends.append(DurableEnd(end, segment, position, begin, Times(floor_ms, newest_ms)))
    return max(ends, default=None)


class EndFile:
    """The writer's hand on ``end``; both slots hold the same, so damage to one loses nothing.

    Mapped: publishing is a copy, neither a system call nor a hand-over of the interpreter lock.
    """

    def __init__(self, directory: Path, uuid: bytes) -> None:
        """Open the file, making it or mending its size in place. Raises OSError."""
        self._path = directory / END
        self._uuid = uuid
        if not self._path.exists():
            disk.create(self._path, bytes(slots.FILE_BYTES))
        self._fd = os.open(self._path, os.O_RDWR)
        try:
            self._mend_size()
            self._map = mmap.mmap(self._fd, slots.FILE_BYTES)
        except BaseException:
            os.close(self._fd)
            raise

    def _mend_size(self) -> None:
        """Fill a file that was cut short with written zeros: a hole would need space at some later store."""
        found = disk.read(self._fd, slots.FILE_BYTES, 0)
        if len(found) < slots.FILE_BYTES:
            disk.write_all(self._fd, bytes(slots.FILE_BYTES - len(found)), len(found))
            os.fsync(self._fd)

    def read(self) -> DurableEnd | None:
        """Return what is published, None when neither slot checks out. Raises FormatTooNew."""
        return decode_end(self._map[:], self._uuid, self._path)

    def publish(self, end: DurableEnd) -> None:
        """Show ``end`` to every process, at once."""
        block = pack_block(_MAGIC, _BODY.pack(self._uuid, *end[:-1], *end.times))
        self._map[: len(block)] = block
        self._map[slots.SLOT_BYTES : slots.SLOT_BYTES + len(block)] = block

    def sync(self) -> None:
        """Put what is published on disk. Raises OSError."""
        disk.sync(self._fd)

    def close(self) -> None:
        """Release the file."""
        self._map.close()
        os.close(self._fd)


class EndView:
    """What a log has published, seen from any process."""

    def __init__(self, directory: Path, uuid: bytes) -> None:
        self._path = directory / END
        self._uuid = uuid
        self._fd = -1
        self._offset = 0
        self._opening = Lock()

    def offset(self) -> int:
        """Return the durable end; it never goes back. Raises FormatTooNew, OSError."""
        if self._fd < 0 and not self._open():
            return self._offset
        end = decode_end(os.pread(self._fd, slots.FILE_BYTES, 0), self._uuid, self._path)
        if end is not None:
            self._offset = max(self._offset, end.end_offset)
        return self._offset

    def _open(self) -> bool:
        with self._opening:
            if self._fd < 0 and self._path.exists():
                self._fd = os.open(self._path, os.O_RDONLY)
        return self._fd >= 0

    def close(self) -> None:
        """Release the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
