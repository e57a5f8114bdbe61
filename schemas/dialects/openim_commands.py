"""What OpenIM's handlers take from an answer, callback by callback."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Kind = Literal["text", "int32", "int64", "flag", "texts", "flags", "push", "users", "members"]
Kinds = Mapping[str, Kind]


class Command(NamedTuple):
    """What the handler of one callback does with the fields of an answer.

    ``fields`` are applied, ``ignored`` only parsed. ``overwritten`` ones are applied even where the answer
    does not say them; with ``null_stays`` null keeps what is stored, else it blanks. ``people`` is where the
    question names those whom the list of the same name in the answer replaces when it is not empty.
    ``asked_only`` fields must not be null in the question, ``json_content`` has content hold a JSON object,
    ``empty_keeps`` says that empty text changes nothing.
    """

    fields: Kinds = {}
    ignored: Kinds = {}
    overwritten: tuple[str, ...] = ()
    null_stays: bool = False
    people: str = ""
    asked_only: tuple[str, ...] = ()
    json_content: bool = False
    empty_keeps: bool = False


COMMON: Final[Kinds] = {
    "actionCode": "int32",
    "errCode": "int32",
    "errMsg": "text",
    "errDlt": "text",
    "nextCode": "int32",
}
_MESSAGE: Final[Kinds] = {
    "content": "text",
    "recvID": "text",
    "groupID": "text",
    "clientMsgID": "text",
    "serverMsgID": "text",
    "senderPlatformID": "int32",
    "senderNickname": "text",
    "senderFaceURL": "text",
    "sessionType": "int32",
    "msgFrom": "int32",
    "contentType": "int32",
    "status": "int32",
    "options": "flags",
    "offlinePushInfo": "push",
    "atUserIDList": "texts",
    "attachedInfo": "text",
    "ex": "text",
}
_USER: Final[Kinds] = {"nickName": "text", "faceURL": "text", "ex": "text"}
_GROUP: Final[Kinds] = {
    "groupID": "text",
    "groupName": "text",
    "notification": "text",
    "introduction": "text",
    "faceURL": "text",
    "ownerUserID": "text",
    "ex": "text",
    "status": "int32",
    "creatorUserID": "text",
    "groupType": "int32",
    "needVerification": "int32",
    "lookMemberInfo": "int32",
}
_GROUP_INFO: Final[Kinds] = {
    "groupID": "text",
    "groupName": "text",
    "faceURL": "text",
    "introduction": "text",
    "ex": "text",
    "needVerification": "int32",
    "lookMemberInfo": "int32",
    "applyMemberFriend": "int32",
}
_CONVERSATION: Final[Kinds] = {
    "recvMsgOpt": "int32",
    "isPinned": "flag",
    "isPrivateChat": "flag",
    "burnDuration": "int32",
    "groupAtType": "int32",
    "attachedInfo": "text",
    "ex": "text",
}
_NOTICE: Final[Kinds] = {"notification": "text"}
_PUSH: Final[Kinds] = {"userIDList": "texts", "offlinePushInfo": "push"}

COMMANDS: Final[Mapping[str, Command]] = {
    "callbackBeforeMsgModifyCommand": Command(
        _MESSAGE, {"msgDataList": "text"}, asked_only=("offlinePushInfo",), json_content=True
    ),
    "callbackBeforeOfflinePushCommand": Command(_PUSH, people="userIDList"),
    "callbackBeforeOnlinePushCommand": Command(ignored=_PUSH),
    "callbackBeforeGroupOnlinePushCommand": Command({"userIDList": "texts"}, {"offlinePushInfo": "push"}),
    "callbackBeforeSetFriendRemarkCommand": Command({"remark": "text"}, empty_keeps=True),
    "callbackBeforeImportFriendsCommand": Command({"friendUserIDs": "texts"}, people="friendUserIDs"),
    "callbackBeforeUserRegisterCommand": Command({"users": "users"}, people="users[].userID"),
    "callbackBeforeUpdateUserInfoCommand": Command(_USER),
    "callbackBeforeUpdateUserInfoExCommand": Command(_USER, asked_only=tuple(_USER)),
    "callbackBeforeCreateGroupCommand": Command(_GROUP, {"applyMemberFriend": "int32"}),
    "callbackBeforeMembersJoinGroupCommand": Command({"memberCallbackList": "members"}),
    "callbackBeforeInviteJoinGroupCommand": Command(ignored={"refusedMembersAccount": "texts"}),
    "callbackBeforeSetGroupInfoCommand": Command(
        _GROUP_INFO, _NOTICE, overwritten=("groupID", "groupName", "faceURL", "introduction")
    ),
    "callbackBeforeSetGroupInfoExCommand": Command(
        _GROUP_INFO, _NOTICE, overwritten=tuple(_GROUP_INFO), null_stays=True
    ),
    "callbackBeforeSetGroupMemberInfoCommand": Command(
        {"nickName": "text", "faceURL": "text", "roleLevel": "int32", "ex": "text"}
    ),
    "callbackBeforeCreateSingleChatConversationsCommand": Command(_CONVERSATION),
    "callbackBeforeCreateGroupChatConversationsCommand": Command(_CONVERSATION),
    "callbackWordFilterCommand": Command({"content": "text"}, {"operationID": "text"}, empty_keeps=True),
}
"""Callbacks that take more than yes or no; of any other one only the common fields are read."""

ALIASES: Final[Mapping[str, str]] = {
    "callbackmsgmodifycommand": "callbackBeforeMsgModifyCommand",
    "callbackmsgmodifycommandcommand": "callbackBeforeMsgModifyCommand",
    "callbackofflinepushcommand": "callbackBeforeOfflinePushCommand",
    "callbackbeforepushcommand": "callbackBeforeOfflinePushCommand",
    "callbackonlinepushcommand": "callbackBeforeOnlinePushCommand",
    "callbacksupergrouponlinepushcommand": "callbackBeforeGroupOnlinePushCommand",
    "callbackbeforesupergrouponlinepushcommand": "callbackBeforeGroupOnlinePushCommand",
    "callbackbeforesetfriendremark": "callbackBeforeSetFriendRemarkCommand",
    "importfriendreqbeforecommand": "callbackBeforeImportFriendsCommand",
    "callbackbeforememberjoingroupcommand": "callbackBeforeMembersJoinGroupCommand",
    "callbackbeforeinvitememberjoingroupcommand": "callbackBeforeInviteJoinGroupCommand",
    **{name.lower(): name for name in COMMANDS},
}
"""Every other spelling, in lower case."""
