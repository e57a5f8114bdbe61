"""OpenIM's door and answers."""

import orjson
import pytest
from multidict import CIMultiDict

from bridge.errors import Unauthenticated, UnknownPath
from bridge.providers.base import RawRequest
from bridge.providers.openim import OpenIMProvider
from schemas.callback import UNPARSED, Callback
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect

ANSWERS = Answers(deny_code=20001, codes=(20001, 29999))
OK = {"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": 0}
OPEN = OpenIMProvider()
LOCKED = OpenIMProvider(path_secrets=("old-secret", "new-secret"))


def request(
    *segments: str, bare: bool = False, query: dict[str, str] | None = None, operation: str = ""
) -> RawRequest:
    headers = CIMultiDict({"Operationid": operation} if operation else {})
    return RawRequest(segments, bare, query or {}, headers)


def parsed(body: bytes, *, operation: str = "") -> Callback:
    return OPEN.parse(OPEN.authenticate(request(operation=operation)), body, 5)


@pytest.mark.parametrize("secret", ["old-secret", "new-secret"])
def test_two_path_secrets_are_live_for_rotation(secret: str) -> None:
    passed = LOCKED.authenticate(request(secret, "callbackX"))
    assert (passed.command, passed.redacted) == ("callbackX", ("path_secret",))
    assert LOCKED.authenticate(request(secret, query={"command": "callbackX"})).command == "callbackX"
    assert LOCKED.authenticate(request(secret)).command is None


@pytest.mark.parametrize(
    "form",
    [
        request("callbackX"),
        request(),
        request(query={"command": "callbackX"}),
        request("OLD-SECRET", "callbackX"),
        request("old-secre", "callbackX"),
        request("callbackX", "old-secret"),
        request("old-secret", "a", "b"),
        request("callbackX", bare=True),
        request("old-secret", "callbackX", bare=True),
        request(bare=True, query={"command": "callbackX"}),
    ],
)
def test_with_path_secrets_every_other_form_is_refused(form: RawRequest) -> None:
    with pytest.raises(Unauthenticated) as caught:
        LOCKED.authenticate(form)
    assert caught.value.reason == "path_secret"
    assert "old-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    [
        request("callbackX"),
        request(query={"command": "callbackX"}),
        request("callbackX", bare=True, query={"contenttype": "json"}),
        request(bare=True, query={"command": "callbackX"}),
    ],
)
def test_without_secrets_every_form_names_its_command(form: RawRequest) -> None:
    assert OPEN.authenticate(form).command == "callbackX"


def test_deeper_paths_are_unknown() -> None:
    with pytest.raises(UnknownPath):
        OPEN.authenticate(request("a", "callbackX"))


@pytest.mark.parametrize(
    ("segments", "query", "claimed"),
    [
        (("callbackAfterJoinGroupCommand",), {}, True),
        (("CallbackSomethingNew",), {}, True),
        (("setUserStatusAfterCommand",), {}, True),
        ((), {"command": "x"}, True),
        ((), {}, False),
        (("wp-login.php",), {}, False),
        (("a", "callbackX"), {}, False),
    ],
)
def test_bare_forms_are_claimed_when_they_read_like_openims(
    segments: tuple[str, ...], query: dict[str, str], claimed: bool
) -> None:
    assert OPEN.claims(segments, query) is claimed


def test_the_operation_is_the_header_else_the_body_names_it() -> None:
    assert parsed(b'{"operationID":"b"}', operation="h").operation_id == "h"
    assert parsed(b'{"operationID":"b"}').operation_id == "b"
    assert parsed(b'{"operationID":""}').operation_id is None
    assert parsed(b'{"operationID":5}').operation_id is None


def test_a_header_that_is_not_utf_8_can_still_be_written() -> None:
    operation_id = parsed(b"{}", operation="op\udcff").operation_id
    assert operation_id == "op\ufffd"
    assert orjson.dumps(operation_id)


def test_the_servers_secret_is_taken_out_of_the_body_and_named() -> None:
    callback = parsed(b'{"secret":"s3cret","users":[]}')
    assert callback.json == {"users": []}
    assert callback.redacted == ("body.secret",)


def test_the_body_names_the_command_where_the_url_does_not() -> None:
    assert parsed(b'{"callbackCommand":"callbackX"}').command == "callbackX"
    assert parsed(b"{").command == ""
    assert parsed(b"{").json is UNPARSED


REFUSED = Effect("refuse_members", ("a",))
DENIED = {"actionCode": 0, "errCode": 20001, "errMsg": "no", "errDlt": "", "nextCode": 1}


@pytest.mark.parametrize(
    ("sent", "code", "answer"),
    [
        (Effect("allow"), None, OK),
        (Effect("deny"), None, DENIED),
        (Effect("deny"), 29999, {**DENIED, "errCode": 29999}),
        (Effect("deny"), 30000, DENIED),
        (Effect("deny"), 0, DENIED),
        (REFUSED, None, DENIED),
    ],
)
def test_a_decision_in_openims_words(sent: Effect, code: int | None, answer: dict[str, object]) -> None:
    reply = OPEN.reply(ANSWERS, Decision(sent, sent, "no", code), {"groupID": "g"})
    assert reply.status == 200
    assert orjson.loads(reply.body) == answer


def test_a_refusal_always_says_something() -> None:
    reply = OPEN.reply(ANSWERS, Decision(Effect("deny"), Effect("deny")), {})
    assert orjson.loads(reply.body)["errMsg"] == "refused"


def test_an_allow_carries_back_the_fields_the_server_would_blank() -> None:
    answers = ANSWERS._replace(echo=("groupID", "groupName", "faceURL"))
    allow = Decision(Effect("allow"), Effect("allow"))
    asked = {"groupID": "g", "groupName": "rowing", "ex": "x"}
    assert orjson.loads(OPEN.reply(answers, allow, asked).body) == {
        **OK,
        "groupID": "g",
        "groupName": "rowing",
    }
    assert orjson.loads(OPEN.reply(answers, allow, UNPARSED).body) == OK


def test_success_and_a_failure_that_refuses_nothing() -> None:
    assert orjson.loads(OPEN.ack().body) == OK
    failure = OPEN.failure(503, "overload")
    assert failure.status == 503
    assert orjson.loads(failure.body) == {
        "actionCode": 1,
        "errCode": 20001,
        "errMsg": "overload",
        "errDlt": "",
        "nextCode": 0,
    }
