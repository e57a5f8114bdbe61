"""What an answer amounts to: ours on every path, and answers nobody should give."""

from typing import Any

import orjson
import pytest

from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from bridge.simulate.judging import Answer, judge
from bridge.simulate.mix import Weighted
from bridge.simulate.traffic import Sending, Traffic
from schemas.catalog import Catalog, CommandSpec

CATALOG = Catalog.load()
TENCENT_OK = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
TENCENT_FAIL = {"ActionStatus": "FAIL", "ErrorCode": 1, "ErrorInfo": "disk full"}
OPENIM_OK = {"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": 0}
OPENIM_FAIL = {"actionCode": 1, "errCode": 20001, "errMsg": "full", "errDlt": "", "nextCode": 0}
MESSAGE = {"tencent": "Group.CallbackAfterSendMsg", "openim": "callbackAfterSendGroupMsgCommand"}
INVITE = {"tencent": "Group.CallbackBeforeInviteJoinGroup", "openim": "callbackBeforeInviteJoinGroupCommand"}


def sending(provider: str, command: str) -> Sending:
    spec = CATALOG.find(provider, command)
    assert isinstance(spec, CommandSpec)
    return Traffic(provider, Weighted([spec], [1]), run="testruns", seed=1, app="1400000000").next()


def outcome(provider: str, command: str, status: int, answer: Any) -> str:
    body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    return judge(sending(provider, command), Answer(status, body)).outcome


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, TENCENT_OK, "accepted"),
        (200, {**TENCENT_OK, "ErrorCode": 1}, "refused"),
        (503, TENCENT_FAIL, "refused"),
        (413, TENCENT_FAIL, "refused"),
        (403, TENCENT_FAIL, "refused"),
        (503, TENCENT_OK, "illegal"),
        (503, b"", "illegal"),
        (503, {**TENCENT_FAIL, "ErrorCode": "1"}, "illegal"),
        (200, TENCENT_FAIL, "illegal"),
        (200, b"ok", "illegal"),
        (200, [], "illegal"),
        (200, {"ErrorCode": 0}, "illegal"),
        (302, b"", "illegal"),
    ],
)
def test_tencent_acknowledges_with_ok_and_200_alone(status: int, answer: Any, expected: str) -> None:
    assert outcome("tencent", MESSAGE["tencent"], status, answer) == expected


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, OPENIM_OK, "accepted"),
        (200, {}, "accepted"),
        (200, b"null", "accepted"),
        (500, OPENIM_OK, "accepted"),  # it never looks at the status, so neither may the bridge rely on it
        (503, OPENIM_FAIL, "refused"),
        (200, OPENIM_FAIL, "refused"),
        (200, {**OPENIM_OK, "errCode": 20001}, "refused"),
        (200, {"ActionCode": 1}, "refused"),
        (200, b"", "illegal"),
        (204, b"", "illegal"),
        (200, b"ok", "illegal"),
        (200, {**OPENIM_OK, "errCode": "0"}, "illegal"),
        (200, b"{}{}", "illegal"),
    ],
)
def test_openim_acknowledges_with_codes_of_zero(status: int, answer: Any, expected: str) -> None:
    assert outcome("openim", MESSAGE["openim"], status, answer) == expected


@pytest.mark.parametrize(
    ("provider", "status", "answer", "expected"),
    [
        ("tencent", 200, TENCENT_OK, "accepted"),
        ("tencent", 200, {**TENCENT_OK, "ErrorCode": 10100}, "accepted"),
        ("tencent", 200, {**TENCENT_OK, "ErrorCode": 9}, "illegal"),
        ("tencent", 200, {**TENCENT_OK, "RefusedMembers_Account": ["nobody asked"]}, "illegal"),
        ("tencent", 403, TENCENT_FAIL, "refused"),
        ("tencent", 503, TENCENT_FAIL, "illegal"),
        ("openim", 200, OPENIM_OK, "accepted"),
        ("openim", 200, {**OPENIM_OK, "nextCode": 1, "errCode": 20001}, "accepted"),
        ("openim", 200, {**OPENIM_OK, "nextCode": 1}, "illegal"),
        ("openim", 403, OPENIM_FAIL, "refused"),
        ("openim", 200, OPENIM_FAIL, "refused"),
        ("openim", 500, OPENIM_OK, "accepted"),
        ("openim", 200, b"<html>", "illegal"),
    ],
)
def test_a_question_is_answered_by_any_decision_and_refused_at_the_door_alone(
    provider: str, status: int, answer: Any, expected: str
) -> None:
    assert outcome(provider, INVITE[provider], status, answer) == expected


def test_an_example_shows_what_came_and_why_it_is_wrong() -> None:
    verdict = judge(sending("openim", MESSAGE["openim"]), Answer(502, b"<html>" + b"x" * 500))
    assert "not one JSON value" in verdict.why
    assert "HTTP 502 <html>xxx" in verdict.why
    assert len(verdict.why) < 400


def test_our_own_answers_to_facts_are_what_they_mean() -> None:
    for provider in (TencentProvider(), OpenIMProvider()):
        command = MESSAGE[provider.name]
        acknowledged, failed = provider.ack(), provider.failure(503, "disk full")
        assert outcome(provider.name, command, acknowledged.status, acknowledged.body) == "accepted"
        assert outcome(provider.name, command, failed.status, failed.body) == "refused"
