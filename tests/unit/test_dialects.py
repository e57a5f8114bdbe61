"""How the vendors read answers: legal ones, and every way of being illegal that their protocols tell of."""

from typing import Any

import orjson
import pytest

from schemas.dialects import openim, tencent
from schemas.dialects.readings import Fault, Reading

INVITE, SEND = "Group.CallbackBeforeInviteJoinGroup", "C2C.CallbackBeforeSendMsg"
FRIEND, BOT = "Sns.CallbackPrevFriendAdd", "Chatbot.OnC2CSignalMessage"
INVITED = {"DestinationMembers": [{"Member_Account": "ada"}, {"Member_Account": "bo"}]}
FRIENDS = {"FriendItem": [{"To_Account": "ada"}, {"To_Account": "bo"}]}


def of_tencent(command: str, question: Any = None, status: int = 200, **fields: Any) -> Reading | Fault:
    answer = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": "", **fields}
    return tencent.read_answer(command, orjson.dumps(question), status, orjson.dumps(answer))


def verdict(account: str, code: int = 0) -> dict[str, Any]:
    return {"To_Account": account, "ResultCode": code, "ResultInfo": "why" if code else ""}


@pytest.mark.parametrize(
    ("command", "question", "fields", "reading"),
    [
        (INVITE, INVITED, {}, Reading("allow")),
        (INVITE, INVITED, {"ErrorCode": 1, "ErrorInfo": "no"}, Reading("deny", 1, "no")),
        (INVITE, INVITED, {"ErrorCode": 10200}, Reading("deny", 10200)),
        (INVITE, INVITED, {"RefusedMembers_Account": ["bo"]}, Reading("refuse_some", refused=("bo",))),
        (SEND, {}, {"ErrorCode": 2}, Reading("drop", 2)),
        (SEND, {}, {"ErrorCode": 130000}, Reading("deny", 130000)),
        (SEND, {}, {"CloudCustomData": "x"}, Reading("modify", changes={"CloudCustomData": "x"})),
        (FRIEND, FRIENDS, {"ResultItem": [verdict("ada"), verdict("bo")]}, Reading("allow")),
        (
            FRIEND,
            FRIENDS,
            {"ResultItem": [verdict("ada"), verdict("bo", 38005)]},
            Reading("refuse_some", 38005, "why", ("bo",)),
        ),
        (
            FRIEND,
            FRIENDS,
            {"ResultItem": [verdict("ada", 39000), verdict("bo", 38000)]},
            Reading("deny", 39000, "why"),
        ),
        (BOT, {}, {"RspData": "hi"}, Reading("modify", changes={"RspData": "hi"})),
        (BOT, {}, {"RspData": ""}, Reading("allow")),
        ("Group.CallbackAfterSendMsg", {}, {"ErrorCode": 77}, Reading("allow")),
    ],
)
def test_tencent_reads(command: str, question: Any, fields: dict[str, Any], reading: Reading) -> None:
    assert of_tencent(command, question, **fields) == reading


@pytest.mark.parametrize(
    ("command", "question", "fields"),
    [
        (INVITE, INVITED, {"status": 204}),
        (INVITE, INVITED, {"ActionStatus": "FAIL"}),
        (INVITE, INVITED, {"ErrorCode": "0"}),
        (INVITE, INVITED, {"ErrorCode": True}),
        (INVITE, INVITED, {"ErrorInfo": None}),
        (INVITE, INVITED, {"ErrorCode": 2}),
        (INVITE, INVITED, {"ErrorCode": 10099}),
        (INVITE, INVITED, {"ErrorCode": 120001}),
        (INVITE, INVITED, {"ErrorCode": 1, "RefusedMembers_Account": ["bo"]}),
        (INVITE, INVITED, {"RefusedMembers_Account": ["cy"]}),
        (INVITE, INVITED, {"RefusedMembers_Account": "bo"}),
        (INVITE, INVITED, {"MsgBody": []}),
        ("OfficialAccount.CallbackBeforeAddSubscriber", {}, {"ErrorCode": 10100}),
        (SEND, {}, {"ErrorCode": 10100}),
        (SEND, {}, {"ErrorCode": 1, "CloudCustomData": "x"}),
        (SEND, {}, {"CloudCustomData": 5}),
        (SEND, {}, {"MsgBody": [{"MsgType": "TIMTextElem"}]}),
        (FRIEND, FRIENDS, {}),
        (FRIEND, FRIENDS, {"ResultItem": [verdict("ada")]}),
        (FRIEND, FRIENDS, {"ResultItem": [verdict("ada"), verdict("bo"), verdict("bo")]}),
        (FRIEND, FRIENDS, {"ResultItem": [verdict("ada"), verdict("bo", 10100)]}),
        (FRIEND, FRIENDS, {"ResultItem": [verdict("ada"), {"To_Account": "bo"}]}),
        (FRIEND, FRIENDS, {"ErrorCode": 1, "ResultItem": [verdict("ada"), verdict("bo")]}),
        (BOT, {}, {}),
        (BOT, {}, {"RspData": None}),
    ],
)
def test_tencent_has_no_reading_of(command: str, question: Any, fields: dict[str, Any]) -> None:
    assert isinstance(of_tencent(command, question, **fields), Fault)


SET, SET_EX = "callbackBeforeSetGroupInfoCommand", "callbackBeforeSetGroupInfoExCommand"
REGISTER, JOIN = "callbackBeforeUserRegisterCommand", "callbackBeforeMembersJoinGroupCommand"
MODIFY, UPDATE_EX = "callbackBeforeMsgModifyCommand", "callbackBeforeUpdateUserInfoExCommand"
IMPORT, SINGLE = "callbackBeforeImportFriendsCommand", "callbackBeforeSendSingleMsgCommand"
GROUP = {"groupID": "g", "groupName": "n", "faceURL": "", "introduction": "i"}
GROUP_EX = {"groupID": "g", "groupName": "n", "needVerification": 2, "ex": None}
USERS = {"users": [{"userID": "ada", "nickname": "A"}, {"userID": "bo"}]}


def of_openim(command: str, question: Any, answer: Any) -> Reading | Fault:
    return openim.read_answer(command, orjson.dumps(question), 500, orjson.dumps(answer))


@pytest.mark.parametrize(
    ("command", "question", "answer", "reading"),
    [
        (SINGLE, {}, {}, Reading("allow")),
        (SINGLE, {}, None, Reading("allow")),
        (SINGLE, {}, {"actionCode": 1, "nextCode": 1, "errCode": 5001}, Reading("allow")),
        (SINGLE, {}, {"errCode": 5001, "nextCode": 0}, Reading("allow")),
        (SINGLE, {}, {"nextCode": 2, "unheard": 1.5, "errMsg": None}, Reading("allow")),
        (SINGLE, {}, {"NEXTCODE": 1, "errcode": 20001, "errMsg": "no"}, Reading("deny", 20001, "no")),
        (SET, GROUP, GROUP, Reading("allow")),
        (SET, GROUP, {**GROUP, "groupName": "m"}, Reading("modify", changes={"groupName": "m"})),
        (SET_EX, GROUP_EX, GROUP_EX, Reading("allow")),
        (SET_EX, GROUP_EX, {**GROUP_EX, "groupName": None}, Reading("modify", changes={"groupName": None})),
        (
            IMPORT,
            {"friendUserIDs": ["a", "b"]},
            {"friendUserIDs": ["a"]},
            Reading("refuse_some", refused=("b",)),
        ),
        (IMPORT, {"friendUserIDs": ["a", "b"]}, {"friendUserIDs": []}, Reading("allow")),
        (
            IMPORT,
            {"friendUserIDs": ["a"]},
            {"friendUserIDs": ["c"]},
            Reading("modify", changes={"friendUserIDs": ["c"]}),
        ),
        (REGISTER, USERS, {"users": USERS["users"][:1]}, Reading("refuse_some", refused=("bo",))),
        (
            "callbackBeforeOnlinePushCommand",
            {"userIDList": ["a", "b"]},
            {"userIDList": ["a"]},
            Reading("allow"),
        ),
        (
            "callbackBeforeInviteJoinGroupCommand",
            {"invitedUserIDs": ["a", "b"]},
            {"refusedMembersAccount": ["a"]},
            Reading("allow"),
        ),
        ("callbackBeforeSetFriendRemarkCommand", {"remark": "x"}, {"remark": ""}, Reading("allow")),
        (UPDATE_EX, {"nickName": "a"}, {"nickName": "b"}, Reading("modify", changes={"nickName": "b"})),
        ("callbackMsgModifyCommand", {}, {"content": "{}"}, Reading("modify", changes={"content": "{}"})),
    ],
)
def test_openim_reads(command: str, question: Any, answer: Any, reading: Reading) -> None:
    assert of_openim(command, question, answer) == reading


@pytest.mark.parametrize(
    ("command", "question", "answer"),
    [
        (SINGLE, {}, []),
        (SINGLE, {}, {"nextCode": "1"}),
        (SINGLE, {}, {"nextCode": 1.0}),
        (SINGLE, {}, {"nextCode": True}),
        (SINGLE, {}, {"errCode": 2**31}),
        (SINGLE, {}, {"errMsg": 5}),
        (SINGLE, {}, {"nextCode": 1}),
        (SINGLE, {}, {"nextCode": 1, "errCode": 10100}),
        (SET, GROUP, {}),
        (SET, GROUP, {**GROUP, "groupID": ""}),
        (SET, GROUP, {"groupID": "g", "groupName": "n"}),
        (SET_EX, GROUP_EX, {"groupID": "g", "groupName": "n"}),
        (SET_EX, GROUP_EX, {**GROUP_EX, "needVerification": "2"}),
        (IMPORT, {"friendUserIDs": ["a"]}, {"friendUserIDs": "a"}),
        (REGISTER, USERS, {"users": ["ada"]}),
        (JOIN, {}, {"memberCallbackList": [{"nickname": "x"}]}),
        (UPDATE_EX, {"nickName": None}, {"nickName": "b"}),
        (MODIFY, {}, {"offlinePushInfo": {"title": "x"}}),
        (MODIFY, {}, {"content": "plain"}),
        (MODIFY, {}, {"content": "[]"}),
        (MODIFY, {}, {"contentType": "101"}),
    ],
)
def test_openim_has_no_reading_of(command: str, question: Any, answer: Any) -> None:
    assert isinstance(of_openim(command, question, answer), Fault)


@pytest.mark.parametrize("answer", [b"", b"ok", b"<html>", b"{} {}", b'{"nextCode":0'])
def test_neither_reads_what_is_not_one_json_value(answer: bytes) -> None:
    assert isinstance(openim.read_answer(SINGLE, b"{}", 200, answer), Fault)
    assert isinstance(tencent.read_answer(SEND, b"{}", 200, answer), Fault)
