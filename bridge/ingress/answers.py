"""Answers as bytes: status line, headers and body in one piece, the head made once a second."""

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from aiohttp.http import HttpVersion10
from aiohttp.http_parser import RawRequestMessage

from bridge.providers.base import Reply


class Heads:
    """Makes status line and headers; every answer of one second and kind shares them."""

    def __init__(self) -> None:
        self._second = 0
        self._made: dict[tuple[int, str], bytes] = {}

    def make(self, status: int, connection: str) -> bytes:
        """Return the head up to the length of the body; ``connection`` is that header, empty for none."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._made.clear()
        head = self._made.get((status, connection))
        if head is None:
            head = self._made[status, connection] = _head(status, connection, second)
        return head


def answer_bytes(reply: Reply, message: RawRequestMessage | None, *, keep: bool) -> bytes:
    """Return the whole answer to ``message``, None where that was no HTTP. HEAD gets no body."""
    status, body = reply
    connection = "" if keep else "close"
    if message is not None and (message.method == "HEAD" or message.version == HttpVersion10):
        connection = "keep-alive" if keep and message.version == HttpVersion10 else connection
        body = b"" if message.method == "HEAD" else body
    return b"%b%d\r\n\r\n%b" % (_HEADS.make(status, connection), len(reply.body), body)


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


_HEADS: Final = Heads()
