"""A receiver that answers as badly as it is told to, and remembers what it did with every request."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import orjson

from bridge.simulate.markers import FIELD

ANSWERS = {
    "tencent": (
        b'{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}',
        b'{"ActionStatus":"FAIL","ErrorCode":1,"ErrorInfo":"no room"}',
    ),
    "openim": (
        b'{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}',
        b'{"actionCode":1,"errCode":20001,"errMsg":"no room","errDlt":"","nextCode":0}',
    ),
}
"""Success and failure in each vendor's form."""


class Heard(NamedTuple):
    """One request: its marker, what its target and headers said, and what it got."""

    marker: str
    command: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    deed: str

    @property
    def asks(self) -> bool:
        """Whether it was a question."""
        return "Before" in self.command


class Receiver:
    """Does to each request what ``deed`` says, given its marker's number and how often it came before.

    accept, refuse, illegal: it answers so. late: it never answers. slow: it accepts after 50 ms. reset: it
    resets the connection. cut: it closes it in the middle of an answer. With ``port`` it listens there.
    """

    def __init__(self, provider: str, deed: Callable[[int, int], str], port: int = 0) -> None:
        self._accepted, self._refused = ANSWERS[provider]
        self._provider, self._deed, self._port = provider, deed, port
        self._came: Counter[str] = Counter()
        self._under_way = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.most_under_way = 0
        self.heard: list[Heard] = []

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", self._port), self._loop
        )
        self._server = starting.result(10)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self._port}"

    def did(self, deed: str) -> list[Heard]:
        """Return the requests to which it did this."""
        return [heard for heard in self.heard if heard.deed == deed]

    async def _close(self) -> None:
        self._server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (heard := await self._read(reader)) is not None:
                self._under_way += 1
                self.most_under_way = max(self.most_under_way, self._under_way)
                try:
                    goes_on = await self._answer(heard, reader, writer)
                finally:
                    self._under_way -= 1
                if not goes_on:
                    return
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Heard | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        target = urlsplit(head[0].split(" ")[1])
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        command = query.get("CallbackCommand") or target.path.rpartition("/")[2]
        marker = orjson.loads(body)[FIELD]
        deed = self._deed(int(marker.rpartition("-")[2]), self._came[marker])
        self._came[marker] += 1
        self.heard.append(Heard(marker, command, query, headers, body, deed))
        return self.heard[-1]

    async def _answer(self, heard: Heard, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do the deed; return whether the connection goes on."""
        if heard.deed == "late":
            await reader.read(1)  # until the caller hangs up
            return False
        if heard.deed == "reset":
            writer.transport.abort()
            return False
        if heard.deed == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            return False
        if heard.deed == "slow":
            await asyncio.sleep(0.05)
        status, answer = {"refuse": (503, self._refused), "illegal": (200, b"<html>")}.get(
            heard.deed, (200, self._accepted)
        )
        writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n%b" % (status, len(answer), answer))
        await writer.drain()
        return True
