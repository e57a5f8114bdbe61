"""Tencent's door and answers."""

from collections.abc import Mapping
from hashlib import sha256

import orjson
import pytest
from multidict import CIMultiDict

from bridge.errors import Unauthenticated, UnknownPath
from bridge.providers.base import AuthenticRequest, RawRequest
from bridge.providers.tencent import TencentProvider
from schemas.callback import UNPARSED
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect

# The vendor prints this digest beside another token on some pages; this is the pair that holds.
TOKEN, REQUEST_TIME = "xxxxyyyy", "1669872112"
SIGN = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
NOW = 1_669_872_112.0
INVITE = Answers(deny_code=1, codes=(10100, 10200), refuse_some="RefusedMembers_Account")
NO_LIST = Answers(deny_code=1, codes=(10100, 10200))
OK = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}


def provider(
    *, now: float = NOW, tokens: tuple[str, ...] = (TOKEN,), app_ids: tuple[str, ...] = ()
) -> TencentProvider:
    return TencentProvider(tokens=tokens, app_ids=app_ids, freshness_seconds=300, now=lambda: now)


def request(**query: str) -> RawRequest:
    return RawRequest((), True, query, CIMultiDict())


def signed(**changed: str) -> dict[str, str]:
    return {"SdkAppid": "1400000000", "RequestTime": REQUEST_TIME, "Sign": SIGN, **changed}


def passes(door: TencentProvider, query: Mapping[str, str]) -> AuthenticRequest:
    return door.authenticate(request(**query))


def refusal(door: TencentProvider, query: Mapping[str, str]) -> str:
    with pytest.raises(Unauthenticated) as caught:
        passes(door, query)
    return caught.value.reason


def test_the_documented_signature_is_token_and_time_hashed() -> None:
    assert sha256(f"{TOKEN}{REQUEST_TIME}".encode()).hexdigest() == SIGN
    assert passes(provider(), signed()).app == "1400000000"


@pytest.mark.parametrize("sign", [SIGN.upper(), SIGN.title()])
def test_a_signature_counts_in_any_letter_case(sign: str) -> None:
    assert passes(provider(), signed(Sign=sign))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Sign": SIGN[:-1] + "2"}, "signature"),
        ({"Sign": ""}, "signature"),
        ({"Sign": "ü"}, "signature"),
        ({"RequestTime": "1669872113"}, "signature"),
        ({"RequestTime": ""}, "signature"),
        ({"SdkAppid": ""}, "app_id"),
        ({"SdkAppid": "../etc"}, "app_id"),
        ({"SdkAppid": "1" * 33}, "app_id"),
    ],
)
def test_a_request_with_something_wrong_does_not_pass(changed: dict[str, str], reason: str) -> None:
    assert refusal(provider(), signed(**changed)) == reason


def test_without_a_signature_nothing_passes_once_there_are_tokens() -> None:
    assert refusal(provider(), {"SdkAppid": "1400000000"}) == "signature"
    assert passes(provider(tokens=()), {"SdkAppid": "1400000000"})


@pytest.mark.parametrize("token", ["old", "new"])
def test_two_tokens_are_live_for_rotation(token: str) -> None:
    sign = sha256(f"{token}{REQUEST_TIME}".encode()).hexdigest()
    assert passes(provider(tokens=("old", "new")), signed(Sign=sign))
    assert refusal(provider(tokens=("old", "new")), signed()) == "signature"


@pytest.mark.parametrize(
    ("age", "fresh"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_a_signature_is_fresh_within_the_window_either_way(age: int, fresh: bool) -> None:
    door = provider(now=NOW + age)
    if fresh:
        assert passes(door, signed())
    else:
        assert refusal(door, signed()) == "freshness"


@pytest.mark.parametrize("request_time", ["soon", "-1", "1" * 13, "\u0661"])
def test_a_signed_time_that_is_none_does_not_pass(request_time: str) -> None:
    sign = sha256(f"{TOKEN}{request_time}".encode()).hexdigest()
    assert refusal(provider(), signed(RequestTime=request_time, Sign=sign)) == "freshness"


@pytest.mark.parametrize("name", ["SdkAppid", "SDKAppID", "SdkAppId", "sdkappid"])
def test_the_app_id_is_checked_in_any_letter_case(name: str) -> None:
    door = provider(tokens=(), app_ids=("1400000000",))
    assert passes(door, {name: "1400000000"}).app == "1400000000"
    assert refusal(door, {name: "1400000001"}) == "app_id"


def test_of_two_app_ids_the_one_that_is_checked_is_the_one_that_counts() -> None:
    door = provider(tokens=(), app_ids=("1400000000",))
    assert passes(door, {"SdkAppid": "1400000000", "sdkappid": "666"}).app == "1400000000"
    assert refusal(door, {"SdkAppid": "666", "sdkappid": "1400000000"}) == "app_id"


def test_the_signature_goes_no_further_and_is_named() -> None:
    passed = passes(provider(), {**signed(), "SIGN": "again", "ClientIP": "10.0.0.1"})
    assert passed.redacted == ("Sign",)
    assert dict(passed.query) == {
        "SdkAppid": "1400000000",
        "RequestTime": REQUEST_TIME,
        "ClientIP": "10.0.0.1",
    }


def test_command_and_request_id_are_taken_from_the_url() -> None:
    passed = passes(provider(tokens=()), {"SdkAppid": "1", "callbackcommand": "X.Y", "RequestID": "r1"})
    assert (passed.command, passed.operation_id) == ("X.Y", "r1")
    callback = provider().parse(passed, b'{"CallbackCommand":"Z"}', 5)
    assert (callback.command, callback.json, callback.moment) == ("X.Y", {"CallbackCommand": "Z"}, 5)


def test_without_a_command_in_the_url_the_body_names_it() -> None:
    passed = passes(provider(tokens=()), {"SdkAppid": "1"})
    assert provider().parse(passed, b'{"CallbackCommand":"Z"}', 5).command == "Z"
    assert provider().parse(passed, b'{"CallbackCommand":5}', 5).command == ""


def test_nothing_is_below_the_path() -> None:
    with pytest.raises(UnknownPath):
        provider(tokens=()).authenticate(RawRequest(("x",), False, {"SdkAppid": "1"}, CIMultiDict()))


def test_messages_of_the_door_hold_no_secret() -> None:
    with pytest.raises(Unauthenticated) as caught:
        passes(provider(), signed(Sign="f" * 64))
    assert TOKEN not in str(caught.value)
    assert SIGN not in str(caught.value)


REFUSED = Effect("refuse_members", ("jared", "tommy"))


@pytest.mark.parametrize(
    ("answers", "sent", "code", "answer"),
    [
        (INVITE, Effect("allow"), None, OK),
        (INVITE, REFUSED, None, {**OK, "RefusedMembers_Account": ["jared", "tommy"]}),
        (INVITE, Effect("deny"), None, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
        (INVITE, Effect("deny"), 10100, {**OK, "ErrorCode": 10100, "ErrorInfo": "no"}),
        (INVITE, Effect("deny"), 10200, {**OK, "ErrorCode": 10200, "ErrorInfo": "no"}),
        (INVITE, Effect("deny"), 10201, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
        (INVITE, Effect("deny"), 0, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
        (NO_LIST, REFUSED, None, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
    ],
)
def test_a_decision_in_tencents_words(
    answers: Answers, sent: Effect, code: int | None, answer: dict[str, object]
) -> None:
    reply = provider().reply(answers, Decision(sent, sent, "no", code), {})
    assert reply.status == 200
    assert orjson.loads(reply.body) == answer


MESSAGE = Answers(
    deny_code=1,
    codes=(120001, 130000),
    drop_code=2,
    modify={"content": "MsgBody", "extension": "CloudCustomData"},
)
ELEMENTS = [{"kind": "text", "vendor_kind": "TIMTextElem", "body": {"Text": "hi"}}]
MSG_BODY = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}]
BOT = Answers(deny_code=1, modify={"response": "RspData"}, constant={"RspData": ""})
CHANGED = Effect("modify", changes={"content": ELEMENTS, "extension": "x"})


@pytest.mark.parametrize(
    ("answers", "sent", "code", "answer"),
    [
        (MESSAGE, Effect("drop"), None, {**OK, "ErrorCode": 2}),
        (MESSAGE, CHANGED, None, {**OK, "MsgBody": MSG_BODY, "CloudCustomData": "x"}),
        (MESSAGE, Effect("deny"), 120005, {**OK, "ErrorCode": 120005, "ErrorInfo": "no"}),
        (MESSAGE, Effect("deny"), 10100, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
        (INVITE, Effect("drop"), None, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
        (INVITE, CHANGED, None, {**OK, "ErrorCode": 1, "ErrorInfo": "no"}),
        (BOT, Effect("allow"), None, {**OK, "RspData": ""}),
        (BOT, Effect("modify", changes={"response": "Tuesday"}), None, {**OK, "RspData": "Tuesday"}),
        (BOT, Effect("deny"), 7, {**OK, "ErrorCode": 1, "ErrorInfo": "no", "RspData": ""}),
    ],
)
def test_dropping_changing_and_answering_a_bot_in_tencents_words(
    answers: Answers, sent: Effect, code: int | None, answer: dict[str, object]
) -> None:
    reply = provider().reply(answers, Decision(sent, sent, "no", code), {})
    assert (reply.status, orjson.loads(reply.body)) == (200, answer)


FRIENDS = Answers(deny_code=38000, codes=(38000, 39000), per_target="FriendItem[].To_Account")
ASKED = {"FriendItem": [{"To_Account": "bo"}, {"To_Account": "cy"}, {"To_Account": ""}, {}]}


@pytest.mark.parametrize(
    ("sent", "code", "verdicts"),
    [
        (Effect("allow"), None, [("bo", 0, ""), ("cy", 0, "")]),
        (Effect("deny"), None, [("bo", 38000, "no"), ("cy", 38000, "no")]),
        (Effect("deny"), 38500, [("bo", 38500, "no"), ("cy", 38500, "no")]),
        (Effect("deny"), 1, [("bo", 38000, "no"), ("cy", 38000, "no")]),
        (Effect("refuse_members", ("cy",)), 39000, [("bo", 0, ""), ("cy", 39000, "no")]),
        (Effect("drop"), None, [("bo", 38000, "no"), ("cy", 38000, "no")]),
    ],
)
def test_each_target_has_a_verdict_of_its_own(
    sent: Effect, code: int | None, verdicts: list[tuple[str, int, str]]
) -> None:
    answer = orjson.loads(provider().reply(FRIENDS, Decision(sent, sent, "no", code), ASKED).body)
    names = ("To_Account", "ResultCode", "ResultInfo")
    assert answer == {**OK, "ResultItem": [dict(zip(names, verdict, strict=True)) for verdict in verdicts]}


@pytest.mark.parametrize("asked", [UNPARSED, None, [], {}, {"FriendItem": "bo"}, {"FriendItem": ["bo"]}])
def test_targets_that_cannot_be_read_go_ahead_or_count_as_failed(asked: object) -> None:
    def said(sent: Effect) -> object:
        return orjson.loads(provider().reply(FRIENDS, Decision(sent, sent, "no"), asked).body)

    assert said(Effect("allow")) == {**OK, "ResultItem": []}
    assert said(Effect("deny")) == {**OK, "ErrorCode": 38000, "ErrorInfo": "no", "ResultItem": []}


def test_success_and_failure() -> None:
    assert orjson.loads(provider().ack().body) == OK
    failure = provider().failure(503, "overload")
    assert failure.status == 503
    assert orjson.loads(failure.body) == {"ActionStatus": "FAIL", "ErrorCode": 1, "ErrorInfo": "overload"}


def test_a_target_that_cannot_be_read_costs_no_other_its_verdict() -> None:
    asked = {"FriendItem": [{"To_Account": "bo"}, None, "cy", {"To_Account": ["dee"]}, {}, {"To_Account": 7}]}
    for sent, code in ((Effect("allow"), 0), (Effect("deny"), 38000)):
        answer = orjson.loads(provider().reply(FRIENDS, Decision(sent, sent, "no"), asked).body)
        verdicts = [(item["To_Account"], item["ResultCode"]) for item in answer["ResultItem"]]
        assert (answer["ErrorCode"], verdicts) == (0, [("bo", code), ("7", code)])
