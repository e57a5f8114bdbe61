"""The table of answers, over real sockets: each case for both vendors."""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from bridge.errors import JournalBusy, JournalFailed, JournalFull, LogUnavailable, RecordRefused
from bridge.providers.base import Provider, Reply
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from bridge.telemetry import REGISTRY
from schemas.callback import UNPARSED
from schemas.catalog import Catalog, CommandSpec
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect
from schemas.normalize.lossless import read_json
from tests.ingress_bed import CATALOG, DENY, Answer, Bed, ShelfJournal, request, running, until
from tests.samples import SAMPLES, Sample
from tests.verdicts import INVITE, check_failure, verdict

AFTER = [sample for sample in SAMPLES if (spec := sample.spec()) is not None and spec.phase == "after"]
BEFORE = [sample for sample in SAMPLES if (spec := sample.spec()) is not None and spec.phase == "before"]
IDENTIFIED = ("content-callback-result-notify", "group-after-member-exit-of-unknown-kind")
"""Dated by receipt, but told apart: by an id of the vendor, by a time that counts for the id alone."""
UNKNOWN = {
    "tencent": "/tencent?SdkAppid=1&CallbackCommand=Group.CallbackAfterNews",
    "openim": "/openim/callbackAfterNewsCommand",
}
SUCCESS = {
    "tencent": {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""},
    "openim": {"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": 0},
}


def failure(provider: str, why: str) -> dict[str, Any]:
    if provider == "tencent":
        return {"ActionStatus": "FAIL", "ErrorCode": 1, "ErrorInfo": why}
    return {"actionCode": 1, "errCode": 20001, "errMsg": why, "errDlt": "", "nextCode": 0}


EACH_PROVIDER = pytest.mark.parametrize("provider", ["tencent", "openim"])
EACH_AFTER = pytest.mark.parametrize("sample", AFTER, ids=lambda sample: f"{sample.provider}/{sample.name}")
EACH_QUESTION = pytest.mark.parametrize(
    "sample", BEFORE, ids=lambda sample: f"{sample.provider}/{sample.name}"
)
INVITES = [sample for sample in BEFORE if sample.name == "before-invite-join-group"]
EACH_BEFORE = pytest.mark.parametrize("sample", INVITES, ids=lambda sample: sample.provider)
ONE_AFTER = pytest.mark.parametrize(
    "sample", [next(one for one in AFTER if one.provider == name) for name in SUCCESS], ids=list(SUCCESS)
)


async def send(bed: Bed, sample: Sample, body: bytes | None = None) -> Answer:
    return await bed.post(sample.target, sample.body if body is None else body, sample.headers)


def outcome(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"imbridge_{metric}_total", labels) or 0.0


def reads(sample: Sample, answer: bytes, asked: Any = UNPARSED) -> str:
    """Return what the vendor makes of the answer to a sample."""
    spec = sample.spec()
    assert spec is not None
    command = spec.name if spec.phase == "before" else INVITE[sample.provider]
    return verdict(sample.provider, answer, command, asked)


def name_of(sample: Sample) -> str:
    spec = sample.spec()
    assert spec is not None
    return spec.name


# After-callbacks, stored


@EACH_AFTER
async def test_an_after_callback_is_acknowledged_once_it_is_on_disk(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True)) as bed, bed.wire() as wire:
        wire.send(request(sample.target, sample.body, sample.headers))
        await until(lambda: bed.journal.records, "the record in the queue")
        assert bed.ingress.status().waiting == 1
        assert not wire.reader._buffer, "answered before it was on disk"  # type: ignore[attr-defined]
        bed.journal.release()
        answer = await wire.answer()
        assert (answer.status, answer.json) == (200, SUCCESS[sample.provider])
        assert bed.ingress.status().waiting == 0


@EACH_AFTER
async def test_what_is_stored_is_the_event_of_the_callback(sample: Sample) -> None:
    async with running() as bed:
        await send(bed, sample)
        spec = sample.spec()
        assert spec is not None
        for record, event in zip(bed.journal.records, sample.events(), strict=True):
            assert record.topic == (event.type if event.type == "im.unrecognized.v1" else spec.topic)
            assert record.key == event.partitionkey
            kept = record.envelope()
            assert kept.data == event.data
            told_apart = event.timebasis is None or event.correlationid is not None
            assert (kept.id == event.id) == (told_apart or sample.name in IDENTIFIED)


@EACH_PROVIDER
async def test_an_unknown_command_is_kept_verbatim_and_acknowledged(provider: str) -> None:
    async with running() as bed:
        answer = await bed.post(UNKNOWN[provider], b'{"New": 1}')
        assert (answer.status, answer.json) == (200, SUCCESS[provider])
        (event,) = bed.journal.events()
        assert event["type"] == "im.unrecognized.v1"
        assert event["data"]["origin"]["body"] == {"New": 1}


@ONE_AFTER
async def test_a_body_that_does_not_fit_is_kept_verbatim_and_acknowledged(sample: Sample) -> None:
    async with running() as bed:
        answer = await send(bed, sample, b'{"bad": ')
        assert (answer.status, answer.json) == (200, SUCCESS[sample.provider])
        assert bed.journal.events()[0]["data"]["origin"]["body_base64"] == "eyJiYWQiOiA="


# After-callbacks, not stored

REFUSALS: list[Callable[[], Exception]] = [
    lambda: JournalBusy("queue"),
    lambda: JournalFull("disk"),
    lambda: JournalFailed("sync"),
    lambda: RecordRefused("large"),
    lambda: LogUnavailable("closed"),
]


@ONE_AFTER
@pytest.mark.parametrize("error", REFUSALS, ids=["busy", "full", "failed", "refused", "closed"])
async def test_what_the_journal_does_not_take_is_not_acknowledged(
    sample: Sample, error: Callable[[], Exception]
) -> None:
    async with running(journal=ShelfJournal(error=error())) as bed:
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (503, failure(sample.provider, "not stored"))


@ONE_AFTER
async def test_a_sync_that_fails_is_not_acknowledged_and_refuses_what_comes_after(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True)) as bed, bed.wire() as wire:
        wire.send(request(sample.target, sample.body, sample.headers))
        await until(lambda: bed.journal.waiting, "the append")
        bed.journal.release(JournalFailed("no fsync"))
        assert (await wire.answer()).status == 503
        assert not bed.ingress.status().journal_usable
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (503, failure(sample.provider, "journal unusable"))
        assert len(bed.journal.records) == 1


@ONE_AFTER
async def test_without_a_journal_nothing_is_acknowledged_until_there_is_one(sample: Sample) -> None:
    async with running(has_journal=False) as bed:
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (503, failure(sample.provider, "journal unusable"))
        bed.ingress.use_journal(bed.journal)
        assert bed.ingress.status().journal_usable
        assert (await send(bed, sample)).status == 200


@ONE_AFTER
async def test_beyond_the_bound_of_those_that_wait_is_refused_at_once(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True), max_waiting=1) as bed, bed.wire() as wire:
        wire.send(request(sample.target, sample.body, sample.headers))
        await until(lambda: bed.journal.waiting, "the first append")
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (503, failure(sample.provider, "overload"))
        bed.journal.release()
        assert (await wire.answer()).status == 200
        bed.journal.held = False
        assert (await send(bed, sample)).status == 200


@ONE_AFTER
async def test_what_is_refused_for_want_of_a_place_is_refused_before_its_body_comes(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True), max_waiting=1) as bed, bed.wire() as first:
        first.send(request(sample.target, sample.body, sample.headers))
        await until(lambda: bed.journal.waiting, "the first append")
        async with bed.wire() as second:
            second.send(request(sample.target, sample.body, sample.headers).removesuffix(sample.body))
            answer = await second.answer()
            assert (answer.status, answer.json) == (503, failure(sample.provider, "overload"))
        bed.journal.release()


@pytest.mark.parametrize("named", ["callbackAfterMemberJoinGroupCommand", "callbackNobodyKnows", ""])
async def test_a_command_that_only_the_body_names_is_refused_once_it_is_read(named: str) -> None:
    async with running(journal=ShelfJournal(held=True), max_waiting=1) as bed, bed.wire() as wire:
        wire.send(request(AFTER[0].target, AFTER[0].body, AFTER[0].headers))
        await until(lambda: bed.journal.waiting, "the first append")
        answer = await bed.post("/openim", orjson.dumps({"callbackCommand": named}))
        assert (answer.status, answer.json) == (503, failure("openim", "overload"))
        asked = {"callbackCommand": "callbackBeforeInviteJoinGroupCommand", "groupID": "g"}
        answer = await bed.post("/openim", orjson.dumps(asked | {"invitedUserIDs": ["u"]}))
        assert answer.status == 200
        bed.journal.release()


@ONE_AFTER
async def test_what_waits_too_long_for_the_disk_is_answered_and_counted_once(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True), journal_seconds=0.05) as bed, bed.wire() as wire:
        wire.send(request(sample.target, sample.body, sample.headers))
        answer = await wire.answer()
        assert (answer.status, answer.json) == (503, failure(sample.provider, "journal slow"))
        assert bed.ingress.status().waiting == 1
        bed.journal.release()
        await until(lambda: bed.ingress.status().waiting == 0, "the late append accounted for")
        bed.journal.held = False
        wire.send(request(sample.target, sample.body, sample.headers))
        assert (await wire.answer()).status == 200


@ONE_AFTER
async def test_an_after_callback_over_the_cap_is_told_so(sample: Sample) -> None:
    async with running(body_bytes=1000) as bed:
        answer = await send(bed, sample, b'"%s"' % (b"x" * 1000))
        why = "the body passes the cap of 1000 bytes"
        assert (answer.status, answer.json) == (413, failure(sample.provider, why))
        assert not bed.journal.records


@ONE_AFTER
async def test_stopping_refuses_after_callbacks(sample: Sample) -> None:
    async with running() as bed:
        bed.ingress.begin_drain()
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (503, failure(sample.provider, "stopping"))
        assert answer.headers["connection"] == "close"


# Before-callbacks: always 200, in the vendor's words


@EACH_QUESTION
async def test_a_question_is_answered_with_the_decision(sample: Sample) -> None:
    async with running() as bed:
        answer = await send(bed, sample)
        assert (answer.status, reads(sample, answer.body, read_json(sample.body))) == (200, "deny")
        (event,) = bed.journal.events()
        assert event["data"]["decision"]["sent"] == "deny"
        assert event["data"]["decision"]["rule_set"] == {"name": "default", "version": 3, "digest": "d"}


@EACH_QUESTION
async def test_some_are_refused_where_the_vendor_can_and_all_where_it_cannot(sample: Sample) -> None:
    spec = sample.spec()
    assert spec is not None
    members = spec.question(sample.callback()).members or ("jared",)
    some = Effect("refuse_members", members[:1])
    alone = spec.answers.refuse_some is None and len(members) == 1
    async with running() as bed:
        bed.rules.decision = Decision(some, some, "blocked")
        answer = await send(bed, sample)
        meant = "refuse_some" if spec.answers.partial() and not alone else "deny"
        assert reads(sample, answer.body, read_json(sample.body)) == meant
        decision = bed.journal.events()[0]["data"]["decision"]
        assert (decision["wanted"], decision["refused"]) == ("refuse_members", [members[0]])
        assert decision["sent"] == ("refuse_members" if spec.answers.partial() else "deny")


@EACH_BEFORE
async def test_the_decision_event_enters_the_queue_before_the_reply_goes_out(sample: Sample) -> None:
    """Not even a disk that never answers holds a reply back."""
    async with running(journal=ShelfJournal(held=True)) as bed:
        answer = await send(bed, sample)
        assert reads(sample, answer.body) == "deny"
        assert len(bed.journal.records) == 1
        bed.journal.release()


@EACH_BEFORE
@pytest.mark.parametrize("error", REFUSALS, ids=["busy", "full", "failed", "refused", "closed"])
async def test_a_decision_the_journal_has_no_place_for_is_answered_and_counted(
    sample: Sample, error: Callable[[], Exception]
) -> None:
    dropped = REGISTRY.get_sample_value("imbridge_decision_events_dropped_total") or 0.0
    async with running(journal=ShelfJournal(error=error())) as bed:
        assert reads(sample, (await send(bed, sample)).body) == "deny"
        status = bed.ingress.status()
        assert status.decision_events_dropped == 1
        assert status.last_dropped_ms is not None
    assert REGISTRY.get_sample_value("imbridge_decision_events_dropped_total") == dropped + 1


@EACH_BEFORE
async def test_a_decision_whose_sync_fails_later_is_counted(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True)) as bed:
        await send(bed, sample)
        bed.journal.release(JournalFailed("no fsync"))
        await until(lambda: bed.ingress.status().decision_events_dropped == 1, "the loss counted")
        assert not bed.ingress.status().journal_usable


@EACH_BEFORE
async def test_without_a_journal_questions_are_answered(sample: Sample) -> None:
    async with running(has_journal=False) as bed:
        assert reads(sample, (await send(bed, sample)).body) == "deny"
        assert bed.ingress.status().decision_events_dropped == 1


@EACH_QUESTION
@pytest.mark.parametrize("fallback", ["allow", "deny"])
@pytest.mark.parametrize("body", [b"", b"{bad", b"[]", b"{}", b'{"groupID": [5]}', b"\xff"])
async def test_a_question_that_cannot_be_read_is_answered_by_the_fallback(
    sample: Sample, body: bytes, fallback: str
) -> None:
    async with running(fallback=fallback) as bed:
        answer = await send(bed, sample, body)
        told = sample.spec()
        assert told is not None
        # Where each target has a verdict of its own there is nobody to refuse: it counts as failed.
        meant = "failed" if fallback == "deny" and told.answers.per_target else fallback
        assert (answer.status, reads(sample, answer.body)) == (200, meant)
        (event,) = bed.journal.events()
        assert event["type"] == "im.unrecognized.v1"
        assert f"answered with the fallback, {fallback}" in event["data"]["reason"]
        assert not bed.rules.asked


@EACH_BEFORE
async def test_rules_that_fail_leave_the_answer_to_the_fallback_and_say_so(sample: Sample) -> None:
    with capture_logs() as logs:
        async with running() as bed:
            bed.rules.error = ZeroDivisionError("a bug")
            answer = await send(bed, sample)
            assert (answer.status, reads(sample, answer.body)) == (200, "allow")
            decision = bed.journal.events()[0]["data"]["decision"]
    assert decision["fallback"] == "deciding failed: ZeroDivisionError"
    (line,) = [line for line in logs if line["event"] == "decision.made"]
    assert (line["fallback"], line["log_level"]) == ("deciding failed: ZeroDivisionError", "warning")


@EACH_BEFORE
async def test_fallbacks_in_a_row_warn_once_and_are_all_told(sample: Sample) -> None:
    with capture_logs() as logs:
        async with running() as bed:
            bed.rules.error = ZeroDivisionError("a bug")
            for _ in range(3):
                await send(bed, sample)
    levels = [line["log_level"] for line in logs if line["event"] == "decision.made"]
    assert levels == ["warning", "info", "info"]


@EACH_BEFORE
async def test_a_question_over_the_cap_is_answered_by_the_fallback(sample: Sample) -> None:
    async with running(body_bytes=1000, fallback="deny") as bed:
        answer = await send(bed, sample, b"x" * 1001)
        assert (answer.status, reads(sample, answer.body)) == (200, "deny")


@EACH_BEFORE
async def test_overload_and_stopping_do_not_touch_questions(sample: Sample) -> None:
    async with running(journal=ShelfJournal(held=True), max_waiting=1) as bed, bed.wire() as wire:
        wire.send(request(AFTER[0].target, AFTER[0].body, AFTER[0].headers))
        await until(lambda: bed.journal.waiting, "the after-callback that fills the bound")
        assert reads(sample, (await send(bed, sample)).body) == "deny"
        bed.ingress.begin_drain()
        assert reads(sample, (await send(bed, sample)).body) == "deny"
        bed.journal.release()


@EACH_BEFORE
async def test_every_question_logs_one_line_and_is_counted(sample: Sample) -> None:
    labels = {"provider": sample.provider, "command": name_of(sample)}
    before = outcome("decisions", outcome="deny", **labels), outcome("callbacks", outcome="decided", **labels)
    with capture_logs() as logs:
        async with running() as bed:
            await send(bed, sample)
            (event,) = bed.journal.events()
    (line,) = [line for line in logs if line["event"] == "decision.made"]
    assert line["id"] == event["id"]
    assert (line["sent"], line["reason"], line["rule_set"]) == ("deny", "closed", "default@3")
    assert outcome("decisions", outcome="deny", **labels) == before[0] + 1
    assert outcome("callbacks", outcome="decided", **labels) == before[1] + 1


async def test_acknowledged_after_callbacks_log_nothing_and_are_counted() -> None:
    labels = {"provider": "tencent", "command": "Group.CallbackAfterNewMemberJoin", "outcome": "acked"}
    counted = outcome("callbacks", **labels)
    sample = next(one for one in AFTER if one.name == "after-new-member-join")
    with capture_logs() as logs:
        async with running() as bed:
            await send(bed, sample)
    assert [line for line in logs if line["log_level"] != "debug"] == []
    assert outcome("callbacks", **labels) == counted + 1


# The door, paths, methods, HTTP

LOCKED: tuple[Provider, ...] = (
    TencentProvider(app_ids=["1400000000"], tokens=["t"]),
    OpenIMProvider(path_secrets=["s3cret"]),
)


@pytest.mark.parametrize("sample", [*AFTER, *BEFORE], ids=lambda sample: f"{sample.provider}/{sample.name}")
async def test_what_does_not_pass_the_door_is_forbidden_and_stores_nothing(sample: Sample) -> None:
    reason = {"tencent": "signature", "openim": "path_secret"}[sample.provider]
    counted = outcome("door_refusals", provider=sample.provider, reason=reason)
    async with running(providers=LOCKED) as bed:
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (403, failure(sample.provider, f"forbidden: {reason}"))
        assert not bed.journal.records
        assert not bed.rules.asked
    assert outcome("door_refusals", provider=sample.provider, reason=reason) == counted + 1


async def test_door_refusals_are_logged_seldom_and_without_secrets() -> None:
    with capture_logs() as logs:
        async with running(providers=LOCKED) as bed:
            for _ in range(50):
                await bed.post("/?SdkAppid=1400000000&RequestTime=1&Sign=50f7", b"{}")
                await bed.post("/openim/guess/callbackX", b"{}")
    lines = [line for line in logs if line["event"] == "door.refused"]
    assert {line["reason"] for line in lines} == {"signature", "path_secret"}
    assert len(lines) == 2
    assert "s3cret" not in str(logs)
    assert "50f7" not in str(logs)


async def test_a_signature_opens_the_door_and_stays_out_of_the_event() -> None:
    now = str(int(time.time()))
    sign = sha256(f"t{now}".encode()).hexdigest()
    async with running(providers=LOCKED) as bed:
        answer = await bed.post(f"/?SdkAppid=1400000000&RequestTime={now}&Sign={sign}", b"{}")
        assert (answer.status, answer.json) == (200, SUCCESS["tencent"])
        origin = bed.journal.events()[0]["data"]["origin"]
        assert origin["query"] == {"SdkAppid": "1400000000", "RequestTime": now}
        assert origin["redacted"] == ["Sign"]
        assert sign not in str(bed.journal.records)


async def test_a_path_secret_opens_the_door_and_stays_out_of_the_event() -> None:
    async with running(providers=LOCKED) as bed:
        answer = await bed.post("/openim/s3cret/callbackAfterNewsCommand?key=a%3D", b"{}")
        assert (answer.status, answer.json) == (200, SUCCESS["openim"])
        origin = bed.journal.events()[0]["data"]["origin"]
        assert (origin["query"], origin["redacted"]) == ({"key": "a="}, ["path_secret"])
        assert "s3cret" not in str(bed.journal.records)


@pytest.mark.parametrize(
    "target", ["/", "/nowhere", "/tencent/x?SdkAppid=1", "/openim/a/callbackX", "/a/b/callbackX", "/%ff"]
)
async def test_an_unknown_path_is_not_found_in_both_dialects(target: str) -> None:
    async with running() as bed:
        answer = await bed.post(target, b"{}")
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json["errMsg" if "openim" in target else "ErrorInfo"] == "unknown path"
        assert not bed.journal.records


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_not_allowed_in_both_dialects(method: str) -> None:
    async with running() as bed:
        answer = await bed.post("/tencent?SdkAppid=1", b"", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
        for provider in SUCCESS:
            check_failure(provider, answer.body)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /openim/x HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /openim/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /openim/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        b"POST /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 9000),
        b"POST / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
    ],
    ids=["text", "tls", "length", "two lengths", "two framings", "long line", "header"],
)
async def test_what_is_no_http_is_a_bad_request_in_both_dialects(garbage: bytes) -> None:
    async with running() as bed, bed.wire() as wire:
        wire.send(garbage)
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        for provider in SUCCESS:
            check_failure(provider, answer.body)
        assert await wire.ended() == b""
        assert not bed.journal.records


# Bugs of ours


def breaking(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Make functions of every command spec fail."""

    def find(provider: str, command: str) -> CommandSpec | None:
        spec = CATALOG.find(provider, command)
        return None if spec is None else spec._replace(**functions)

    monkeypatch.setattr(catalog, "find", find)


def bug(*_: Any) -> Any:
    raise ZeroDivisionError("a bug")


@ONE_AFTER
async def test_a_bug_in_normalizing_keeps_the_callback_verbatim(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.load()
    breaking(catalog, monkeypatch, normalize=bug)
    async with running(catalog=catalog) as bed:
        answer = await send(bed, sample)
        assert (answer.status, answer.json) == (200, SUCCESS[sample.provider])
        assert bed.journal.events()[0]["data"]["reason"] == "normalizing failed: ZeroDivisionError"


@EACH_BEFORE
async def test_a_bug_in_asking_leaves_the_answer_to_the_fallback(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.load()
    breaking(catalog, monkeypatch, question=bug)
    async with running(catalog=catalog, fallback="deny") as bed:
        answer = await send(bed, sample)
        assert (answer.status, reads(sample, answer.body)) == (200, "deny")
        assert bed.journal.events()[0]["type"] == "im.unrecognized.v1"


@pytest.mark.parametrize("place", ["authenticate", "parse", "reply", "ack"])
@pytest.mark.parametrize(
    "sample", [AFTER[0], AFTER[-1], *INVITES], ids=lambda sample: f"{sample.provider}/{sample.name}"
)
async def test_a_bug_anywhere_is_answered_legally(
    sample: Sample, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers: tuple[Provider, ...] = (TencentProvider(), OpenIMProvider())
    async with running(providers=providers) as bed:
        for provider in providers:
            monkeypatch.setattr(provider, place, bug)
        answer = await send(bed, sample)
        assert answer.status in {200, 503}
        if answer.status == 200:
            reads(sample, answer.body)
        else:
            check_failure(sample.provider, answer.body)
        if place != "authenticate":
            assert (answer.status == 200) == (sample in BEFORE or place == "reply")
        assert (await send(bed, sample)).status == answer.status, "the next one is answered as well"


async def test_a_decision_that_cannot_be_worded_allows_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TencentProvider()
    monkeypatch.setattr(provider, "reply", bug)
    async with running(providers=(provider,)) as bed:
        answer = await send(bed, next(one for one in INVITES if one.provider == "tencent"))
        assert answer.json == SUCCESS["tencent"]
        decision = bed.journal.events()[0]["data"]["decision"]
        assert (decision["sent"], decision["fallback"]) == (
            "allow",
            "wording the reply failed: ZeroDivisionError",
        )
        assert decision["reason"] == {"text": "", "code": None, "rule": None}


@EACH_QUESTION
async def test_where_a_decision_cannot_be_worded_the_allow_still_has_every_field_the_row_needs(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers: tuple[Provider, ...] = (TencentProvider(), OpenIMProvider())
    provider = next(one for one in providers if one.name == sample.provider)
    worded = provider.reply

    def reply(answers: Answers, decision: Decision, body: Any) -> Reply:
        return bug() if decision.sent.kind != "allow" else worded(answers, decision, body)

    monkeypatch.setattr(provider, "reply", reply)
    async with running(providers=providers) as bed:
        answer = await send(bed, sample)
        assert reads(sample, answer.body, read_json(sample.body)) == "allow"


async def test_facts_that_cannot_be_written_drop_the_event_and_not_the_answer() -> None:
    async with running() as bed:
        bed.rules.decision = DENY._replace(facts={"x": object()})
        answer = await send(bed, INVITES[0])
        assert reads(INVITES[0], answer.body) == "deny"
        assert bed.ingress.status().decision_events_dropped == 1
