"""Decisions in OpenIM's words: echoes, those who stay, changes; what is refused since it cannot be said."""

from typing import Any

import orjson
import pytest

from bridge.providers.openim import OpenIMProvider
from schemas.callback import UNPARSED
from schemas.decisions import Decision, Effect
from tests.samples import CATALOG
from tests.verdicts import verdict

PROVIDER = OpenIMProvider()
COMMON = {"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": 0}
ALLOW, DENY = Effect(), Effect("deny")
SET, SET_EX = "callbackBeforeSetGroupInfoCommand", "callbackBeforeSetGroupInfoExCommand"
TEXT = {"kind": "text", "vendor_kind": "101", "body": {"content": "***"}}
BEFORE = [spec.name for spec in CATALOG if spec.provider == "openim" and spec.phase == "before"]


def said(command: str, effect: Effect, asked: Any = None) -> dict[str, Any]:
    """Return the answer to the example of a command, changed where ``asked`` says so; it must be legal."""
    spec = CATALOG.find("openim", command)
    assert spec is not None
    question = {**spec.row.example, **(asked or {})} if asked is not UNPARSED else UNPARSED
    reply = PROVIDER.reply(spec.answers, Decision(effect, effect, "no"), question)
    assert reply.status == 200
    verdict("openim", reply.body, command, question)
    answer: dict[str, Any] = orjson.loads(reply.body)
    return answer


def change(**changes: Any) -> Effect:
    return Effect("modify", changes=changes)


def more(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what an allow says beside the common fields; it must be one."""
    assert {**answer, **COMMON} == answer
    return {name: value for name, value in answer.items() if name not in COMMON}


@pytest.mark.parametrize("command", BEFORE)
def test_a_refusal_is_said_the_same_way_to_every_question(command: str) -> None:
    assert said(command, DENY) == {**COMMON, "errCode": 20001, "errMsg": "no", "nextCode": 1}
    assert said(command, DENY, UNPARSED)["nextCode"] == 1


@pytest.mark.parametrize("command", [command for command in BEFORE if command not in (SET, SET_EX)])
def test_an_allow_says_nothing_beside(command: str) -> None:
    assert more(said(command, ALLOW)) == {}


def test_an_allow_of_a_changed_group_echoes_what_the_server_would_blank() -> None:
    assert more(said(SET, ALLOW)) == {
        "groupID": "g_2001",
        "groupName": "Night Owls 2",
        "introduction": "",
        "faceURL": "",
    }


def test_an_allow_of_a_partly_changed_group_echoes_null_as_null() -> None:
    assert more(said(SET_EX, ALLOW)) == {
        "groupID": "g_2001",
        "groupName": "Night Owls 2",
        "introduction": None,
        "faceURL": None,
        "ex": None,
        "needVerification": 2,
        "lookMemberInfo": None,
        "applyMemberFriend": None,
    }


def test_no_field_of_a_wrong_type_is_echoed_since_it_would_spoil_the_answer() -> None:
    asked = {"groupName": 5, "introduction": [], "needVerification": "2", "lookMemberInfo": 2**31}
    assert not asked.keys() & more(said(SET_EX, ALLOW, asked)).keys()


@pytest.mark.parametrize(
    ("command", "refused", "kept"),
    [
        ("callbackBeforeImportFriendsCommand", ("u_1003", "u_7"), {"friendUserIDs": ["u_1002"]}),
        ("callbackBeforeOfflinePushCommand", ("u_1002",), {"userIDList": ["u_1003"]}),
        ("callbackBeforeImportFriendsCommand", (), {"friendUserIDs": ["u_1002", "u_1003"]}),
    ],
)
def test_those_who_stay_are_carried_back(
    command: str, refused: tuple[str, ...], kept: dict[str, Any]
) -> None:
    assert more(said(command, Effect("refuse_members", refused))) == kept


def test_users_who_stay_are_carried_back_whole() -> None:
    users = [{"userID": "u_1", "nickname": "A", "createTime": 0}, {"userID": "u_2", "nickname": "B"}]
    answer = said("callbackBeforeUserRegisterCommand", Effect("refuse_members", ("u_2",)), {"users": users})
    assert more(answer) == {"users": users[:1]}


@pytest.mark.parametrize(
    ("command", "effect"),
    [
        ("callbackBeforeImportFriendsCommand", Effect("refuse_members", ("u_1002", "u_1003"))),
        ("callbackBeforeInviteJoinGroupCommand", Effect("refuse_members", ("u_1003",))),
        ("callbackBeforeMembersJoinGroupCommand", Effect("refuse_members", ("u_1003",))),
        ("callbackBeforeSendGroupMsgCommand", Effect("drop")),
        ("callbackBeforeSendGroupMsgCommand", change(content=[TEXT])),
        ("callbackBeforeMsgModifyCommand", change(content=[TEXT, TEXT])),
        ("callbackBeforeMsgModifyCommand", change(content=[{**TEXT, "body": "not an object"}])),
        ("callbackBeforeMsgModifyCommand", change(mentioned_ids="u_1")),
        ("callbackBeforeMsgModifyCommand", change(extension=5)),
        ("callbackBeforeGroupOnlinePushCommand", change(user_ids=[])),
        ("callbackBeforeSetFriendRemarkCommand", change(remark="")),
        ("callbackBeforeUpdateUserInfoExCommand", change(avatar_url="https://a.example/1.png")),
        ("callbackBeforeMembersJoinGroupCommand", change(members=[{"nickname": "nobody's"}])),
        ("callbackBeforeMembersJoinGroupCommand", change(members=[{"user_id": "u_1", "age": 7}])),
        ("callbackBeforeSetGroupMemberInfoCommand", change(role="king")),
        ("callbackBeforeCreateSingleChatConversationsCommand", change(pinned=1)),
        ("callbackBeforeCreateSingleChatConversationsCommand", change(burn_duration=2**31)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_what_the_server_would_not_read_as_meant_is_refused(command: str, effect: Effect) -> None:
    assert said(command, effect)["nextCode"] == 1


@pytest.mark.parametrize(
    ("command", "effect", "changed"),
    [
        (
            "callbackBeforeMsgModifyCommand",
            change(content=[TEXT], mentioned_ids=[], sender_nickname="M.", extension="x"),
            {
                "content": '{"content":"***"}',
                "contentType": 101,
                "atUserIDList": [],
                "senderNickname": "M.",
                "ex": "x",
            },
        ),
        ("callbackBeforeMsgModifyCommand", change(content=[{"body": {}}]), {"content": "{}"}),
        ("callbackBeforeSetGroupMemberInfoCommand", change(role="member"), {"roleLevel": 20}),
        ("callbackBeforeUpdateUserInfoExCommand", change(nickname="M."), {"nickName": "M."}),
        ("callbackBeforeUpdateUserInfoCommand", change(avatar_url="u"), {"faceURL": "u"}),
        ("callbackBeforeGroupOnlinePushCommand", change(user_ids=["u_1"]), {"userIDList": ["u_1"]}),
        ("callbackBeforeSetFriendRemarkCommand", change(remark="O."), {"remark": "O."}),
        (
            "callbackBeforeCreateGroupChatConversationsCommand",
            change(pinned=True, burn_duration=30),
            {"isPinned": True, "burnDuration": 30},
        ),
        (
            "callbackBeforeMembersJoinGroupCommand",
            change(members=[{"user_id": "u_1003", "nickname": "N", "role": "admin"}]),
            {"memberCallbackList": [{"userID": "u_1003", "nickname": "N", "roleLevel": 60}]},
        ),
        ("callbackBeforeCreateGroupCommand", change(name="Owls"), {"groupName": "Owls"}),
    ],
)
def test_a_change_in_openims_words(command: str, effect: Effect, changed: dict[str, Any]) -> None:
    assert more(said(command, effect)) == changed


def test_a_change_of_a_group_stands_among_what_is_echoed() -> None:
    answer = more(said(SET, change(name="Owls", extension="x")))
    assert (answer["groupID"], answer["groupName"], answer["ex"]) == ("g_2001", "Owls", "x")


@pytest.mark.parametrize(
    "wrong", [{"userID": 0}, {"createTime": "now"}, {"appMangerLevel": 2**31}, {"ex": True}]
)
def test_a_user_the_server_could_not_read_is_not_carried_back(wrong: dict[str, Any]) -> None:
    users = [{"userID": "ada", **wrong}, {"userID": "bo"}]
    answer = said("callbackBeforeUserRegisterCommand", Effect("refuse_members", ("bo",)), {"users": users})
    assert (answer["nextCode"], "users" in answer) == (1, False)
