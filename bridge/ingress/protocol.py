"""One connection: aiohttp's HTTP parser in, the dispatch, whole answers out.

There is no task, no request object and no response object per callback: a body that arrives with its head is
answered in the same turn of the loop, or in the turn in which the disk has it. aiohttp's own request handling
costs twice what everything else here costs; its parser is what we keep of it.
"""

import asyncio
from collections import deque
from typing import Final, NamedTuple, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from bridge.errors import CallbackError
from bridge.ingress.after import Waiting
from bridge.ingress.answers import answer_bytes
from bridge.ingress.bodies import read_body, too_large
from bridge.ingress.dispatch import INTERNAL, Dispatch, Opened
from bridge.providers.base import Reply

_BUFFER_BYTES: Final = 64 * 1024
_PIPELINED: Final = 256
"""Requests a caller may send ahead of its answers. Vendors send none; beyond, the connection ends."""

_NEVER: Final = float("inf")


class Limits(NamedTuple):
    """What one connection may take. ``journal_seconds`` bounds the wait for the disk."""

    body_bytes: int
    body_seconds: float
    journal_seconds: float
    keepalive_seconds: float
    lingering_seconds: float = 2.0


class Host(Protocol):
    """Who looks after the connections: the server."""

    limits: Limits
    draining: bool
    connections: "set[CallbackConnection]"


class CallbackConnection(BaseProtocol):
    """Answers the requests of one connection, one after the other."""

    __slots__ = (
        "_bad",
        "_body",
        "_busy",
        "_content",
        "_deadline",
        "_dispatch",
        "_ending",
        "_host",
        "_lingering",
        "_message",
        "_parser",
        "_peer",
        "_queue",
        "_waiting",
    )

    def __init__(self, host: Host, dispatch: Dispatch, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # A compressed body is taken as the bytes it is: no vendor compresses, and none can swell.
        self._parser = HttpRequestParser(self, loop, _BUFFER_BYTES, auto_decompress=False)
        self._host, self._dispatch = host, dispatch
        self._queue: deque[tuple[RawRequestMessage, StreamReader]] = deque()
        self._peer = ""
        self._message: RawRequestMessage | None = None
        self._waiting: Waiting | None = None
        self._body: asyncio.Task[None] | None = None
        self._content: StreamReader | None = None
        self._bad: HttpProcessingError | None = None
        self._busy = self._ending = self._lingering = False
        self._deadline = loop.time() + host.limits.body_seconds

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._host.connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; what waits for the disk is only counted from now on."""
        super().connection_lost(exc)
        self._host.connections.discard(self)
        self._end_of_input()

    def eof_received(self) -> bool:
        """Take no more requests; stay open while answers are owed."""
        self._end_of_input()
        return self._busy or bool(self._queue)

    def resume_writing(self) -> None:
        """Go on answering: the caller has read what was written."""
        super().resume_writing()
        self._pump()

    def data_received(self, data: bytes) -> None:
        """Parse what came and answer what is whole."""
        if self._ending or self._parser is None:
            return
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._not_http(error)
            return
        if len(messages) == 1 and not (upgraded or self._busy or self._queue or self._paused):
            self._begin(*messages[0])  # what nearly every callback is
            return
        if messages:
            self._queue.extend(messages)
        elif data and not self._busy:
            self._deadline = min(self._deadline, self._in(self._host.limits.body_seconds))
        if upgraded or len(self._queue) > _PIPELINED:
            self._ending = True
        if not self._busy:
            self._pump()

    # What the server tells

    def is_idle(self) -> bool:
        """Say whether no request is here."""
        return not (self._busy or self._queue)

    def sweep(self, now: float) -> None:
        """Act when time is up: answer what waits for the disk, close what sends nothing."""
        if now < self._deadline:
            return
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._send(self._dispatch.late(waiting))
            self._pump()
        elif not self._busy:
            self.cut_off()

    def end(self) -> None:
        """Close the connection once what was written is sent."""
        self._close()

    def cut_off(self) -> None:
        """End the connection now, whatever is under way."""
        if self._body is not None:
            self._body.cancel()
        if self.transport is not None:
            self.transport.abort()

    # One request after the other

    def _pump(self) -> None:
        while self._queue and not self._busy and not self._paused:
            self._begin(*self._queue.popleft())
        if self._queue or self._busy or self._lingering:
            return
        if self._bad is not None:
            bad, self._bad = self._bad, None
            self._send(self._dispatch.unparseable(bad), whole=False)
        elif self._ending:
            self._close()

    def _begin(self, message: RawRequestMessage, content: StreamReader) -> None:
        self._busy, self._message = True, message
        try:
            opened = self._dispatch.open(message.method, message.path, message.headers, self._peer)
            if isinstance(opened, Reply):
                self._send(opened, whole=content.is_eof())
            elif content.is_eof():
                self._answer(opened, content.read_nowait())
            else:
                self._content, self._deadline = content, _NEVER
                self._body = self._loop.create_task(self._read(opened, message, content))
        except Exception:  # noqa: BLE001 the dispatch catches and logs its own; this is for the rest
            self._send(INTERNAL, whole=False)

    async def _read(self, opened: Opened, message: RawRequestMessage, content: StreamReader) -> None:
        """Answer a request whose body comes after its head."""
        try:
            body = await read_body(message, content, self.transport, self._host.limits)
            self._body = self._content = None
            self._answer(opened, body)
        except CallbackError as error:
            self._body = self._content = None
            self._send(self._dispatch.unread(opened, error), whole=False)
        except Exception:  # noqa: BLE001 as above
            self._send(INTERNAL, whole=False)
        self._pump()

    def _answer(self, opened: Opened, body: bytes) -> None:
        limit = self._host.limits.body_bytes
        if len(body) > limit:
            self._send(self._dispatch.unread(opened, too_large(limit)))
            return
        outcome = self._dispatch.answer(opened, body)
        if isinstance(outcome, Reply):
            self._send(outcome)
            return
        self._waiting, self._deadline = outcome, self._in(self._host.limits.journal_seconds)
        outcome.then = self._on_disk

    def _on_disk(self, waiting: Waiting) -> None:
        self._waiting = None
        self._send(self._dispatch.stored(waiting))
        self._pump()

    def _send(self, reply: Reply, *, whole: bool = True) -> None:
        """Write the answer; ``whole`` says that the request was read to its end."""
        message, self._message, self._busy = self._message, None, False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        more = bool(self._queue) or self._bad is not None
        keep = whole and (more or not self._ending) and not self._host.draining
        if message is not None:
            keep = keep and not message.should_close
        transport.write(answer_bytes(reply, message, keep=keep))
        if keep:
            self._deadline = self._in(self._host.limits.keepalive_seconds)
        elif whole:
            self._close()
        else:
            self._linger(transport)

    # Ending

    def _not_http(self, error: HttpProcessingError) -> None:
        """Answer what is no HTTP in its turn; inside a body it is that request that fails."""
        self._ending = True
        if self._content is not None:
            self._content.set_exception(error)
            return
        self._bad = error
        if not self._busy:
            self._pump()

    def _end_of_input(self) -> None:
        self._ending = True
        if self._content is not None:
            self._content.set_exception(ConnectionResetError("the caller ended the connection"))

    def _close(self) -> None:
        self._ending = True
        self._queue.clear()
        if self.transport is not None:
            self.transport.close()

    def _linger(self, transport: asyncio.Transport) -> None:
        """Let a caller that is still sending read its answer: closing at once would throw it away."""
        self._ending = self._lingering = True
        self._queue.clear()
        self._deadline = self._in(self._host.limits.lingering_seconds)
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def _in(self, seconds: float) -> float:
        return self._loop.time() + seconds
