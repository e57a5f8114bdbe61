"""Small files that are preallocated once and overwritten in place: two slots, each a checksummed block.

Overwriting needs no free space, and one damaged or half-written slot leaves the other.
"""

import os
from pathlib import Path
from typing import Final

from bridge.log.segments import disk
from bridge.log.segments.format import read_block

SLOT_BYTES: Final = 512  # one sector each
FILE_BYTES: Final = 2 * SLOT_BYTES


def both(block: bytes) -> bytes:
    """Return the whole file with ``block`` in each slot."""
    return block.ljust(SLOT_BYTES, b"\0") * 2


def bodies(data: bytes, magic: bytes, where: object) -> tuple[bytes | None, bytes | None]:
    """Return the body in each slot of the file's content, None for one that does not check out."""
    return (
        read_block(data[:SLOT_BYTES], magic, where),
        read_block(data[SLOT_BYTES:FILE_BYTES], magic, where),
    )


def read_file(path: Path, magic: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the body in each slot of the file; a missing file has none. Raises FormatTooNew, OSError."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None, None
    try:
        return bodies(disk.read(fd, FILE_BYTES, 0), magic, path)
    finally:
        os.close(fd)


def overwrite(path: Path, block: bytes) -> None:
    """Put ``block`` into both slots of the file, one after the other, on disk. Raises OSError."""
    fd = os.open(path, os.O_RDWR)
    try:
        for position in (0, SLOT_BYTES):
            disk.write_all(fd, block.ljust(SLOT_BYTES, b"\0"), position)
            disk.sync(fd)
    finally:
        os.close(fd)
