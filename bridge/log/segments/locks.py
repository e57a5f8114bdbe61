"""Operating-system locks: held by an open file, given back by the kernel when the process ends."""

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bridge.errors import LogLocked, LogUnavailable
from bridge.log.segments.layout import RELAY_LOCK

_POLL_SECONDS: Final = 0.05
_HOLDER_BYTES: Final = 20


class OsLock:
    """A lock that is held from ``try_lock`` until ``release`` or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def try_lock(path: Path) -> OsLock | None:
    """Return the lock, or None when somebody holds it. Raises LogUnavailable when the file cannot be used.

    ``path`` may be a directory that is there; else it is a file, made if need be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as error:
        raise LogUnavailable(f"the lock {path} cannot be opened: {error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    _write_holder(fd)
    return OsLock(fd)


def _write_holder(fd: int) -> None:
    try:
        os.pwrite(fd, str(os.getpid()).ljust(_HOLDER_BYTES).encode(), 0)
    except OSError:
        return  # a full disk: the lock holds all the same, only its message is less helpful


def lock_or_refuse(path: Path, what: str) -> OsLock:
    """Return the lock. Raises LogLocked naming ``what`` and the process that holds it, LogUnavailable."""
    lock = try_lock(path)
    if lock is None:
        raise LogLocked(f"{what} is held by process {_holder(path)}: stop that one first ({path})")
    return lock


def _holder(path: Path) -> str:
    try:
        return path.read_bytes()[:_HOLDER_BYTES].decode().strip() or "(unknown)"
    except (OSError, UnicodeDecodeError):
        return "(unknown)"


def lock_within(path: Path, seconds: float) -> OsLock:
    """Return the lock, waiting for it up to ``seconds``. Blocks. Raises LogUnavailable."""
    deadline = time.monotonic() + seconds
    pause = 0.0005
    while (lock := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise LogUnavailable(f"{path} was held for {seconds} s by process {_holder(path)}: try again")
        time.sleep(pause)
        pause = min(2 * pause, _POLL_SECONDS)
    return lock


async def wait_lock(path: Path) -> OsLock:
    """Return the lock, waiting as long as it takes; cancel to give up. Raises LogUnavailable."""
    while (lock := try_lock(path)) is None:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    return lock


def relay_lock(journal_dir: Path) -> OsLock:
    """Return the right to relay the journal in ``journal_dir``. Raises LogLocked, LogUnavailable."""
    return lock_or_refuse(journal_dir / RELAY_LOCK, f"the relay of journal {journal_dir.name}")
