"""What a hostile or broken caller may send, and whether what came back is an answer.

An attack is what one connection is sent, in pieces. The fuzz takes one and spoils its bytes.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import orjson

from schemas.dialects import openim, tencent
from schemas.dialects.readings import Fault

CAP: Final = 100_000
AFTER_TENCENT: Final = "Group.CallbackAfterNewMemberJoin"
BEFORE_TENCENT: Final = "Group.CallbackBeforeInviteJoinGroup"
AFTER_OPENIM: Final = "callbackAfterMemberJoinGroupCommand"
BEFORE_OPENIM: Final = "callbackBeforeInviteJoinGroupCommand"


class Target(NamedTuple):
    """A URL, whose it is, and a body that fits."""

    url: str
    provider: str
    command: str
    body: bytes


TARGETS: Final = (
    Target(
        f"/?SdkAppid=1400000000&CallbackCommand={AFTER_TENCENT}",
        "tencent",
        AFTER_TENCENT,
        b'{"GroupId":"hostile","NewMemberList":[{"Member_Account":"eve"}],"EventTime":1700000000000}',
    ),
    Target(
        f"/tencent?SdkAppid=1400000000&CallbackCommand={BEFORE_TENCENT}",
        "tencent",
        BEFORE_TENCENT,
        b'{"GroupId":"hostile","Operator_Account":"eve","DestinationMembers":[{"Member_Account":"bo"}]}',
    ),
    Target(f"/openim/{AFTER_OPENIM}", "openim", AFTER_OPENIM, b'{"groupID":"hostile","userID":"eve"}'),
    Target(f"/{BEFORE_OPENIM}", "openim", BEFORE_OPENIM, b'{"groupID":"hostile","invitedUserIDs":["bo"]}'),
)


class Attack(NamedTuple):
    """Bytes to send in ``pieces``; ``target`` is whose answer is due, None where nobody can say."""

    name: str
    pieces: Sequence[bytes]
    target: Target | None
    head_only: bool = False


class Answer(NamedTuple):
    """One answer as it came over the wire."""

    status: int
    body: bytes


def head(target: Target, *lines: str, method: str = "POST", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{method} {target.url} {version}", "Host: im", *lines, "", ""]).encode()


def whole(target: Target, *lines: str, method: str = "POST", version: str = "HTTP/1.1") -> bytes:
    length = f"Content-Length: {len(target.body)}"
    return head(target, length, *lines, method=method, version=version) + target.body


def chunked(target: Target, *chunks: bytes, trailer: bytes = b"") -> bytes:
    return head(target, "Transfer-Encoding: chunked") + b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


Make = Callable[[random.Random, Target], list[bytes]]
ATTACKS: Final[dict[str, Make]] = {
    "whole": lambda _, to: [whole(to)],
    "pipelined": lambda chance, to: [whole(to) * chance.randrange(2, 40)],
    "far ahead": lambda _, to: [whole(to) * 400],
    "torn": lambda chance, to: torn(whole(to), chance),
    "cut off in its head": lambda chance, to: [whole(to)[: chance.randrange(1, 60)]],
    "cut off in its body": lambda chance, to: [whole(to)[: -chance.randrange(1, len(to.body))]],
    "over the cap": lambda _, to: [head(to, "Content-Length: 1000000000"), b"x" * 1000],
    "over the cap in chunks": lambda _, to: [chunked(to, *[chunk(b"x" * 20_000)] * 8)],
    "chunked": lambda _, to: [
        chunked(to, *(chunk(to.body[at : at + 7]) for at in range(0, len(to.body), 7)))
    ],
    "chunk extensions": lambda _, to: [chunked(to, chunk(to.body, b';a="b";c;' + b"d" * 500))],
    "trailers": lambda _, to: [chunked(to, chunk(to.body), trailer=b"X-A: b\r\nContent-Length: 5\r\n")],
    "a huge chunk size": lambda _, to: [head(to, "Transfer-Encoding: chunked"), b"fffffffffffffffff\r\n{}"],
    "a negative chunk": lambda _, to: [head(to, "Transfer-Encoding: chunked"), b"-1\r\n{}\r\n"],
    "an endless chunk size": lambda _, to: [head(to, "Transfer-Encoding: chunked"), b"0" * 50_000],
    "both lengths": lambda _, to: [
        head(to, "Content-Length: 3", "Transfer-Encoding: chunked") + chunk(to.body) + b"0\r\n\r\n"
    ],
    "two lengths": lambda _, to: [head(to, "Content-Length: 3", "Content-Length: 30") + to.body],
    "a negative length": lambda _, to: [head(to, "Content-Length: -1") + to.body],
    "a length of words": lambda _, to: [head(to, "Content-Length: many") + to.body],
    "a length beyond numbers": lambda _, to: [head(to, f"Content-Length: {'9' * 40}") + to.body],
    "a length too short": lambda _, to: [head(to, "Content-Length: 2") + to.body],
    "no length": lambda _, to: [head(to) + to.body],
    "a huge header": lambda _, to: [whole(to, "X-A: " + "a" * 200_000)],
    "many headers": lambda _, to: [whole(to, *(f"X-{number}: a" for number in range(5_000)))],
    "a huge target": lambda _, to: [whole(to._replace(url=to.url + "?" + "a" * 100_000))],
    "a head without end": lambda _, to: [head(to)[:-4] + b"\r\nX: y" * 20_000],
    "a folded header": lambda _, to: [whole(to, "X-A: b\r\n c")],
    "a header without name": lambda _, to: [whole(to, ": b")],
    "a header of bytes": lambda _, to: [whole(to).replace(b"Host: im", b"Host: \xff\xfe\x01")],
    "NULs": lambda _, to: [whole(to).replace(b"Host: im", b"Host: i\0m")],
    "a target of bytes": lambda _, to: [whole(to).replace(b" /", b" /\xff\x80", 1)],
    "an absurd method": lambda _, to: [whole(to, method="A" * 300)],
    "another method": lambda chance, to: [
        whole(to, method=chance.choice(["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI"]))
    ],
    "HEAD": lambda _, to: [head(to, method="HEAD")],
    "HTTP/1.0": lambda _, to: [whole(to, version="HTTP/1.0")],
    "HTTP/9.9": lambda _, to: [whole(to, version="HTTP/9.9")],
    "HTTP/2": lambda _, __: [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)],
    "TLS": lambda chance, __: [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200)],
    "noise": lambda chance, __: [chance.randbytes(chance.randrange(1, 2000))],
    "an upgrade": lambda _, to: [whole(to, "Connection: Upgrade", "Upgrade: websocket"), b"\x81\x05hello"],
    "an upgrade to HTTP/2": lambda _, to: [
        whole(to, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    ],
    "asks to go on": lambda _, to: [
        head(to, f"Content-Length: {len(to.body)}", "Expect: 100-continue"),
        to.body,
    ],
    "expects the impossible": lambda _, to: [whole(to, "Expect: the-impossible")],
    "compressed": lambda chance, to: [
        head(to, "Content-Encoding: gzip", "Content-Length: 40") + chance.randbytes(40)
    ],
    "a body of bytes": lambda chance, to: [
        whole(to._replace(body=chance.randbytes(chance.randrange(1, 500))))
    ],
    "a deep body": lambda _, to: [whole(to._replace(body=b"[" * 50_000))],
    "garbage behind": lambda _, to: [whole(to), b"\x00\x01GARBAGE\r\n\r\n"],
}
_NOBODYS: Final = frozenset({"HTTP/2", "TLS", "noise", "a target of bytes", "a huge target", "HEAD"})


def attack(name: str, chance: random.Random) -> Attack:
    """Return one attack of this kind."""
    target = chance.choice(TARGETS)
    return Attack(
        name, ATTACKS[name](chance, target), None if name in _NOBODYS else target, head_only=name == "HEAD"
    )


def spoilt(chance: random.Random) -> Attack:
    """Return an attack of any kind with some of its bytes changed, taken out, doubled, or torn apart."""
    made = attack(chance.choice(sorted(ATTACKS.keys() - {"HEAD"})), chance)
    pieces = list(made.pieces)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(pieces))
        pieces[at] = _spoil(pieces[at], chance)
    if chance.random() < 0.3:
        pieces = [part for piece in pieces for part in torn(piece, chance)]
    return Attack(f"spoilt: {made.name}", pieces, None)


def torn(data: bytes, chance: random.Random) -> list[bytes]:
    """Return data in up to six pieces."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(5))
    return [
        data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < stop
    ]


def _spoil(data: bytes, chance: random.Random) -> bytes:
    at, count = chance.randrange(len(data) + 1), chance.randrange(1, 20)
    middle = chance.choice(
        [b"", chance.randbytes(count), data[at : at + count] * 2, b"\r\n", b"\0", b": ", b" "]
    )
    return data[:at] + middle + data[at + chance.choice([0, count]) :]


_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z -]+")


def answers_in(data: bytes, *, head_only: bool) -> list[Answer]:
    """Return the answers that came over one connection. Raises ValueError on what is no HTTP."""
    found = []
    while data:
        top, separator, data = data.partition(b"\r\n\r\n")
        first, *lines = top.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        if not separator or status is None:
            raise ValueError(f"no HTTP answer: {top[:200]!r}")
        if status[1] == b"100":
            continue
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
        length = 0 if head_only else int(headers[b"content-length"])
        if len(data) < length:
            raise ValueError(f"an answer cut off: {top[:200]!r}")
        if headers[b"content-type"] != b"application/json; charset=utf-8":
            raise ValueError(f"no JSON: {headers}")
        found.append(Answer(int(status[1]), data[:length]))
        data = data[length:]
    return found


def complaint(attacked: Attack, answer: Answer) -> str:
    """Return what is wrong with an answer as its caller reads it, empty where nothing is."""
    if attacked.head_only:
        return ""
    if attacked.target is not None and answer.status == 200:
        reader = openim if attacked.target.provider == "openim" else tencent
        reading = reader.read_answer(attacked.target.command, attacked.target.body, 200, answer.body)
        return reading.why if isinstance(reading, Fault) else ""
    return _wrong_for_anybody(answer)


def _wrong_for_anybody(answer: Answer) -> str:
    """Return what keeps an answer from being one to either vendor: both shapes, or that of one of them."""
    try:
        said = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        return f"no JSON: {error}"
    if not isinstance(said, dict):
        return "no JSON object"
    read = [_wrong_for_tencent(said, answer.status)] if "ActionStatus" in said else []
    if "actionCode" in said or not read:
        reading = openim.read_answer(BEFORE_OPENIM, TARGETS[3].body, answer.status, answer.body)
        read.append(reading.why if isinstance(reading, Fault) else "")
        if answer.status != 200 and not isinstance(reading, Fault) and reading.kind == "deny":
            read.append("a failure that OpenIM takes for a refusal")
    return "; ".join(filter(None, read))


def _wrong_for_tencent(said: dict[str, object], status: int) -> str:
    wanted = ("OK", "FAIL") if status == 200 else ("FAIL",)
    if (
        said["ActionStatus"] in wanted
        and type(said["ErrorCode"]) is int
        and isinstance(said["ErrorInfo"], str)
    ):
        return ""
    return f"Tencent cannot read {said}"
