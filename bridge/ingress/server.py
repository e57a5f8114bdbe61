"""The HTTP server of the ingress: it listens, keeps the connections, and lets go of them."""

import asyncio
import socket
from collections.abc import Collection
from typing import Final

from bridge.errors import ConfigurationError
from bridge.ingress.dispatch import Dispatch
from bridge.ingress.heads import Heads
from bridge.ingress.limits import Limits, Room
from bridge.ingress.places import Places
from bridge.ingress.protocol import CallbackConnection
from bridge.ingress.turns import Turns

BACKLOG: Final = 1024
_SWEEP_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02


class CallbackServer:
    """Listens at one address. ``draining`` ends each connection with its next answer."""

    def __init__(
        self, dispatch: Dispatch, limits: Limits, places: Places, turns: Turns, heads: Heads
    ) -> None:
        self.limits = limits
        self.draining = False
        self.places, self.turns, self.heads = places, turns, heads
        self.room = Room(limits.buffer_bytes)
        self._dispatch = dispatch
        self._listener: asyncio.Server | None = None
        self._inherited: dict[socket.socket, asyncio.Server] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, *, share_port: bool) -> tuple[str, int]:
        """Accept connections from now on; return the address as bound. Raises ConfigurationError."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: CallbackConnection(self, self._dispatch, loop),
                host,
                port,
                backlog=BACKLOG,
                reuse_port=share_port or None,
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port}: {error.strerror or error}: is another process there?"
            ) from error
        self._sweep_later(loop)
        self.places.fit_files()
        address = self._listener.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def accept_from(self, listening: Collection[socket.socket]) -> None:
        """Accept from exactly these sockets from now on. They stay open: whoever opened them closes them."""
        loop = asyncio.get_running_loop()
        for sock in self._inherited.keys() - set(listening):
            self._inherited.pop(sock).close()
        for sock in set(listening) - self._inherited.keys():
            self._inherited[sock] = await loop.create_server(
                lambda: CallbackConnection(self, self._dispatch, loop), sock=sock.dup(), backlog=BACKLOG
            )
        if self._sweep is None:
            self.places.fit_files()
            self._sweep_later(loop)

    async def close(self, timeout: float) -> None:
        """Accept nothing more, finish the requests that are here; after ``timeout`` seconds cut them off."""
        self.draining = True
        for listener in (self._listener, *self._inherited.values()):
            if listener is not None:
                listener.close()
        try:
            async with asyncio.timeout(timeout):
                await self._ended()
        except TimeoutError:
            self._cut_off()
            await asyncio.sleep(0)
        if self._sweep is not None:
            self._sweep.cancel()

    async def _ended(self) -> None:
        """Return once no connection is left: idle ones are cut off, the others end with their answer."""
        while connections := list(self.places.connections):
            for connection in connections:
                if connection.is_idle():
                    connection.end()
            await asyncio.sleep(_LOOK_SECONDS)

    def _cut_off(self) -> None:
        for connection in list(self.places.connections):
            connection.cut_off()

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.places.look_again()
        for connection in list(self.places.connections):
            connection.sweep(now)
        self._sweep = loop.call_later(_SWEEP_SECONDS, self._sweep_later, loop)
