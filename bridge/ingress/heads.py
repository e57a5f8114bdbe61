"""Heads that came before: what the parser made of header lines once stands for the same bytes ever after.

A caller writes the same header lines with every callback, but for the length: so only that and the request
line are read anew. A request is known this way if it is whole, has nothing behind it, and begins
``POST target HTTP/1.1``; everything else is the parser's, which is what has to judge it.
"""

import re
from typing import Final, NamedTuple

from aiohttp.http import HttpVersion, HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

_LINE: Final = re.compile(rb'POST (/[!"$-~]{0,7000}) HTTP/1\.1\r\n')
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})\r\n")
_END: Final = b"\r\n\r\n"
_MOST: Final = 512
_HEAD_BYTES: Final = 2048


class Head(NamedTuple):
    """The head of a request but for its target, as far as anybody here looks at it."""

    method: str
    version: HttpVersion
    headers: CIMultiDictProxy[str]
    should_close: bool


class Heads:
    """Knows the header lines of up to ``most`` kinds, of all connections; beyond that it begins anew."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[bytes, Head] = {}

    def find(self, data: bytes) -> tuple[Head, str, bytes] | None:
        """Return head, target and body if ``data`` is one whole request with known header lines.

        The headers are those of the first that had these lines: their Content-Length says nothing.
        """
        cut = _cut(data)
        if cut is None:
            return None
        target, lines, body = cut
        known = self._known.get(lines)
        if known is None:
            return None
        return known, target.decode("ascii"), body

    def learn(self, data: bytes, message: RawRequestMessage, body_bytes: int) -> bool:
        """Remember the header lines of ``data``, which the parser took for one request with such a body.

        False where that is not all there is to it, so that its like can never be known.
        """
        cut = _cut(data)
        if cut is None:
            return False
        _, lines, body = cut
        if len(body) != body_bytes or len(lines) > _HEAD_BYTES:
            return False
        lengths = message.headers.getall("Content-Length", ())
        if len(lengths) != 1 or message.chunked or message.upgrade or message.compression:
            return False
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[lines] = Head("POST", HttpVersion11, message.headers, message.should_close)
        return True


def _cut(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Cut up what is one whole request by its own words; None where anything is unusual.

    It becomes target, header lines without the digits of the length, and body.
    """
    line = _LINE.match(data)
    if line is None:
        return None
    start = line.end()
    body = data.find(_END, start) + len(_END)
    length = _LENGTH.search(data, start - 2, body)
    if length is None or len(data) - body != int(length[1]):
        return None
    return line[1], data[start : length.start(1)] + data[length.end(1) : body], data[body:]
