"""The system calls a segment log rests on, in one place. Called by everything in this package."""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Final

from bridge.telemetry import logger

PAGE: Final = 4096
_FILL_BYTES: Final = 1 << 18
_SYNC_BYTES: Final = 1 << 20
_log = logger("segments")


def write_all(fd: int, data: bytes, position: int) -> None:
    """Write every byte of ``data`` at ``position``. Raises OSError."""
    written = os.pwrite(fd, data, position)
    while written < len(data):
        more = os.pwrite(fd, data[written:], position + written)
        if not more:
            raise OSError(errno.EIO, "the file takes no more bytes")
        written += more


def sync(fd: int) -> None:
    """Return once the file's data is on disk. Raises OSError."""
    if sys.platform == "darwin":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_directory(directory: Path) -> None:
    """Return once the directory's names are on disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(fd: int, count: int, position: int) -> bytes:
    """Return up to ``count`` bytes from ``position``, fewer only at the end of the file.

    A page the disk cannot read comes back as zeros and is logged: what stood there then fails its
    checksum and is counted as damage, and the records around it are still read.
    """
    parts = []
    while count > 0:
        part = _read_once(fd, count, position)
        if not part:
            break
        parts.append(part)
        count -= len(part)
        position += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_once(fd: int, count: int, position: int) -> bytes:
    try:
        return os.pread(fd, count, position)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    page = min(count, PAGE - position % PAGE)
    try:
        return os.pread(fd, page, position)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        _log.error("page.unreadable", file=_name_of(fd), position=position, bytes=page)
        return bytes(min(page, max(0, os.fstat(fd).st_size - position)))


def _name_of(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return f"descriptor {fd}"


def free_bytes(directory: Path) -> int:
    """Return what the disk under ``directory`` still takes from this user. Raises OSError."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def create(path: Path, data: bytes) -> None:
    """Make the file hold exactly ``data``, durably, and never half of it. Raises OSError."""
    filling = path.with_name(path.name + ".filling")
    fd = os.open(filling, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    filling.rename(path)
    sync_directory(path.parent)


def fill_with_zeros(path: Path, size: int, rest_seconds: float = 0.0) -> None:
    """Make ``path`` a file of ``size`` written zeros, on disk. Leaves nothing behind when it cannot.

    Really written: an extent that is only allocated is converted at the first write, and that makes each
    fdatasync wait for the file system's own journal. In pieces with ``rest_seconds`` between them, for the
    core is kept while one is written; synced in steps, so that appends going on beside it do not wait behind
    one large flush. Raises OSError.
    """
    filling = path.with_name(path.name + ".filling")
    try:
        _fill(filling, size, rest_seconds)
        filling.rename(path)
        sync_directory(path.parent)
    except OSError:
        filling.unlink(missing_ok=True)
        raise


def _fill(path: Path, size: int, rest_seconds: float) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        if sys.platform != "darwin":
            os.posix_fallocate(fd, 0, size)  # in one piece, and a disk without room says so at once
        zeros = bytes(min(size, _FILL_BYTES))
        for position in range(0, size, _FILL_BYTES):
            write_all(fd, zeros[: size - position], position)
            if not position % _SYNC_BYTES:
                sync(fd)
            time.sleep(rest_seconds)
        os.fsync(fd)
    finally:
        os.close(fd)
