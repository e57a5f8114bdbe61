"""How OpenIM since v3.7 reads an answer, written from its code: types, replaced lists, what crashes it."""

from typing import Any

import orjson

INT32 = range(-(2**31), 2**31)
TEXT, NUMBER, FLAG, TEXTS, OBJECTS = "text", "number", "flag", "texts", "objects"

_GROUP = dict.fromkeys(["groupName", "notification", "introduction", "faceURL", "ex"], TEXT)
_SETTINGS = dict.fromkeys(["needVerification", "lookMemberInfo", "applyMemberFriend"], NUMBER)
_PROFILE = dict.fromkeys(["nickName", "faceURL", "ex"], TEXT)
_CONVERSATION = {
    **dict.fromkeys(["recvMsgOpt", "burnDuration", "groupAtType"], NUMBER),
    **dict.fromkeys(["isPinned", "isPrivateChat"], FLAG),
    **dict.fromkeys(["attachedInfo", "ex"], TEXT),
}
TAKES: dict[str, dict[str, str]] = {
    "callbackBeforeMsgModifyCommand": {
        **dict.fromkeys(["content", "recvID", "groupID", "clientMsgID", "serverMsgID"], TEXT),
        **dict.fromkeys(["senderNickname", "senderFaceURL", "attachedInfo", "ex"], TEXT),
        **dict.fromkeys(["senderPlatformID", "sessionType", "msgFrom", "contentType", "status"], NUMBER),
        "atUserIDList": TEXTS,
    },
    "callbackWordFilterCommand": {"content": TEXT, "operationID": TEXT},
    "callbackBeforeOfflinePushCommand": {"userIDList": TEXTS},
    "callbackBeforeOnlinePushCommand": {"userIDList": TEXTS},
    "callbackBeforeGroupOnlinePushCommand": {"userIDList": TEXTS},
    "callbackBeforeSetFriendRemarkCommand": {"remark": TEXT},
    "callbackBeforeImportFriendsCommand": {"friendUserIDs": TEXTS},
    "callbackBeforeUserRegisterCommand": {"users": OBJECTS},
    "callbackBeforeUpdateUserInfoCommand": _PROFILE,
    "callbackBeforeUpdateUserInfoExCommand": _PROFILE,
    "callbackBeforeCreateGroupCommand": {
        **dict.fromkeys(["groupID", "ownerUserID", "creatorUserID"], TEXT),
        **dict.fromkeys(["status", "groupType"], NUMBER),
        **_GROUP,
        **_SETTINGS,
    },
    "callbackBeforeMembersJoinGroupCommand": {"memberCallbackList": OBJECTS},
    "callbackBeforeSetGroupInfoCommand": {"groupID": TEXT, **_GROUP, **_SETTINGS},
    "callbackBeforeSetGroupInfoExCommand": {"groupID": TEXT, **_GROUP, **_SETTINGS},
    "callbackBeforeSetGroupMemberInfoCommand": {**_PROFILE, "roleLevel": NUMBER},
    "callbackBeforeCreateSingleChatConversationsCommand": _CONVERSATION,
    "callbackBeforeCreateGroupChatConversationsCommand": _CONVERSATION,
}
OVERWRITTEN = {
    "callbackBeforeSetGroupInfoCommand": ["groupID", "groupName", "faceURL", "introduction"],
    "callbackBeforeSetGroupInfoExCommand": [
        "groupID",
        "groupName",
        "introduction",
        "faceURL",
        "ex",
        *_SETTINGS,
    ],
}
"""What the server takes from any answer, and blanks where it is missing."""

_REPLACED = {
    "callbackBeforeOfflinePushCommand",
    "callbackBeforeImportFriendsCommand",
    "callbackBeforeUserRegisterCommand",
}


def openim_reads(body: bytes, command: str = "", asked: Any = None) -> str:
    """Return what the server makes of an answer: allow, some, modify, deny.

    Fails on what it cannot parse, on what crashes its handler, and on what blanks the group of the question.
    """
    answer = orjson.loads(body)
    assert isinstance(answer, dict)
    for name in ("actionCode", "errCode", "nextCode"):
        assert type(answer[name]) is int
        assert answer[name] in INT32
    for name in ("errMsg", "errDlt"):
        assert isinstance(answer[name], str)
    told = {name: answer[name] for name in TAKES.get(command, {}) if answer.get(name) is not None}
    for name, value in told.items():
        assert _is(TAKES[command][name], value), f"{name}: the server cannot read {value!r}"
    if (answer["actionCode"], answer["nextCode"]) == (0, 1):
        assert 20001 <= answer["errCode"] <= 29999, "with code 0 a refusal looks like success"
        return "deny"
    question = asked if isinstance(asked, dict) else {}
    _check_crashes(command, told, question)
    return _applied(command, told, question)


def _is(kind: str, value: Any) -> bool:
    if kind == NUMBER:
        return type(value) is int and value in INT32
    if kind in (TEXTS, OBJECTS):
        wanted = str if kind == TEXTS else dict
        return isinstance(value, list) and all(isinstance(item, wanted) for item in value)
    return isinstance(value, {TEXT: str, FLAG: bool}[kind])


def _check_crashes(command: str, told: dict[str, Any], asked: dict[str, Any]) -> None:
    """Fail on answers that make the handler follow a pointer to nothing, or fail the sending."""
    if command == "callbackBeforeUpdateUserInfoExCommand" and asked:
        assert all(asked.get(name) is not None for name in told)
    for member in told.get("memberCallbackList", []):
        assert isinstance(member["userID"], str)
        assert member["userID"]
    if "content" in told:
        assert isinstance(orjson.loads(told["content"]), dict)


def _applied(command: str, told: dict[str, Any], asked: dict[str, Any]) -> str:
    if command in OVERWRITTEN and asked:
        assert told.get("groupID") == asked["groupID"], "a bare allow blanks the group id"
        changed = [name for name in OVERWRITTEN[command] if told.get(name) != asked.get(name)]
        return "modify" if changed or told.keys() - OVERWRITTEN[command] else "allow"
    if command in _REPLACED and told:
        ((name, kept),) = told.items()
        assert kept, "an empty list keeps everybody"
        assert all(one in asked[name] for one in kept)
        return "allow" if kept == asked[name] else "some"
    return "modify" if told else "allow"
