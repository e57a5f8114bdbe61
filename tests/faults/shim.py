"""Faults of the kernel's side, for single processes: calls on files fail, the wall clock is moved.

``shim.c`` is compiled once a session and stands before the C library of the processes started ``around``.
"""

import errno
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_suffix(".c")
_ORDERS: Final = struct.Struct("=qiiqqqq208s")
_CLOCK: Final = struct.Struct("=q")


class Calls(IntFlag):
    """Kinds of system calls. SHORT is a write that takes half its bytes, SLOW a sync that takes its time."""

    SYNC = 1
    WRITE = 2
    OPEN = 4
    NAMES = 8
    SHORT = 16
    SLOW = 32


READ_ONLY: Final = Calls.WRITE | Calls.OPEN | Calls.NAMES | Calls.SYNC


def compiler() -> str | None:
    """Return the C compiler, None where there is none."""
    return shutil.which("gcc") or shutil.which("cc")


def build(place: Path) -> Path:
    """Return the compiled shim, made in ``place``."""
    found = compiler()
    assert found is not None
    library = place / "shim.so"
    options = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run([found, *options, "-o", library, SOURCE, "-ldl"], check=True, capture_output=True)
    return library


class Shim:
    """What goes wrong for the processes started ``around``, from any moment on, until it is made well."""

    def __init__(self, library: Path, place: Path) -> None:
        self._library, self._path = library, place / "shim.orders"
        self._path.write_bytes(bytes(_ORDERS.size))
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _ORDERS.size)

    @contextmanager
    def around(self) -> Iterator[None]:
        """Put the shim before the processes that are started in this block."""
        names = {"LD_PRELOAD": str(self._library), "SHIM_ORDERS": str(self._path)}
        os.environ |= names
        try:
            yield
        finally:
            for name in names:
                del os.environ[name]

    def fail(
        self, calls: Calls, path: str, *, error: int = errno.EIO, after: int = 0, times: int = 0
    ) -> None:
        """Let these calls fail on files whose path holds ``path``, once ``after`` of them succeeded.

        With ``times`` only so many fail, as a kernel tells of lost pages once; else all do until ``heal``.
        """
        clock = self._orders()[0]
        self._map[:] = _ORDERS.pack(clock, 0, error, after, times, 0, 0, path.encode())
        self._map[8:12] = struct.pack("=i", calls)  # last: the others are in place by now

    def slow_down(self, path: str, milliseconds: int) -> None:
        """Let every sync of files whose path holds ``path`` take so much longer."""
        self.fail(Calls.SLOW, path, error=milliseconds)

    def heal(self) -> None:
        """Let every call succeed again."""
        self._map[8:12] = bytes(4)

    @property
    def failed(self) -> int:
        """How many calls failed since ``fail``."""
        return int(self._orders()[5])

    @property
    def failed_ns(self) -> int:
        """When the first call failed since ``fail``, by ``time.monotonic_ns``; 0 where none has."""
        return int(self._orders()[6])

    def step(self, seconds: float) -> None:
        """Move the wall clock: it stands ``seconds`` off the true one from now on."""
        self._map[: _CLOCK.size] = _CLOCK.pack(round(seconds * 1e9))

    def _orders(self) -> tuple[int, ...]:
        return _ORDERS.unpack(self._map[:])

    def close(self) -> None:
        """Release the orders."""
        self._map.close()
