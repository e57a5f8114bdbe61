"""Shares each turn of the event loop between questions and after-callbacks.

A turn reads what every connection has sent. A question is answered where it is read. Of after-callbacks a
turn begins so many; the others stand in line, their bodies not parsed, and later turns take them in order. So
a question waits for the reading of what came before it, and not for the work that all of it means.

A turn that has read much lets each connection it reads rest until the next one: libuv goes on reading within
a turn for as long as a thousand sockets have something to say, and timers, the disk and the operators' port
would have to wait.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from bridge.ingress.state import IngressState

AFTER_CALLBACKS: Final = 128
"""How many after-callbacks one turn begins: a few milliseconds of work, and enough for one good batch."""

REQUESTS: Final = 512
"""How many requests one turn reads before connections rest."""

LINE_BYTES: Final = 32 * 1024 * 1024


class Turns:
    """Says whether an after-callback is begun in this turn, and keeps the line of those that are not.

    Those in line count as ``waiting``. Bodies in line take at most ``line_bytes``; beyond, none lines up.
    """

    def __init__(
        self, state: IngressState, *, per_turn: int = AFTER_CALLBACKS, line_bytes: int = LINE_BYTES
    ) -> None:
        self._state, self._per_turn, self._left = state, per_turn, per_turn
        self._line: deque[tuple[Callable[[], None], int]] = deque()
        self._room = line_bytes
        self._read = 0
        self._resting: list[asyncio.Transport] = []

    def read(self, transport: asyncio.Transport | None) -> None:
        """Count a request that was read in this turn; its connection may have to rest until the next one."""
        if not self._read:
            asyncio.get_running_loop().call_soon(self._next)
        self._read += 1
        if self._read > REQUESTS and transport is not None and not transport.is_closing():
            transport.pause_reading()
            self._resting.append(transport)

    def admits(self, size: int) -> bool:
        """Say whether a callback with a body of ``size`` bytes is begun at once; else it has to line up."""
        if self._left:  # with anyone in line there is nothing left
            self._left -= 1
            return True
        return size > self._room

    def line_up(self, begin: Callable[[], None], size: int) -> None:
        """Have ``begin`` called in a later turn, behind all that lined up before."""
        if not self._read:  # its head was read in an earlier turn: nothing else may bring about the next one
            self.read(None)
        self._line.append((begin, size))
        self._room -= size
        self._state.waiting += 1

    def _next(self) -> None:
        """Begin the next turn: with those in line first."""
        self._left, self._read = self._per_turn, 0
        resting, self._resting = self._resting, []
        for transport in resting:
            if not transport.is_closing():
                transport.resume_reading()
        while self._line and self._left:
            begin, size = self._line.popleft()
            self._left -= 1
            self._room += size
            self._state.waiting -= 1
            begin()
        if self._line and not self._read:
            self.read(None)
