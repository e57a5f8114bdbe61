"""One connection: aiohttp's HTTP parser in, the dispatch, whole answers out.

There is no task, no request object and no response object per callback: a body that arrives with its head is
answered in the same turn of the loop, or in the turn in which the disk has it. aiohttp's own request handling
costs twice what everything else here costs; its parser is what we keep of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from bridge.errors import CallbackError, Overloaded
from bridge.ingress.after import Waiting
from bridge.ingress.answers import answer_bytes
from bridge.ingress.bodies import read_body, too_large
from bridge.ingress.dispatch import INTERNAL, Dispatch, Opened
from bridge.ingress.heads import Head, Heads
from bridge.ingress.limits import Limits, Room, Share
from bridge.ingress.places import Places
from bridge.ingress.turns import Turns
from bridge.providers.base import Reply
from bridge.telemetry import CONNECTIONS_ENDED

_BUFFER_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 32 * 1024
"""The largest head, about: whatever is longer is no callback."""

_MESSAGE_BYTES: Final = 2048
"""What a request that waits for its turn takes beside its bytes, about."""

_PIPELINED: Final = 256
"""Requests a caller may send ahead of its answers. Vendors send none; beyond, the connection ends."""

_AT_ONCE: Final = 8
"""Requests of one connection answered in one turn of the loop: the others want theirs, too."""

_UNKNOWN_HEADS: Final = 16
"""New heads in a row after which a caller is taken for one whose heads are never the same."""

_NEVER: Final = float("inf")


Message = RawRequestMessage | Head


class Host(Protocol):
    """Who looks after the connections: the server, with what all of them share."""

    limits: Limits
    draining: bool
    places: Places
    room: Room
    heads: Heads
    turns: Turns


class CallbackConnection(BaseProtocol):
    """Answers the requests of one connection, one after the other."""

    __slots__ = (
        "_arrived",
        "_body",
        "_busy",
        "_content",
        "_deadline",
        "_dispatch",
        "_ending",
        "_guest",
        "_held",
        "_host",
        "_last",
        "_lingering",
        "_message",
        "_parser",
        "_peer",
        "_pumping",
        "_queue",
        "_share",
        "_unknown",
        "_waiting",
        "idle_since",
    )

    def __init__(self, host: Host, dispatch: Dispatch, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        # A compressed body is taken as the bytes it is: no vendor compresses, and none can swell.
        self._parser = HttpRequestParser(self, loop, _BUFFER_BYTES, auto_decompress=False)
        self._host, self._dispatch = host, dispatch
        self._queue: deque[tuple[RawRequestMessage, StreamReader, int]] = deque()
        self._held = self._arrived = 0
        self._peer = ""
        self._message: Message | None = None
        self._waiting: Waiting | None = None
        self._body: asyncio.Task[None] | None = None
        self._content: StreamReader | None = None
        self._last: Reply | None = None
        self._share = Share(host.room)
        self._busy = self._ending = self._lingering = self._pumping = self._guest = False
        self._unknown = _UNKNOWN_HEADS
        self.idle_since = loop.time()
        self._deadline = self.idle_since + host.limits.body_seconds

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._guest = not self._host.places.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; what waits for the disk is only counted from now on."""
        super().connection_lost(exc)
        self._host.places.dismiss(self)
        self._queue.clear()
        self._share.let_go()
        self._end_of_input()

    def eof_received(self) -> bool:
        """Take no more requests; stay open while answers are owed."""
        self._end_of_input()
        return self._busy or bool(self._queue)

    def resume_writing(self) -> None:
        """Go on answering: the caller has read what was written."""
        super().resume_writing()
        if not self._busy:
            self._deadline = self._in(self._host.limits.keepalive_seconds)
        self._pump()

    def data_received(self, data: bytes) -> None:
        """Parse what came and answer what is whole."""
        if self._ending or self._parser is None:
            return
        if self._unknown and not (self._busy or self._queue or self._paused):
            known = self._host.heads.find(data)
            if known is not None:
                self._unknown = _UNKNOWN_HEADS
                self._take(*known)
                return
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._end_after(error, partial(self._dispatch.unparseable, error))
            return
        if not (data or messages):
            return  # a body that was read has told the parser to go on, and there was nothing
        if len(messages) == 1 and not (upgraded or self._busy or self._queue or self._paused):
            self._learn(data, *messages[0])
            self._begin(*messages[0])  # what nearly every callback is
            return
        self._unknown = 0
        size = len(data) + len(messages) * _MESSAGE_BYTES
        self._line_up(messages, size)
        if upgraded or len(self._queue) > _PIPELINED:
            self._ending = True
        if not self._share.take(size):
            self._end_after(Overloaded("overload"), self._dispatch.overloaded)
        elif not self._busy:
            self._head_goes_on(data)
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
            CONNECTIONS_ENDED.labels("timed_out").inc()
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
        for _ in range(_AT_ONCE):
            if not self._queue or self._busy or self._paused:
                break
            self._begin(*self._queue.popleft())
        if self._busy or self._lingering:
            return
        if self._queue:
            self._pump_later()
        elif self._last is not None:
            last, self._last = self._last, None
            self._send(last, whole=False)
        elif self._ending:
            self._close()

    def _pump_later(self) -> None:
        """Go on in the next turn of the loop, unless it is the caller who has to read first."""
        if not (self._pumping or self._paused):
            self._pumping = True
            self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pumping = False
        self._pump()

    def _learn(self, data: bytes, message: RawRequestMessage, content: StreamReader) -> None:
        """Know the head when it comes again; the parser goes on alone behind what is more than one request.

        As it does with a caller whose head is never the same: trying costs more than it saves.
        """
        if self._unknown and content.is_eof() and self._host.heads.learn(data, message, content.total_bytes):
            self._unknown -= 1
        else:
            self._unknown = 0

    def _line_up(self, messages: Sequence[tuple[RawRequestMessage, StreamReader]], size: int) -> None:
        """Queue the requests; the last one holds the bytes of all that arrived since the last one before."""
        self._arrived += size
        for place, (message, content) in enumerate(messages, 1):
            held = self._arrived if place == len(messages) else 0
            self._queue.append((message, content, held))
        if messages:
            self._arrived = 0

    def _begin(self, message: RawRequestMessage, content: StreamReader, held: int = 0) -> None:
        self._busy, self._held = True, held  # before the body is read: that may let more in
        if content.is_eof():
            self._take(message, message.path, content.read_nowait())
            return
        try:
            opened = self._open(message, message.path)
            if isinstance(opened, Reply):
                self._send(opened, whole=False)
            elif self._share.take(content.total_bytes):
                self._held += content.total_bytes
                self._content, self._deadline = content, _NEVER
                self._body = self._loop.create_task(self._read(opened, message, content))
            else:
                self._send(self._dispatch.unread(opened, Overloaded("overload")), whole=False)
        except Exception:  # noqa: BLE001 the dispatch catches and logs its own; this is for the rest
            self._send(INTERNAL, whole=False)

    def _take(self, message: Message, target: str, body: bytes) -> None:
        """Answer a request that is whole."""
        try:
            opened = self._open(message, target)
            if isinstance(opened, Reply):
                self._send(opened)
            else:
                self._answer(opened, body)
        except Exception:  # noqa: BLE001 as above
            self._send(INTERNAL, whole=False)

    def _open(self, message: Message, target: str) -> Opened | Reply:
        self._busy, self._message = True, message
        self._host.turns.read(self.transport)
        if self._guest:
            self._guest = self._host.places.is_crowded()
        return self._dispatch.open(message.method, target, message.headers, self._peer, self._guest)

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
        if opened.is_question or self._host.turns.admits(len(body)):
            self._settle(opened, body)
        else:
            self._host.turns.line_up(partial(self._settle_in_turn, opened, body), len(body))

    def _settle(self, opened: Opened, body: bytes) -> None:
        outcome = self._dispatch.answer(opened, body)
        if isinstance(outcome, Reply):
            self._send(outcome)
            return
        self._waiting, self._deadline = outcome, self._in(self._host.limits.journal_seconds)
        outcome.then = self._on_disk

    def _settle_in_turn(self, opened: Opened, body: bytes) -> None:
        """Answer a request that stood in line."""
        try:
            self._settle(opened, body)
        except Exception:  # noqa: BLE001 as above
            self._send(INTERNAL)
        self._pump()

    def _on_disk(self, waiting: Waiting) -> None:
        self._waiting = None
        self._send(self._dispatch.stored(waiting))
        if self._queue or self._ending:
            self._pump()

    def _send(self, reply: Reply, *, whole: bool = True) -> None:
        """Write the answer; ``whole`` says that the request was read to its end."""
        message, self._message, self._busy = self._message, None, False
        if self._share.held:
            self._give_back()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        more = bool(self._queue) or self._last is not None
        keep = whole and (more or not self._ending) and not (self._host.draining or self._guest)
        if message is not None:
            keep = keep and not message.should_close
        transport.write(answer_bytes(reply, message, keep=keep))
        if keep:
            self.idle_since = now = self._loop.time()
            limits = self._host.limits
            self._deadline = now + (limits.body_seconds if self._paused else limits.keepalive_seconds)
        elif whole:
            self._close()
        else:
            self._linger(transport)

    def _give_back(self) -> None:
        """Give back what the request held that is answered; with none behind it, everything."""
        if self._queue:
            self._share.give_back(self._held)
        else:
            self._share.let_go()
            self._arrived = 0

    # Ending

    def _end_after(self, error: Exception, reply: Callable[[], Reply]) -> None:
        """End the connection behind the answers it is owed; a body under way ends its request."""
        self._ending = True
        if self._content is not None:
            self._content.set_exception(error)
            return
        self._last = reply()
        if not self._busy:
            self._pump()

    def _head_goes_on(self, data: bytes) -> None:
        """Hold a head that comes in pieces to its time and its size."""
        if not data or self._queue:
            return
        self._deadline = min(self._deadline, self._in(self._host.limits.body_seconds))
        if self._share.held > _HEAD_BYTES:
            error = ValueError("the head is too large")
            self._end_after(error, partial(self._dispatch.unparseable, error))

    def _end_of_input(self) -> None:
        self._ending = True
        if self._content is not None:
            self._content.set_exception(ConnectionResetError("the caller ended the connection"))

    def _close(self) -> None:
        """Close once what was written is sent, for which there is a time; until then it makes no room."""
        self._ending = True
        self._queue.clear()
        if self.transport is not None and not self.transport.is_closing():
            self._deadline, self.idle_since = self._in(self._host.limits.body_seconds), _NEVER
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
