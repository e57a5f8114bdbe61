"""Routes and HTTP itself, over real sockets: every form of both vendors, and what senders do to a server."""

import asyncio
import inspect
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import orjson
import pytest

from bridge.errors import ConfigurationError
from bridge.ingress.heads import Head, Heads
from bridge.ingress.ingress import Ingress
from bridge.log.clock import HybridClock
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from tests.ingress_bed import CATALOG, Bed, ShelfJournal, ToldRules, Wire, request, running, until
from tests.verdicts import verdict

TENCENT = "/?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterNewMemberJoin"
JOINED = b'{"GroupId":"g","NewMemberList":[{"Member_Account":"bo"}],"EventTime":1670574414123}'
UPDATED = b'{"groupID":"g","userID":"u","nickName":"n"}'
NAMED = b'{"callbackCommand":"CallbackAfterSetGroupMemberInfoCommand","groupID":"g","userID":"u"}'
INVITE = "/openim/callbackBeforeInviteJoinGroupCommand"
INVITED = b'{"groupID":"g","invitedUserIDs":["u"]}'
COMMAND = "callbackAfterSetGroupMemberInfoCommand"


async def stored_as(bed: Bed, target: str, body: bytes) -> str:
    answer = await bed.post(target, body)
    assert answer.status == 200, answer
    return str(bed.journal.events()[-1]["type"])


# Routes


@pytest.mark.parametrize(
    "target",
    [
        TENCENT,
        TENCENT.replace("/", "//"),
        "/tencent?sdkappid=14&callbackcommand=GROUP.CALLBACKAFTERNEWMEMBERJOIN",
        "/tencent/?SDKAppID=14&CallbackCommand=Group.CallbackAfterNewMemberJoin&contenttype=json&New=%20x",
        "//tencent//?SdkAppid=14&CallbackCommand=Group%2ECallbackAfterNewMemberJoin",
        "http://bridge.example:8080/tencent?SdkAppid=14&CallbackCommand=Group.CallbackAfterNewMemberJoin",
    ],
)
async def test_every_form_of_tencents_arrives(target: str) -> None:
    async with running() as bed:
        assert await stored_as(bed, target, JOINED) == "im.group.member.joined.v1"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (f"/openim/{COMMAND}", UPDATED),
        (f"/openim//{COMMAND}/", UPDATED),
        (f"///openim/{COMMAND}?contenttype=json&sdkName=x", UPDATED),
        (f"/openim/{COMMAND.upper()}", UPDATED),
        (f"/openim/{COMMAND}?key=eyJzZW5kSUQiOiIifQ%3D%3D", UPDATED),
        (f"/openim?command={COMMAND}", UPDATED),
        (f"/openim/?contenttype=json&command={COMMAND}", UPDATED),
        (f"/{COMMAND}", UPDATED),
        (f"//{COMMAND}", UPDATED),
        (f"/?command={COMMAND}&contenttype=json", UPDATED),
        ("/openim", NAMED),
        ("/openim/hook", NAMED),
        ("/?command=", NAMED),
    ],
)
async def test_every_form_of_openims_arrives(target: str, body: bytes) -> None:
    async with running() as bed:
        assert await stored_as(bed, target, body) == "im.group.member.updated.v1"


async def test_base_paths_can_be_moved() -> None:
    moved = (TencentProvider(path="/hooks/chat"), OpenIMProvider(path="/hooks/im"))
    async with running(providers=moved) as bed:
        target = TENCENT.replace("/", "/hooks/chat")
        assert await stored_as(bed, target, JOINED) == "im.group.member.joined.v1"
        assert await stored_as(bed, f"/hooks/im/{COMMAND}", UPDATED) == "im.group.member.updated.v1"
        assert (await bed.post("/tencent?SdkAppid=1", JOINED)).status == 404


async def test_query_and_operation_travel_in_the_origin() -> None:
    async with running() as bed:
        await bed.post(f"{TENCENT}&ClientIP=10.0.0.1&OptPlatform=iOS&RequestID=r1&New=1&New=2", JOINED)
        await bed.post(f"/openim/{COMMAND}?key=a", UPDATED, {"operationid": "op1"})
        tencent, openim = bed.journal.events()
    assert tencent["correlationid"] == "r1"
    assert tencent["data"]["origin"]["query"] == {
        "SdkAppid": "1400000000",
        "CallbackCommand": "Group.CallbackAfterNewMemberJoin",
        "ClientIP": "10.0.0.1",
        "OptPlatform": "iOS",
        "RequestID": "r1",
        "New": "1",
    }
    assert openim["correlationid"] == "op1"
    assert openim["data"]["origin"]["operation_id"] == "op1"
    assert openim["data"]["origin"]["query"] == {"key": "a"}


async def test_a_repeat_keeps_its_id_and_its_sequence() -> None:
    async with running() as bed:
        await bed.post(f"{TENCENT}&RequestTime=1", JOINED)
        await bed.post(f"{TENCENT}&RequestTime=2", JOINED)
        first, second = bed.journal.events()
    assert (first["id"], first["sequence"]) == (second["id"], second["sequence"])


async def test_the_order_of_acceptance_is_the_order_of_moments() -> None:
    async with running() as bed, bed.wire() as wire:
        for place in range(20):
            wire.send(request(f"/openim/{COMMAND}", b'{"groupID":"g","userID":"u%d"}' % place))
        for _ in range(20):
            assert (await wire.answer()).status == 200
        events = bed.journal.events()
    assert [event["data"]["user_id"] for event in events] == [f"u{place}" for place in range(20)]
    sequences = [event["sequence"] for event in events]
    assert sequences == sorted(set(sequences))


# Connections


async def test_a_connection_is_kept_for_the_next_callback() -> None:
    async with running() as bed, bed.wire() as wire:
        for _ in range(3):
            wire.send(request(TENCENT, JOINED))
            answer = await wire.answer()
            assert (answer.status, answer.headers.get("connection")) == (200, None)
            assert answer.headers["date"].endswith("GMT")


async def test_what_taught_a_connection_its_head_spares_it_the_parser_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find, known = Heads.find, list[bool]()

    def noted(heads: Heads, data: bytes) -> tuple[Head, str, bytes] | None:
        found = find(heads, data)
        known.append(found is not None)
        return found

    monkeypatch.setattr(Heads, "find", noted)
    async with running() as bed, bed.wire() as wire:
        for target in (TENCENT, f"/openim/{COMMAND}"):
            for body in (b"{}", b'{"longer": 1}', b"{}"):
                operation = {"Operationid": f"of-{len(known)}"} if target != TENCENT else {}
                wire.send(request(target, body, operation))
                assert (await wire.answer()).status == 200
    assert known == [False, True, True] * 2


OPERATIONS = [
    *(b"Operationid: op2", b"Operationid: -", b"OperationID: op2", b"Operationid:op2", b"Operationid: a b"),
    *(
        b"Operationid:",
        b"Operationid: ",
        b"Operationid:   op2 ",
        b"Operationid: \xc3\xa4",
        b"Operationid: \xff",
    ),
    *(b"Operationid: op2\r\n folded", b"Operationid: op2\r\noperationid: op3", b"Operationid op2"),
    *(b"Operationid : op2", b"Operationid: op\x002", b"Operationid: op\x7f2", b"Operationid: op\t2"),
    *(b"X-Else: op2", b"Operationid: op2\r\nConnection: close", b"Operationid: op2\r\nContent-Length: 1"),
]


async def test_an_operation_id_arrives_the_same_whether_its_head_is_known_or_parsed() -> None:
    before = b"POST /openim/%b HTTP/1.1\r\nHost: im\r\nContent-Length: %d\r\n" % (
        COMMAND.encode(),
        len(UPDATED),
    )
    after = b"\r\nAccept-Encoding: gzip\r\n\r\n" + UPDATED

    async def sent(operation: bytes, taught: Sequence[bytes]) -> tuple[int, bytes, str | None, list[object]]:
        async with running() as bed, bed.wire() as wire:
            for each in taught:
                wire.send(before + each + after)
                assert (await wire.answer()).status == 200
            wire.send(before + operation + after)
            answer = await wire.answer()
            stored = bed.journal.events()[len(taught) :]
            told = [(event.get("correlationid"), event["data"]["origin"]) for event in stored]
            return answer.status, answer.body, answer.headers.get("connection"), [*told]

    for operation in OPERATIONS:
        parsed = await sent(operation, [])
        assert await sent(operation, [b"Operationid: op0", b"Operationid: op1"]) == parsed, operation


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with running(journal=ShelfJournal(held=True)) as bed, bed.wire() as wire:
        wire.send(request(TENCENT, JOINED) + request(INVITE, INVITED) + request("/nowhere", b""))
        await until(lambda: bed.journal.records, "the first in the queue")
        assert len(bed.journal.records) == 1, "the question waits for its turn on its connection"
        bed.journal.release()
        first, second, third = [await wire.answer() for _ in range(3)]
        assert first.json["ActionStatus"] == "OK"
        assert verdict("openim", second.body) == "deny"
        assert third.status == 404


async def test_garbage_after_a_request_is_refused_after_its_answer() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(request(TENCENT, JOINED))
        assert (await wire.answer()).status == 200
        wire.send(b"\x00\x01GARBAGE\r\n\r\n")
        assert (await wire.answer()).status == 400
        assert await wire.ended() == b""


async def test_garbage_while_a_request_waits_is_refused_in_its_turn() -> None:
    async with running(journal=ShelfJournal(held=True)) as bed, bed.wire() as wire:
        wire.send(request(TENCENT, JOINED))
        await until(lambda: bed.journal.waiting, "the append")
        wire.send(b"GARBAGE\r\n\r\n")
        await asyncio.sleep(0)
        bed.journal.release()
        assert [(await wire.answer()).status for _ in range(2)] == [200, 400]


async def test_requests_far_ahead_of_their_answers_end_the_connection() -> None:
    async with running(journal=ShelfJournal(held=True)) as bed, bed.wire() as wire:
        wire.send(request("/tencent?SdkAppid=1", b"{}") * 1000)
        await until(lambda: bed.journal.waiting, "the first append")
        bed.journal.held = False
        bed.journal.release()
        answers = (await wire.ended()).count(b"HTTP/1.1 200 OK")
        assert 256 < answers <= 1000
        assert len(bed.journal.records) == answers


async def test_a_caller_always_one_request_ahead_holds_no_more_than_that_request() -> None:
    journal = ShelfJournal(held=True)
    async with running(journal=journal, buffer_bytes=32 * 1024) as bed, bed.wire() as wire:
        callback = request(TENCENT, JOINED)
        wire.send(callback * 2)
        for number in range(1, 40):
            await until(lambda number=number: len(journal.records) == number, "the append")
            free = bed.ingress._server.room.free
            for part in (callback[:40], callback[40:]):
                wire.send(part)
                await until(lambda free=free: bed.ingress._server.room.free < free, "the next request")
                free = bed.ingress._server.room.free
            journal.release()
            assert (await wire.answer()).status == 200


@pytest.mark.parametrize(
    ("version", "asked", "told"),
    [("1.1", "close", "close"), ("1.0", "", "close"), ("1.0", "keep-alive", "keep-alive")],
)
async def test_the_connection_ends_as_the_caller_asks(version: str, asked: str, told: str) -> None:
    async with running() as bed, bed.wire() as wire:
        header = {"Connection": asked} if asked else {}
        wire.send(request(TENCENT, JOINED, header).replace(b"HTTP/1.1", b"HTTP/" + version.encode(), 1))
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, told)
        if told == "close":
            assert await wire.ended() == b""


async def test_a_head_request_gets_no_body() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(request("/tencent", b"", method="HEAD") + request(TENCENT, JOINED))
        answer = await wire.answer(head_only=True)
        assert answer.status == 405
        assert int(answer.headers["content-length"]) > 0
        assert (await wire.answer()).json["ActionStatus"] == "OK"


async def test_a_caller_that_ends_its_side_still_gets_its_answer() -> None:
    async with running(journal=ShelfJournal(held=True)) as bed, bed.wire() as wire:
        wire.send(request(TENCENT, JOINED))
        wire.writer.write_eof()
        await until(lambda: bed.journal.waiting, "the append")
        bed.journal.release()
        assert (await wire.answer()).status == 200
        assert await wire.ended() == b""


async def test_a_caller_that_is_gone_costs_nothing_more() -> None:
    async with running(journal=ShelfJournal(held=True)) as bed:
        async with bed.wire() as wire:
            wire.send(request(TENCENT, JOINED))
            await until(lambda: bed.journal.waiting, "the append")
            at_once = struct.pack("ii", 1, 0)
            wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        await until(lambda: not bed.ingress._server.places.connections, "the connection gone")
        assert bed.ingress.status().waiting == 1
        bed.journal.release()
        await until(lambda: bed.ingress.status().waiting == 0, "the append accounted for")


async def test_an_idle_connection_ends() -> None:
    async with running(keepalive_seconds=0.05) as bed, bed.wire() as wire:
        wire.send(request(TENCENT, JOINED))
        assert (await wire.answer()).status == 200
        assert await wire.ended() == b""


async def test_a_head_that_dribbles_in_ends() -> None:
    async with running(body_seconds=0.05) as bed, bed.wire() as wire:
        wire.send(b"POST /openim HTTP/1.1\r\nHost: ")
        assert await wire.ended() == b""


async def test_an_upgrade_is_answered_as_the_request_it_is() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(request(TENCENT, JOINED, {"Connection": "Upgrade", "Upgrade": "websocket"}))
        assert (await wire.answer()).status == 200


# Bodies


def head(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: im", *lines, "", ""]).encode()


async def test_a_body_that_comes_in_pieces_is_put_together() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(head(TENCENT, f"Content-Length: {len(JOINED)}"))
        for place in range(len(JOINED)):
            wire.send(JOINED[place : place + 1])
            await asyncio.sleep(0)
        assert (await wire.answer()).status == 200
        assert bed.journal.events()[0]["data"]["origin"]["body"] == orjson.loads(JOINED)


async def test_a_chunked_body_is_put_together() -> None:
    async with running() as bed, bed.wire() as wire:
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, JOINED[place : place + 1]) for place in range(len(JOINED)))
        wire.send(head(TENCENT, "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
        assert (await wire.answer()).status == 200
        wire.send(request(TENCENT, JOINED))
        assert (await wire.answer()).status == 200
        assert bed.journal.events()[0]["type"] == "im.group.member.joined.v1"


async def test_a_large_body_below_the_cap_is_taken() -> None:
    body = b'{"groupID":"g","userID":"u","ex":"%b"}' % (b"x" * 900_000)
    async with running() as bed:
        answer = await bed.post(f"/openim/{COMMAND}", body)
        assert answer.status == 200
        assert len(bed.journal.events()[0]["data"]["extension"]) == 900_000


async def test_a_caller_that_asks_before_sending_is_told_to_go_on() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(head(TENCENT, f"Content-Length: {len(JOINED)}", "Expect: 100-continue"))
        assert (await wire.answer()).status == 100
        wire.send(JOINED)
        assert (await wire.answer()).status == 200


@pytest.mark.parametrize(("target", "status"), [(TENCENT, 413), (f"/openim/{COMMAND}", 413), (INVITE, 200)])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_cap_is_not_read_on(target: str, status: int, announced: bool) -> None:
    async with running(body_bytes=100_000) as bed, bed.wire() as wire:
        if announced:
            wire.send(head(target, "Content-Length: 1000000000", "Expect: 100-continue"))
        else:
            wire.send(head(target, "Transfer-Encoding: chunked"))
            wire.send(b"%x\r\n%b\r\n" % (200_000, b"x" * 200_000))
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        wire.send(b"x" * 100_000)
        assert await wire.ended() == b""
        assert not bed.journal.records


@pytest.mark.parametrize(
    ("target", "status"), [(TENCENT, 408), (f"/openim/{COMMAND}", 408), (INVITE, 200), ("/openim", 408)]
)
async def test_a_slow_body_is_not_waited_for(target: str, status: int) -> None:
    async with running(body_seconds=0.05) as bed, bed.wire() as wire:
        wire.send(head(target, "Content-Length: 10") + b"{")
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        if "openim" in target:
            assert verdict("openim", answer.body) == "allow"


async def test_other_callers_are_answered_while_a_slow_body_comes() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(head(TENCENT, "Content-Length: 10") + b"{")
        assert verdict("openim", (await bed.post(INVITE, INVITED)).body) == "deny"
        wire.writer.close()


@pytest.mark.parametrize("target", [TENCENT, INVITE])
async def test_a_body_that_is_cut_off_stores_nothing(target: str) -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(head(target, "Content-Length: 10") + b"{")
        wire.writer.write_eof()
        answer = await wire.answer()
        assert answer.status == (200 if target == INVITE else 400)
        assert not bed.journal.records


async def test_a_chunk_that_is_none_ends_the_request() -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(head(TENCENT, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n")
        await until(lambda: busy(bed.ingress), "the request")
        wire.send(b"zz\r\n")
        assert (await wire.answer()).status == 400
        assert not bed.journal.records


async def test_a_compressed_body_is_the_bytes_it_is() -> None:
    async with running() as bed:
        answer = await bed.post(TENCENT, b"\x1f\x8b\x08\x00", {"Content-Encoding": "gzip"})
        assert answer.status == 200
        assert "body_base64" in bed.journal.events()[0]["data"]["origin"]


# Starting, draining, stopping


def made(journal: ShelfJournal | None = None) -> Ingress:
    providers = (TencentProvider(), OpenIMProvider())
    return Ingress(CATALOG, providers, journal, ToldRules(), HybridClock())


async def test_a_taken_port_is_said_so() -> None:
    async with running() as bed:
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{bed.port}"):
            await made().start("127.0.0.1", bed.port)


async def test_processes_may_share_a_port() -> None:
    first, second = made(ShelfJournal()), made(ShelfJournal())
    _, port = await first.start("127.0.0.1", 0, share_port=True)
    try:
        assert (await second.start("127.0.0.1", port, share_port=True))[1] == port
    finally:
        await first.stop(5)
        await second.stop(5)


async def test_status_tells_what_operators_want_to_know() -> None:
    ingress = made()
    assert not ingress.status().listening
    await ingress.start("127.0.0.1", 0)
    status = ingress.status()
    assert (status.listening, status.draining, status.journal_usable) == (True, False, False)
    ingress.use_journal(ShelfJournal())
    ingress.begin_drain()
    assert ingress.status().journal_usable
    assert ingress.status().draining
    await ingress.stop(5)
    assert not ingress.status().listening


async def test_stopping_finishes_what_is_in_flight() -> None:
    journal = ShelfJournal(held=True)
    ingress = made(journal)
    _, port = await ingress.start("127.0.0.1", 0)
    wires = [await _connect(port) for _ in range(10)]
    for wire in wires[:5]:
        wire.send(request(TENCENT, JOINED))
    for wire in wires[5:9]:
        wire.send(head(INVITE, f"Content-Length: {len(INVITED)}") + INVITED[:5])
    await until(lambda: busy(ingress) == 9, "nine in flight")
    stopping = asyncio.create_task(ingress.stop(10))
    assert await wires[9].ended() == b"", "an idle connection ends at once"
    with pytest.raises(ConnectionRefusedError):
        await _connect(port)
    for wire in wires[5:9]:
        wire.send(INVITED[5:])
        assert verdict("openim", (await wire.answer()).body) == "deny"
    assert not stopping.done()
    journal.release()
    for wire in wires[:5]:
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    await stopping
    for wire in wires:
        wire.writer.close()


async def test_stopping_cuts_off_what_takes_too_long() -> None:
    journal = ShelfJournal(held=True)
    ingress = made(journal)
    _, port = await ingress.start("127.0.0.1", 0)
    waiting, dribbling = await _connect(port), await _connect(port)
    waiting.send(request(TENCENT, JOINED))
    dribbling.send(head(TENCENT, "Content-Length: 10") + b"{")
    await until(lambda: journal.waiting, "the append")
    await ingress.stop(0.05)
    assert not ingress._server.places.connections
    for wire in (waiting, dribbling):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await wire.answer()
        wire.writer.close()
    journal.release()


async def test_draining_under_load_loses_no_acknowledged_callback() -> None:
    async with running() as bed:
        acknowledged = 0

        async def caller() -> None:
            nonlocal acknowledged
            async with bed.wire() as wire:
                while True:
                    wire.send(request(f"/openim/{COMMAND}", UPDATED))
                    answer = await wire.answer()
                    assert answer.status in {200, 503}
                    acknowledged += answer.status == 200
                    if answer.headers.get("connection") == "close":
                        return

        callers = [asyncio.create_task(caller()) for _ in range(8)]
        await until(lambda: acknowledged >= 50, "some load")
        bed.ingress.begin_drain()
        async with asyncio.timeout(10):
            await asyncio.gather(*callers)
        assert len(bed.journal.records) == acknowledged


def busy(ingress: Ingress) -> int:
    """Return how many connections have a request under way."""
    return sum(not connection.is_idle() for connection in ingress._server.places.connections)


async def _connect(port: int) -> Wire:
    return Wire(*await asyncio.open_connection("127.0.0.1", port))


# The loop of production: its transports differ in how they end, pause and cut off connections

SCENES: list[Callable[[], Coroutine[Any, Any, None]]] = [
    scene
    for name, scene in list(globals().items())
    if name.startswith("test_")
    and inspect.iscoroutinefunction(scene)
    and not inspect.signature(scene).parameters
]
SCENES += [
    partial(test_a_body_over_the_cap_is_not_read_on, TENCENT, 413, announced=False),
    partial(test_a_slow_body_is_not_waited_for, INVITE, 200),
    partial(test_a_body_that_is_cut_off_stores_nothing, TENCENT),
]


@pytest.mark.parametrize("scene", SCENES)
def test_the_same_holds_on_uvloop(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
