"""OpenIM's callbacks told apart: another member, another group, later, the same person again; repeats."""

from itertools import combinations
from typing import Any

import orjson
import pytest

from schemas.callback import Callback
from schemas.catalog_readme import is_undated
from tests.samples import CATALOG, MOMENT, events_of, receive

LATER = MOMENT + (60_000 << 16)
MS = 1_767_225_999_999
AFTER = [spec for spec in CATALOG if spec.provider == "openim" and spec.phase == "after"]
EACH = pytest.mark.parametrize("command", [spec.name for spec in AFTER])

Changes = dict[str, Any]
GROUP: Changes = {"groupID": "g_9"}
USER: Changes = {"userID": "u_9"}
OWNED: list[Changes] = [{"ownerUserID": "u_9"}, {"friendUserID": "u_9"}]
ANSWERED = [{"fromUserID": "u_9"}, {"blackUserID": "u_9"}, {"HandleMsg": "hello"}]
PRESENCE: list[Changes] = [USER, {"platformID": 9, "platform": "IPad"}, {"seq": MS}]
MESSAGE = [{"serverMsgID": "0c7e"}]
PROFILE = [USER, {"nickName": "M."}]
GROUP_INFO = [GROUP, {"groupName": "Owls"}]
CONVERSATION: list[Changes] = [{"conversationId": "si_u_1_u_2"}, {"isPinned": True}]
VARIED: dict[str, list[Changes]] = {
    "callbackAfterCreateGroupCommand": [GROUP, {"createTime": MS}],
    "callbackAfterJoinGroupCommand": [GROUP, {"inviterUserID": "u_9"}],
    "callbackAfterQuitGroupCommand": [GROUP, USER],
    "callbackAfterKickGroupCommand": [
        GROUP,
        {"kickedUserIDs": ["u_9"]},
        {"kickedUserIDs": ["u_9", "u_1003"]},
    ],
    "callbackAfterDisMissGroupCommand": [GROUP],
    "callbackAfterTransferGroupOwnerCommand": [GROUP, {"newOwnerUserID": "u_9"}],
    "callbackAfterSetGroupInfoCommand": GROUP_INFO,
    "callbackAfterSetGroupInfoExCommand": [*GROUP_INFO, {"groupName": None}, {"introduction": ""}],
    "callbackAfterSetGroupMemberInfoCommand": [GROUP, *PROFILE, {"roleLevel": 60}],
    "callbackAfterGroupMemberExitCommand": [GROUP, USER, {"exitType": "kick"}],
    "callbackAfterSendSingleMsgCommand": MESSAGE,
    "callbackAfterSendGroupMsgCommand": MESSAGE,
    "callbackAfterMsgSaveDBCommand": MESSAGE,
    "callbackAfterConsumeGroupMsgCommand": MESSAGE,
    "callbackSendGroupMsgErrorCommand": MESSAGE,
    "callbackAfterSingleMsgReadCommand": [
        {"conversationID": "si_u_1_u_2"},
        USER,
        {"Seqs": [41]},
        {"Seqs": None},
        {"contentType": 3},
    ],
    "callbackAfterGroupMsgReadCommand": [{"sendID": "u_9"}, {"unreadMsgNum": 419}],
    "callbackBeforeAfterMsgCommand": [{"conversationID": "sg_g_9"}, {"seq": 419}],
    "callbackAfterUserOnlineCommand": PRESENCE,
    "callbackAfterUserOfflineCommand": PRESENCE,
    "callbackAfterUserKickOffCommand": PRESENCE,
    "callbackAfterAddFriendCommand": [{"fromUserID": "u_9"}, {"toUserID": "u_9"}, {"reqMsg": "hello"}],
    "callbackAfterAddFriendAgreeCommand": ANSWERED,
    "callbackAfterDeleteFriendCommand": OWNED,
    "callbackAfterSetFriendRemarkCommand": [*OWNED, {"remark": "O."}],
    "callbackAfterImportFriendsCommand": [OWNED[0], {"friendUserIDs": ["u_9"]}],
    "callbackAfterRemoveBlackCommand": [OWNED[0], {"blackUserID": "u_8"}],
    "callbackAfterUserRegisterCommand": [{"users": [{"userID": "u_9"}]}],
    "callbackAfterUpdateUserInfoCommand": PROFILE,
    "callbackAfterUpdateUserInfoExCommand": PROFILE,
    "callbackAfterCreateSingleChatConversationsCommand": [*CONVERSATION, {"ownerUserId": "u_9"}],
    "callbackAfterCreateGroupChatConversationsCommand": CONVERSATION,
    "setUserStatusAfterCommand": [USER, {"status": 0}, {"platformID": 9}],
    "subscribeOrCancelUsersStatusAfterCommand": [USER, {"userIDs": ["u_9"]}, {"genre": 0}],
    "setGlobalRecvMessageOptCommand": [USER, {"globalRecvMsgOpt": 2}],
}


def told(command: str, operation: str = "op1", /, **changed: Any) -> Callback:
    """Return the example of a command with some of its fields changed."""
    spec = CATALOG.find("openim", command)
    assert spec is not None
    body = {**spec.row.example, **changed}
    body.pop("operationID", None)
    return receive(f"/openim/{command}", {"operationID": operation} if operation else {}, orjson.dumps(body))


def id_of(callback: Callback) -> str:
    spec = CATALOG.find("openim", callback.command)
    assert spec is not None
    (made,) = events_of(callback, spec)
    assert made.type in spec.row.types
    return made.id


def genuine(command: str) -> list[Callback]:
    return [told(command), *(told(command, **changed) for changed in VARIED[command])]


def test_every_after_command_has_callbacks_to_tell_apart() -> None:
    assert set(VARIED) == {spec.name for spec in AFTER}


@EACH
def test_genuine_callbacks_have_different_ids(command: str) -> None:
    for one, other in combinations(genuine(command), 2):
        assert id_of(one) != id_of(other)


@EACH
def test_a_repeat_keeps_its_id_however_much_later_it_comes(command: str) -> None:
    for callback in genuine(command):
        assert id_of(callback) == id_of(callback._replace(moment=LATER))


@EACH
def test_the_same_fact_of_another_call_is_another_event_unless_the_body_names_it_for_good(
    command: str,
) -> None:
    spec = CATALOG.find("openim", command)
    assert spec is not None
    named_for_good = "operation_id" not in spec.row.identity[0]
    assert (id_of(told(command)) == id_of(told(command, "op2"))) is named_for_good


@EACH
def test_without_an_operation_id_both_are_kept_where_nothing_in_the_body_tells_them_apart(
    command: str,
) -> None:
    spec = CATALOG.find("openim", command)
    assert spec is not None
    first = told(command, "")
    assert (id_of(first) != id_of(first._replace(moment=LATER))) is is_undated(spec.row)


def test_an_operation_id_used_again_with_another_body_is_another_event() -> None:
    command = "callbackAfterQuitGroupCommand"
    assert id_of(told(command)) != id_of(told(command, userID="u_9"))


def test_a_message_sent_again_by_its_client_is_another_message() -> None:
    command = "callbackAfterSendGroupMsgCommand"
    assert id_of(told(command)) != id_of(told(command, serverMsgID="0c7e", clientMsgID="same"))


def test_a_documented_body_without_the_ids_of_the_message_does_not_merge() -> None:
    command = "callbackSendGroupMsgErrorCommand"
    bare = {"serverMsgID": None}
    assert id_of(told(command, **bare, status=0)) != id_of(told(command, **bare, status=3))
    assert id_of(told(command, **bare)) != id_of(told(command, "op2", **bare))


def test_a_presence_without_its_time_does_not_merge() -> None:
    command = "callbackAfterUserOnlineCommand"
    assert id_of(told(command, seq=0)) != id_of(told(command, "op2", seq=0))
