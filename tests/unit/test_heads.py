"""Heads known from before: what is known is what the parser says, and everything unusual is left to it."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from aiohttp.http_parser import RawRequestMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from bridge.ingress.heads import Heads

LINES = b"Host: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Some: thing\r\n\r\n"

OPENIM = (  # as Go writes it
    b"Host: here\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: %d\r\n"
    b"Content-Type: application/json; charset=utf-8\r\nOperationid: 17-a\r\nAccept-Encoding: gzip\r\n\r\n"
)
OPERATION = b"Operationid: 17-a\r\n"
VARYING = ("OperationID", "X-Nonce")


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


def learned(data: bytes, varying: Sequence[str] = ()) -> tuple[Heads, bool]:
    heads, found = Heads(varying), parsed(data)
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


def with_operation(line: bytes) -> bytes:
    """Return a request of OpenIM's with other lines in the place of its operation id."""
    return request(lines=OPENIM.replace(OPERATION, line))


@pytest.mark.parametrize("line", [b"Operationid: %b\r\n", b"operationID: %b\r\n", b"OperationID:%b\r\n"])
def test_a_varying_value_is_the_one_of_this_request(line: bytes) -> None:
    heads, is_learned = learned(with_operation(line % b"first"), VARYING)
    assert is_learned
    for value in (b"x", b"1763-=~!:;,second", b"y" * 256):
        data = with_operation(line % value)
        found, message = heads.find(data), parsed(data)
        assert found is not None
        assert message is not None
        but_length = [pair for pair in message[0].headers.items() if pair[0] != "Content-Length"]
        assert [pair for pair in found[0].headers.items() if pair[0] != "Content-Length"] == but_length
        assert found[0].headers["operationid"] == value.decode()
    first = heads.find(with_operation(line % b"first"))
    assert first is not None
    assert first[0].headers["OperationID"] == "first", "what came since is not kept"


def test_several_values_vary_each_by_itself() -> None:
    lines = b"X-Nonce: %b\r\nOperationid: %b\r\n"
    heads, _ = learned(with_operation(lines % (b"n1", b"o1")), VARYING)
    found = heads.find(with_operation(lines % (b"n2", b"o2")))
    assert found is not None
    assert (found[0].headers["x-nonce"], found[0].headers["operationid"]) == ("n2", "o2")
    assert heads.find(with_operation(b"Operationid: o2\r\nX-Nonce: n2\r\n")) is None, "the other order"
    assert heads.find(with_operation(b"Operationid: o2\r\nOperationid: n2\r\n")) is None


def test_values_vary_only_where_that_is_said() -> None:
    heads, _ = learned(with_operation(OPERATION))
    assert heads.find(with_operation(OPERATION)) is not None
    assert heads.find(with_operation(b"Operationid: other\r\n")) is None


ODD = [
    b"",
    b"Operationid:\r\n",
    b"Operationid: \r\n",
    b"Operationid:  two spaces\r\n",
    b"Operationid: x \r\n",
    b"Operationid: x y\r\n",
    b"Operationid:\tx\r\n",
    b"Operationid: x\ty\r\n",
    b"Operationid : x\r\n",
    b" Operationid: x\r\n",
    b"Operationid x\r\n",
    b"Operationid\r\n",
    b"OperationID: x\r\n",
    b"Operationidx: x\r\n",
    b"Operationid: x\n",
    b"Operationid: x\r",
    b"Operationid: x\r\n y\r\n",
    b"Operationid: x\r\n\ty\r\n",
    b"Operationid: x\r\n \r\n",
    b"Operationid: x\0\r\n",
    b"Operationid: x\x01\r\n",
    b"Operationid: x\x7f\r\n",
    b"Operationid: \xc3\xa4\r\n",
    b"Operationid: \xff\r\n",
    b"Operationid: x\r\nOperationid: y\r\n",
    b"Operationid: x\r\noperationid: x\r\n",
    b"Operationid: x\r\nContent-Length: 2\r\n",
    b"Operationid: x\r\nTransfer-Encoding: chunked\r\n",
    b"Operationid: x\r\nConnection: close\r\n",
    b"Operationid: " + b"y" * 257 + b"\r\n",
    b"Operationid: " + b"y" * 9000 + b"\r\n",
]


@pytest.mark.parametrize("line", ODD)
def test_an_odd_line_in_the_place_of_a_varying_one_is_left_to_the_parser(line: bytes) -> None:
    heads, _ = learned(with_operation(OPERATION), VARYING)
    assert heads.find(with_operation(line)) is None


@pytest.mark.parametrize("line", ODD)
def test_an_odd_line_is_known_again_only_byte_for_byte(line: bytes) -> None:
    data = with_operation(line)
    message = parsed(data)
    if message is None or not learned(data, VARYING)[1]:
        return  # nothing of the kind is ever known
    heads, _ = learned(data, VARYING)
    heads.learn(with_operation(OPERATION), *whole(with_operation(OPERATION)))
    found = heads.find(data)
    assert found is not None
    assert found[0].headers == message[0].headers


def test_what_the_parser_reads_otherwise_is_known_only_byte_for_byte() -> None:
    data, heads = with_operation(OPERATION), Heads(VARYING)
    message, body_bytes = whole(data)
    headers = CIMultiDict(message.headers)
    headers["Operationid"] = "17"
    assert heads.learn(data, message._replace(headers=CIMultiDictProxy(headers)), body_bytes)
    assert heads.find(data) is not None
    assert heads.find(with_operation(b"Operationid: other\r\n")) is None


def whole(data: bytes) -> tuple[RawRequestMessage, int]:
    """Return what the parser says of a request that is whole, and how long its body is."""
    found = parsed(data)
    assert found is not None
    return found[0], len(found[1])


@pytest.mark.parametrize("name", ["Connection", "content-length", "Host", "Transfer-Encoding", "Expect"])
def test_what_the_parser_itself_reads_varies_never(name: str) -> None:
    lines = LINES.replace(b"Host: here\r\n", b"Host: here\r\nConnection: close\r\n")
    heads, _ = learned(request(lines=lines), (name, "OperationID"))
    assert heads.find(request(lines=lines)) is not None
    for line in (b"Connection: keep-alive", b"Host: there"):
        old = line.partition(b":")[0]
        other = b"\r\n".join(line if one.startswith(old) else one for one in lines.split(b"\r\n"))
        assert heads.find(request(lines=other)) is None


pieces = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"0", b"9", b"\0", b"#", b"%", b"\xe4", b"x"),
        *(b"Content-Length: 2\r\n", b"Operationid: x", b"operationID:y\r\n", b"\r\n ", b"X-Nonce: n\r\n"),
    ]
)
places = st.one_of(st.integers(0, 250), st.integers(130, 185))
"""Anywhere, and around the operation id more often."""


@settings(max_examples=500)
@given(
    st.sampled_from([LINES, OPENIM]),
    st.lists(st.tuples(places, st.integers(0, 12), pieces), max_size=3),
    st.binary(max_size=8),
)
def test_whatever_is_known_is_what_the_parser_says(
    lines: bytes, spoilt: list[tuple[int, int, bytes]], body: bytes
) -> None:
    heads, _ = learned(request(lines=lines), VARYING)
    data = request(body=body, lines=lines)
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
