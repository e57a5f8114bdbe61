"""Heads that came before: what the parser made of header lines once stands for the same bytes ever after.

A caller writes the same header lines with every callback, but for the length and what its provider says
varies: so only these and the request line are read anew. A request is known this way if it is whole, has
nothing behind it, and begins ``POST target HTTP/1.1``; everything else is the parser's, which is what has to
judge it. So is a varying value other than one run of visible ASCII: nothing in such a one means anything to
HTTP.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from aiohttp.http import HttpVersion, HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy

from schemas.named import make

_LINE: Final = re.compile(rb'POST (/[!"$-~]{0,7000}) HTTP/1\.1\r\n')
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})\r\n")
_END: Final = b"\r\n\r\n"
_MOST: Final = 512
_HEAD_BYTES: Final = 2048
_FRAMING: Final = frozenset(
    (
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    )
)
"""What the parser reads in a header itself: with another value the same lines may be another request."""


class Head(NamedTuple):
    """The head of a request but for its target, as far as anybody here looks at it.

    ``vary`` names the headers whose values are those of another request still.
    """

    method: str
    version: HttpVersion
    headers: CIMultiDictProxy[str] | CIMultiDict[str]
    should_close: bool
    vary: tuple[str, ...] = ()


class Heads:
    """Knows the header lines of up to ``most`` kinds, of all connections; beyond that it begins anew.

    ``varying`` names headers of which each request may have another value.
    """

    def __init__(self, varying: Iterable[str] = (), *, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[bytes | tuple[str, ...], Head] = {}
        self._values = _values(varying)

    def find(self, data: bytes) -> tuple[Head, str, bytes] | None:
        """Return head, target and body if ``data`` is one whole request with known header lines.

        The headers are those of the first that had these lines, with what varies as it stands in this one:
        their Content-Length says nothing.
        """
        cut = _cut(data)
        if cut is None:
            return None
        target, lines, body = cut
        known = self._known.get(lines) or self._filled(lines)
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
        self._keep(lines, Head("POST", HttpVersion11, message.headers, message.should_close))
        return True

    def _keep(self, lines: bytes, head: Head) -> None:
        """Know the head by what stays the same, where the parser read what varies as we do, else by all."""
        same, found = self._apart(lines)
        names = tuple(part.strip("\r\n: ") for part in same[1::2])
        if names and all(head.headers.getall(name, ()) == [found[place]] for place, name in enumerate(names)):
            self._known[same] = head._replace(vary=names)
        else:
            self._known[lines] = head

    def _filled(self, lines: bytes) -> Head | None:
        """Return the head that is known but for what varies, with the values of these lines."""
        same, found = self._apart(lines)
        known = self._known.get(same)
        if known is None:
            return None
        headers = known.headers.copy()
        for name, value in zip(known.vary, found, strict=True):
            headers[name] = value
        return make(Head, ("POST", HttpVersion11, headers, known.should_close, ()))

    def _apart(self, lines: bytes) -> tuple[tuple[str, ...], list[str]]:
        """Return what stays the same, every second part of it the name of what varies, and the values."""
        parts = self._values.split(lines.decode("latin-1"))
        found = parts[2::3]
        del parts[2::3]
        return tuple(parts), found


def _values(varying: Iterable[str]) -> re.Pattern[str]:
    """Return what finds the value of each header named, with the start of its line."""
    names = "|".join(re.escape(name) for name in varying if name.lower() not in _FRAMING) or "(?!)"
    return re.compile(rf"(\r\n(?:{names}): ?)([!-~]{{1,256}})(?=\r\n)", re.IGNORECASE | re.ASCII)


def _cut(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Cut up what is one whole request by its own words; None where anything is unusual.

    It becomes target, header lines without the digits of the length, each begun by a line break, and body.
    """
    line = _LINE.match(data)
    if line is None:
        return None
    start = line.end() - 2
    body = data.find(_END, start) + len(_END)
    length = _LENGTH.search(data, start, body)
    if length is None or len(data) - body != int(length[1]):
        return None
    return line[1], data[start : length.start(1)] + data[length.end(1) : body], data[body:]
