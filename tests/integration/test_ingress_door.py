"""The door over real sockets: each reason it refuses for, and a signed callback that comes again."""

import hmac
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
import pytest
from structlog.testing import capture_logs

from bridge.config import Settings
from bridge.errors import JournalFailed
from bridge.log.clock import HybridClock
from bridge.main.opening import open_ingress
from bridge.providers.base import Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.openim_signature import NonceSignature
from bridge.providers.tencent import TencentProvider
from bridge.telemetry import REGISTRY
from tests.ingress_bed import (
    CATALOG,
    SECONDS,
    Answer,
    Bed,
    ShelfJournal,
    ToldRules,
    Wire,
    request,
    running,
    until,
)

TOKEN, SECRET, APP = "t0ken", "s3cret", "1400000000"
DOORS: tuple[Provider, ...] = (
    TencentProvider(app_ids=[APP], tokens=[TOKEN]),
    OpenIMProvider(
        path_secrets=[SECRET],
        signature=NonceSignature(
            "HMAC-SHA256", signature_header="X-Sig", nonce_header="X-Nonce", secrets=[SECRET]
        ),
    ),
)
SIGNED = {"X-Nonce": "n", "X-Sig": hmac.digest(SECRET.encode(), b"n", "sha256").hex()}
HOME = {"tencent": ("127.0.0.0/8",), "openim": ("127.0.0.0/8", "::1/128")}
AWAY = {"tencent": ("203.0.113.0/24",), "openim": ("2001:db8::/32",)}
JOIN, INVITE = "Group.CallbackAfterNewMemberJoin", "Group.CallbackBeforeInviteJoinGroup"
ADDED = "Sns.CallbackFriendAdd"


def tencent(command: str, *, age: float = 0, token: str = TOKEN, app: str = APP, more: str = "") -> str:
    at = str(int(time.time() - age))
    sign = sha256(f"{token}{at}".encode()).hexdigest()
    return f"/tencent?SdkAppid={app}&CallbackCommand={command}&RequestTime={at}&Sign={sign}{more}"


def openim(command: str, secret: str = SECRET) -> str:
    return f"/openim/{secret}/{command}"


class Attempt(NamedTuple):
    provider: str
    reason: str
    target: str
    headers: Mapping[str, str] = SIGNED
    networks: Mapping[str, tuple[str, ...]] = HOME


def attempts() -> list[Attempt]:
    told, asked = "callbackAfterJoinGroupCommand", "callbackBeforeInviteJoinGroupCommand"
    each = []
    for command in (JOIN, INVITE):
        each += [
            Attempt("tencent", "app_id", tencent(command, app="1400000001")),
            Attempt("tencent", "signature", tencent(command, token="another")),
            Attempt("tencent", "freshness", tencent(command, age=3600)),
            Attempt("tencent", "freshness", tencent(command, age=-3600)),
            Attempt("tencent", "network", tencent(command), networks=AWAY),
        ]
    for command in (told, asked):
        each += [
            Attempt("openim", "path_secret", openim(command, "guess")),
            Attempt("openim", "path_secret", f"/{command}"),
            Attempt("openim", "signature", openim(command), {}),
            Attempt("openim", "network", openim(command), networks=AWAY),
        ]
    return each


def refusals(attempt: Attempt) -> float:
    labels = {"provider": attempt.provider, "reason": attempt.reason}
    return REGISTRY.get_sample_value("imbridge_door_refusals_total", labels) or 0.0


@pytest.mark.parametrize("number", range(len(attempts())))
async def test_each_reason_to_refuse_is_answered_403_counted_logged_and_stores_nothing(number: int) -> None:
    attempt = attempts()[number]
    counted = refusals(attempt)
    with capture_logs() as logs:
        async with running(providers=DOORS, networks=attempt.networks) as bed:
            answer = await bed.post(attempt.target, b"{}", attempt.headers)
            assert answer.status == 403
            said = answer.json["ErrorInfo" if attempt.provider == "tencent" else "errMsg"]
            assert said == f"forbidden: {attempt.reason}"
            assert not bed.journal.records
            assert not bed.rules.asked
    assert refusals(attempt) == counted + 1
    assert [line["reason"] for line in logs if line["event"] == "door.refused"] == [attempt.reason]
    assert TOKEN not in str(logs)
    assert SECRET not in str(logs)


async def test_what_has_every_key_passes_from_the_allowed_networks() -> None:
    async with running(providers=DOORS, networks=HOME) as bed:
        assert (await bed.post(tencent(JOIN), b"{}")).status == 200
        assert (await bed.post(openim("callbackAfterJoinGroupCommand"), b"{}", SIGNED)).status == 200
        assert len(bed.journal.records) == 2


async def test_behind_a_proxy_the_forwarded_source_counts() -> None:
    async with running(providers=DOORS, networks=AWAY, trusted_hops=1) as bed:
        target = openim("callbackAfterJoinGroupCommand")
        forged = SIGNED | {"X-Forwarded-For": "2001:db8::7, 198.51.100.1"}
        genuine = SIGNED | {"X-Forwarded-For": "198.51.100.1, 2001:db8::7"}
        assert (await bed.post(target, b"{}", SIGNED)).status == 403
        assert (await bed.post(target, b"{}", forged)).status == 403
        assert (await bed.post(target, b"{}", genuine)).status == 200


async def test_a_flood_at_the_door_logs_a_line_a_reason_and_not_a_line_a_request() -> None:
    with capture_logs() as logs:
        async with running(providers=DOORS, networks=AWAY) as bed:
            for _ in range(40):
                await bed.post(tencent(JOIN), b"{}")
    assert len([line for line in logs if line["event"] == "door.refused"]) == 1


async def test_made_up_commands_make_no_new_metric_and_few_log_lines() -> None:
    def series() -> int:
        return sum(len(family.samples) for family in REGISTRY.collect())

    with capture_logs() as logs:
        async with running() as bed:
            await bed.post("/tencent?SdkAppid=1&CallbackCommand=Made.Up", b"{}")
            await bed.post("/openim/callbackMadeUpCommand", b"{}")
            known = series()
            for number in range(20):
                await bed.post(f"/tencent?SdkAppid=1&CallbackCommand=Made.Up{number}", b"{}")
                await bed.post(f"/openim/callbackMadeUp{number}Command", b"{}")
            assert series() == known
            assert len(bed.journal.records) == 42
    assert len([line for line in logs if line["event"] == "callback.unrecognized"]) == 2


async def test_no_path_of_a_callback_logs_its_body_or_a_secret() -> None:
    mark = b'"gr0up-0f-s3crets"'
    bodies = [b'{"GroupId":%b,"groupID":%b}' % (mark, mark), b'{"x":%b' % mark, mark, mark * 300]
    targets = [tencent(JOIN), tencent(INVITE), tencent("Made.Up"), tencent(JOIN, token="no")]
    targets += [openim("callbackAfterJoinGroupCommand"), openim("callbackX"), openim("callbackX", "no")]
    signs = [target.rpartition("=")[2] for target in targets[:4]]
    with capture_logs() as logs:
        async with running(providers=DOORS, body_bytes=4096) as bed:
            for target in targets:
                for body in bodies:
                    await bed.post(target, body, SIGNED)
            bed.journal.error = JournalFailed("no fsync")
            await bed.post(targets[0], bodies[0])
    assert logs
    for told in ("gr0up-0f-s3crets", TOKEN, SECRET, SIGNED["X-Sig"], *signs):
        assert told not in str(logs)


# A signed callback that comes again


def joined(**changed: Any) -> bytes:
    body = {
        "CallbackCommand": JOIN,
        "GroupId": "g",
        "JoinType": "Apply",
        "Operator_Account": "ada",
        "NewMemberList": [{"Member_Account": "ada"}],
        "EventTime": "1670574414123",
    }
    return orjson.dumps({**body, **changed})


def befriended() -> bytes:
    """A body with no time and no identity: nothing in it tells a repeat from a second one."""
    pair = {"From_Account": "ada", "To_Account": "bob", "Initiator_Account": "ada"}
    return orjson.dumps({"CallbackCommand": ADDED, "PairList": [pair]})


async def twice(bed: Bed, target: str, body: bytes, again: str = "") -> list[Answer]:
    return [await bed.post(target, body), await bed.post(again or target, body)]


async def test_a_signed_callback_that_comes_again_is_one_event() -> None:
    labels = {"provider": "tencent", "command": JOIN, "outcome": "repeated"}
    counted = REGISTRY.get_sample_value("imbridge_callbacks_total", labels) or 0.0
    async with running(providers=DOORS) as bed:
        answers = await twice(bed, tencent(JOIN), joined())
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].json == answers[1].json
        assert len(bed.journal.records) == 1
    assert REGISTRY.get_sample_value("imbridge_callbacks_total", labels) == counted + 1


@asynccontextmanager
async def both_waiting(bed: Bed, target: str) -> AsyncIterator[list[Wire]]:
    """Yield two connections that sent the same: one waits for the disk, the repeat for that one."""
    async with bed.wire() as first, bed.wire() as second:
        first.send(request(target, joined()))
        await until(lambda: bed.journal.records, "the first copy in the queue")
        second.send(request(target, joined()))
        await until(lambda: bed.ingress.status().waiting == 2, "the repeat waiting")
        yield [first, second]


async def test_a_repeat_is_answered_only_after_the_first_copy_has_committed() -> None:
    async with running(providers=DOORS, journal=ShelfJournal(held=True)) as bed:
        async with both_waiting(bed, tencent(JOIN)) as wires:
            assert not wires[1].reader._buffer, "answered before it was on disk"  # type: ignore[attr-defined]
            bed.journal.release()
            assert [(await wire.answer()).status for wire in wires] == [200, 200]
        assert len(bed.journal.records) == 1
        assert bed.ingress.status().waiting == 0


async def test_a_repeat_of_what_could_not_be_stored_is_refused_with_it_and_stored_later() -> None:
    async with running(providers=DOORS, journal=ShelfJournal(held=True)) as bed:
        target = tencent(JOIN)
        async with both_waiting(bed, target) as wires:
            bed.journal.release(JournalFailed("no fsync"))
            assert [(await wire.answer()).status for wire in wires] == [503, 503]
        bed.journal.held = False
        bed.ingress.use_journal(bed.journal)
        assert (await bed.post(target, joined())).status == 200
        assert len(bed.journal.records) == 2


async def test_what_a_bug_of_ours_kept_from_the_journal_is_stored_when_it_comes_again() -> None:
    async with running(providers=DOORS, journal=ShelfJournal(error=RuntimeError("a bug"))) as bed:
        target = tencent(JOIN)
        assert (await bed.post(target, joined())).status == 503
        bed.journal.error = None
        assert (await bed.post(target, joined())).status == 200
        assert len(bed.journal.records) == 1
        assert bed.ingress.status().waiting == 0


@pytest.mark.parametrize("body", [joined(EventTime="1670574414124"), joined(GroupId="h")])
async def test_another_body_under_the_same_signature_is_another_event(body: bytes) -> None:
    async with running(providers=DOORS) as bed:
        target = tencent(JOIN)
        await bed.post(target, joined())
        await bed.post(target, body)
        assert len({event["id"] for event in bed.journal.events()}) == 2


async def test_what_nothing_tells_from_a_second_one_is_kept_twice() -> None:
    async with running(providers=DOORS) as bed:
        await twice(bed, tencent(ADDED), befriended())
        assert len({event["id"] for event in bed.journal.events()}) == 2


@pytest.mark.parametrize(("second", "events"), [("r1", 1), ("r2", 2)])
async def test_a_request_id_tells_a_repeat_from_a_second_one(second: str, events: int) -> None:
    async with running(providers=DOORS) as bed:
        first, again = (tencent(ADDED, more=f"&RequestID={one}") for one in ("r1", second))
        await twice(bed, first, befriended(), again)
        assert len({event["id"] for event in bed.journal.events()}) == events


async def test_a_signature_in_other_letter_case_is_the_same_signature() -> None:
    async with running(providers=DOORS) as bed:
        target = tencent(JOIN)
        sign = target.rpartition("=")[2]
        await twice(bed, target, joined(), target.replace(sign, sign.upper()))
        assert len(bed.journal.records) == 1


async def test_a_repeat_signed_anew_or_without_tokens_has_the_same_id_again() -> None:
    async with running(providers=DOORS) as bed:
        await twice(bed, tencent(JOIN, age=5), joined(), tencent(JOIN))
        assert len(bed.journal.records) == 2
        assert len({event["id"] for event in bed.journal.events()}) == 1
    async with running() as bed:
        await twice(bed, tencent(JOIN), joined())
        assert len(bed.journal.records) == 2
        assert len({event["id"] for event in bed.journal.events()}) == 1


async def test_a_question_that_comes_again_is_asked_again() -> None:
    body = {"CallbackCommand": INVITE, "GroupId": "g", "Type": "Public", "Operator_Account": "ada"}
    content = orjson.dumps({**body, "DestinationMembers": [{"Member_Account": "bob"}]})
    async with running(providers=DOORS) as bed:
        await twice(bed, tencent(INVITE), content)
        assert len(bed.rules.asked) == 2
        assert len({event["id"] for event in bed.journal.events()}) == 2


@pytest.mark.parametrize(
    ("off", "gone", "there"),
    [
        ("tencent", ("/tencent?SdkAppid=1", "/?SdkAppid=1"), "/openim/callbackAfterJoinGroupCommand"),
        ("openim", ("/openim/callbackX", "/callbackX", "/?command=callbackX"), "/tencent?SdkAppid=1"),
    ],
)
async def test_a_provider_switched_off_has_no_routes(off: str, gone: tuple[str, ...], there: str) -> None:
    sections: Any = {off: {"enabled": False}}
    shelf, rules = ShelfJournal(), ToldRules()
    ingress = open_ingress(Settings(**sections), CATALOG, rules, HybridClock())
    ingress.use_journal(shelf)
    _, port = await ingress.start("127.0.0.1", 0)
    bed = Bed(ingress, shelf, rules, port)
    try:
        for target in gone:
            assert (await bed.post(target, b"{}")).status == 404
        assert shelf.records == []
        assert (await bed.post(there, b"{}")).status == 200
    finally:
        await ingress.stop(SECONDS)
