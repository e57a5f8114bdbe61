"""Answers as bytes: head and body in one piece, made once a second where they are the same."""

from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Final

from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_parser import RawRequestMessage

from bridge.ingress.heads import Head
from bridge.providers.base import Reply

_SAME: Final = 256
"""Of how many answers a second the bytes are kept: acknowledgements and refusals are few, decisions many."""


class Answers:
    """Makes answers; those of one second share their heads, and the same ones all of their bytes."""

    def __init__(self) -> None:
        self._second = 0
        self._heads: dict[tuple[int, str], bytes] = {}
        self._whole: dict[Reply, bytes] = {}

    def usual(self, reply: Reply) -> bytes:
        """Return the whole answer on a connection that is kept, to a caller of HTTP/1.1."""
        second = int(time())
        if second != self._second:
            self._begin(second)
        whole = self._whole.get(reply)
        if whole is None:
            whole = self.make(reply, reply.body, "")
            if len(self._whole) < _SAME:
                self._whole[reply] = whole
        return whole

    def make(self, reply: Reply, body: bytes, connection: str) -> bytes:
        """Return the whole answer with ``body``; ``connection`` is that header, empty for none."""
        second = int(time())
        if second != self._second:
            self._begin(second)
        head = self._heads.get((reply.status, connection))
        if head is None:
            head = self._heads[reply.status, connection] = _head(reply.status, connection, second)
        return b"%b%d\r\n\r\n%b" % (head, len(reply.body), body)

    def _begin(self, second: int) -> None:
        self._second = second
        self._heads.clear()
        self._whole.clear()


def answer_bytes(reply: Reply, message: RawRequestMessage | Head | None, *, keep: bool) -> bytes:
    """Return the whole answer to ``message``, None where that was no HTTP. HEAD gets no body."""
    if message is None:
        return _ANSWERS.make(reply, reply.body, "" if keep else "close")
    is_head, version = message.method == "HEAD", message.version
    if keep and not is_head and version is HttpVersion11:
        return _ANSWERS.usual(reply)
    connection = "" if keep else "close"
    if keep and version == HttpVersion10:
        connection = "keep-alive"
    return _ANSWERS.make(reply, b"" if is_head else reply.body, connection)


def _head(status: int, connection: str, second: int) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json; charset=utf-8",
        f"Date: {formatdate(second, usegmt=True)}",
    ]
    if connection:
        lines.append(f"Connection: {connection}")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: POST")
    return "\r\n".join([*lines, "Content-Length: "]).encode()


_ANSWERS: Final = Answers()
