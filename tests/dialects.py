"""How each vendor reads an answer, written from its documents and its code, not from our replies."""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from tests.dialect_openim import openim_reads


class Told(NamedTuple):
    """What one of Tencent's before-commands can be told beside yes and no."""

    codes: range = range(0)
    refuses: str = ""
    drops: bool = False
    modifies: bool = False
    targets: str = ""
    answers: str = ""


_GROUP, _USER, _FRIEND = range(10100, 10201), range(120001, 130001), range(38000, 39001)
TENCENT = {
    "C2C.CallbackBeforeSendMsg": Told(_USER, drops=True, modifies=True),
    "Group.CallbackBeforeSendMsg": Told(_GROUP, drops=True, modifies=True),
    "Group.CallbackBeforeCreateGroup": Told(_GROUP),
    "Group.CallbackBeforeApplyJoinGroup": Told(_GROUP),
    "Group.CallbackBeforeInviteJoinGroup": Told(_GROUP, refuses="RefusedMembers_Account"),
    "Group.CallbackBeforeCreateTopic": Told(_GROUP),
    "OfficialAccount.CallbackBeforeCreateOfficialAccount": Told(_USER),
    "OfficialAccount.CallbackBeforeAddSubscriber": Told(refuses="RefusedSubscribers_Account"),
    "OfficialAccount.CallbackBeforeSendMsg": Told(_USER, drops=True, modifies=True),
    "Sns.CallbackPrevFriendAdd": Told(_FRIEND, targets="FriendItem"),
    "Sns.CallbackPrevFriendResponse": Told(_FRIEND, targets="ResponseFriendItem"),
    "Chatbot.OnC2CSignalMessage": Told(answers="RspData"),
}
_MANDATORY = {"ActionStatus", "ErrorCode", "ErrorInfo"}


def tencent_reads(
    body: bytes, command: str = "Group.CallbackBeforeInviteJoinGroup", asked: Any = None
) -> str:
    """Return what Tencent makes of an answer: allow, some, modify, drop, deny, failed. Fails on illegal ones.

    ``asked`` is the question, whose targets must each be answered where it can be read.
    """
    answer, told = _object(body), TENCENT[command]
    assert answer["ActionStatus"] in {"OK", "FAIL"}
    code = answer["ErrorCode"]
    assert type(code) is int
    assert isinstance(answer["ErrorInfo"], str)
    if told.answers:
        assert isinstance(answer[told.answers], str)
    if told.targets:
        return _verdicts(answer, told, asked)
    if code == 2:
        assert told.drops
        return "drop"
    if code != 0:
        assert code == 1 or code in told.codes
        return "deny"
    return _allowed(answer, told)


def _allowed(answer: dict[str, Any], told: Told) -> str:
    more = answer.keys() - _MANDATORY
    if told.refuses in more:
        refused = answer[told.refuses]
        assert more == {told.refuses}
        assert isinstance(refused, list)
        assert all(isinstance(item, str) for item in refused)
        return "some" if refused else "allow"
    if told.modifies and more:
        assert more <= {"MsgBody", "CloudCustomData"}
        assert isinstance(answer.get("CloudCustomData", ""), str)
        assert all(isinstance(element["MsgType"], str) for element in answer.get("MsgBody", []))
        assert all("MsgContent" in element for element in answer.get("MsgBody", []))
        return "modify"
    assert more <= {told.answers}
    return "modify" if told.answers and answer[told.answers] else "allow"


def _verdicts(answer: dict[str, Any], told: Told, asked: Any) -> str:
    """Return what becomes of the targets; a code above them says that we failed, and all go ahead."""
    verdicts = answer["ResultItem"]
    assert answer["ErrorCode"] == 0 or answer["ErrorCode"] in told.codes
    for verdict in verdicts:
        assert isinstance(verdict["To_Account"], str)
        assert isinstance(verdict["ResultInfo"], str)
        assert type(verdict["ResultCode"]) is int
        assert verdict["ResultCode"] == 0 or verdict["ResultCode"] in told.codes
    if isinstance(asked, dict):
        wanted = [item["To_Account"] for item in asked[told.targets]]
        assert [verdict["To_Account"] for verdict in verdicts] == wanted
    if answer["ErrorCode"] != 0:
        return "failed"
    refused = [verdict for verdict in verdicts if verdict["ResultCode"] != 0]
    if not refused:
        return "allow"
    return "deny" if len(refused) == len(verdicts) else "some"


def _object(body: bytes) -> dict[str, Any]:
    answer = orjson.loads(body)
    assert isinstance(answer, dict)
    return answer


READS: dict[str, Callable[..., str]] = {"tencent": tencent_reads, "openim": openim_reads}
