"""Heads known from before: what is known is what the parser says, and everything unusual is left to it."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from aiohttp.http_parser import RawRequestMessage
from hypothesis import given
from hypothesis import strategies as st

from bridge.ingress.heads import Heads

LINES = b"Host: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Some: thing\r\n\r\n"


def request(target: bytes = b"/tencent?a=b", body: bytes = b"{}", lines: bytes = LINES) -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + (lines % len(body) if b"%d" in lines else lines) + body


def parsed(data: bytes) -> tuple[RawRequestMessage, bytes] | None:
    """Return what the parser makes of one whole request, None where it is anything else."""

    async def parse() -> tuple[RawRequestMessage, bytes] | None:
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(BaseProtocol(loop), loop, 65536, auto_decompress=False)
        try:
            messages, upgraded, _ = parser.feed_data(data)
        except HttpProcessingError:
            return None
        if upgraded or len(messages) != 1 or not messages[0][1].is_eof():
            return None
        return messages[0][0], messages[0][1].read_nowait()

    return asyncio.run(parse())


def learned(data: bytes) -> tuple[Heads, bool]:
    heads, found = Heads(), parsed(data)
    assert found is not None
    return heads, heads.learn(data, found[0], len(found[1]))


def test_a_head_is_known_again_with_another_target_and_another_length() -> None:
    heads, is_learned = learned(request())
    assert is_learned
    found = heads.find(request(b"//other/%41?x=y", b'{"longer": 1}'))
    assert found is not None
    head, target, body = found
    assert (head.method, target, head.should_close, body) == (
        "POST",
        "//other/%41?x=y",
        False,
        b'{"longer": 1}',
    )
    assert head.headers["x-some"] == "thing"


def test_what_closes_the_connection_still_does() -> None:
    data = request(lines=b"Connection: close\r\n" + LINES)
    heads, _ = learned(data)
    found = heads.find(data)
    assert found is not None
    assert found[0].should_close


@pytest.mark.parametrize(
    "data",
    [
        request(lines=LINES.replace(b"thing", b"other")),
        request() + b"x",
        request()[:-1],
        request() + request(),
        request().replace(b"POST", b"PUT"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request(b"/with space"),
        request(b"/fragment#x"),
        request(b"http://here/tencent"),
        request("/ä".encode()),
        request(b"/" + b"x" * 8000),
        request(lines=LINES.replace(b"%d", b"+2")),
        request(lines=LINES.replace(b"%d", b"2, 2")),
        b"",
    ],
)
def test_everything_unusual_is_left_to_the_parser(data: bytes) -> None:
    heads, _ = learned(request())
    assert heads.find(data) is None


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: here\r\n\r\n",
        b"Content-Encoding: gzip\r\n" + LINES,
    ],
)
def test_only_a_plain_body_with_its_length_is_learned(lines: bytes) -> None:
    body = b"{}" if b"Length" in lines else b""
    assert not learned(request(body=body, lines=lines))[1]


def test_what_is_known_is_bounded() -> None:
    heads = Heads(most=3)
    datas = [request(lines=b"N: %d\r\n" % number + LINES) for number in range(5)]
    for data in datas:
        found = parsed(data)
        assert found is not None
        heads.learn(data, found[0], len(found[1]))
    assert [heads.find(data) is not None for data in datas] == [False, False, False, True, True]


pieces = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"0", b"9", b"Content-Length: 2\r\n", b"\0", b"#", b"%"]
)


@given(
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 12), pieces), max_size=3), st.binary(max_size=8)
)
def test_whatever_is_known_is_what_the_parser_says(spoilt: list[tuple[int, int, bytes]], body: bytes) -> None:
    heads, _ = learned(request())
    data = request(body=body)
    for place, cut, piece in spoilt:
        data = data[:place] + piece + data[place + cut :]
    found = parsed(data)
    if found is not None:
        heads.learn(data, found[0], len(found[1]))
    known = heads.find(data)
    if known is not None:
        assert found is not None
        message, whole = found
        head, target, rest = known
        assert (message.method, message.version, message.should_close) == (
            head.method,
            head.version,
            head.should_close,
        )
        assert (message.path, whole) == (target, rest)
        said = [(name, value) for name, value in message.headers.items() if name.lower() != "content-length"]
        kept = [(name, value) for name, value in head.headers.items() if name.lower() != "content-length"]
        assert said == kept
