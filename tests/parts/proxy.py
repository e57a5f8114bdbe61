"""A TCP proxy of the test's own before a server: it forwards, or it is a black hole."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

_CHUNK = 1 << 16
_START_SECONDS = 10.0


class Proxy:
    """Forwards connections from ``address`` to ``target`` while the block lasts.

    As a black hole it accepts connections and bytes and passes nothing on, either way; ``heal`` ends every
    connection that may have lost bytes and forwards again. Without a target nobody is let in.
    """

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.address = ""
        self._swallows = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._ends: set[asyncio.StreamWriter] = set()
        self._carried: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server: asyncio.Server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def black_hole(self) -> None:
        """Swallow everything from now on; connections stay open and new ones are accepted."""
        self._swallows = True

    def heal(self) -> None:
        """End the connections there are and forward from now on."""
        self._swallows = False
        self._do(self._cut())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        self._ends.add(writer)
        try:
            with suppress(OSError):
                await (self._swallow(reader) if self._swallows else self._forward(reader, writer))
        finally:
            self._ends.discard(writer)
            self._carried.discard(task)
            writer.transport.abort()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(_CHUNK):
            pass

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        if not host:
            return
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._ends.add(far_writer)
        ways = [
            asyncio.ensure_future(self._carry(reader, far_writer)),
            asyncio.ensure_future(self._carry(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ends.discard(far_writer)
            far_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if not self._swallows:
                writer.write(data)
                await writer.drain()
