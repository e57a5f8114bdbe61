"""Who a segment log is: a random identity, given once, and its stable number."""

import os
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID, uuid4
from zlib import crc32

from bridge.errors import LogCorrupt, LogUnavailable
from bridge.log.segments import disk, slots
from bridge.log.segments.format import SEGMENT_BYTES, pack_block, read_segment_header
from bridge.log.segments.layout import IDENTITY, number_of, segment_offsets, segment_path
from bridge.telemetry import logger

_MAGIC: Final = b"imb-idn\n"
_BODY: Final = Struct("<16sI")
_RESTORE: Final = "restore the directory from a backup, or move it away to start a new log"
_log = logger("segments")


class Identity(NamedTuple):
    """The random identity of a log and its number, which is its partition number in every topic."""

    uuid: bytes
    number: int

    @property
    def log_id(self) -> str:
        """The identity as checkpoints name it."""
        return f"journal:{UUID(bytes=self.uuid)}"

    @property
    def seed(self) -> int:
        """Where the checksum of every batch starts, so that no batch of another log checks out here."""
        return crc32(self.uuid)


def read_identity(directory: Path) -> Identity:
    """Return who the log in ``directory`` is: by its identity file, else by what its segments say.

    Raises LogUnavailable (there is none), LogCorrupt, FormatTooNew, OSError.
    """
    first, second = _slots(directory)
    found = first or second or _from_segments(directory, number_of(directory))
    if found is not None:
        return found
    path = directory / IDENTITY
    if path.exists():
        raise LogCorrupt(f"{path} does not check out, and no segment says whose it is: {_RESTORE}")
    raise LogUnavailable(f"{directory} holds no log: it is made when a process first writes to it")


def open_identity(directory: Path, number: int) -> Identity:
    """Return who the log in ``directory`` is, giving it an identity if it is new. Needs the log's lock.

    A damaged identity file is written again from what the segments say. Raises LogCorrupt, FormatTooNew,
    OSError.
    """
    slots_found = _slots(directory)
    found = slots_found[0] or slots_found[1] or _from_segments(directory, number) or _new(directory, number)
    if slots_found != (found, found):
        _write(directory / IDENTITY, found)
    if found.number != number:
        raise LogCorrupt(
            f"{directory} holds log number {found.number}: it was renamed or copied here; "
            "move it back, its records are read by that number"
        )
    return found


def _slots(directory: Path) -> tuple[Identity | None, Identity | None]:
    first, second = slots.read_file(directory / IDENTITY, _MAGIC)
    return _unpack(first), _unpack(second)


def _unpack(body: bytes | None) -> Identity | None:
    return None if body is None else Identity(*_BODY.unpack(body))


def _write(path: Path, identity: Identity) -> None:
    """Write the file, in place where it exists: mending it must not need free space."""
    block = pack_block(_MAGIC, _BODY.pack(*identity))
    if path.exists() and path.stat().st_size == slots.FILE_BYTES:
        slots.overwrite(path, block)
    else:
        disk.create(path, slots.both(block))


def _from_segments(directory: Path, number: int) -> Identity | None:
    for first_offset in reversed(segment_offsets(directory)):
        path = segment_path(directory, first_offset)
        fd = os.open(path, os.O_RDONLY)
        try:
            header = read_segment_header(disk.read(fd, SEGMENT_BYTES, 0), path)
        finally:
            os.close(fd)
        if header is not None:
            _log.error("identity.damaged", directory=str(directory), taken_from=path.name)
            return Identity(header.uuid, number)
    return None


def _new(directory: Path, number: int) -> Identity:
    if segment_offsets(directory):
        raise LogCorrupt(
            f"{directory} has segments but neither {IDENTITY} nor any segment header checks out: {_RESTORE}"
        )
    return Identity(uuid4().bytes, number)
