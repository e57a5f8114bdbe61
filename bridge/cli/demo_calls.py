"""The callbacks of the demo, as the vendors send them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiohttp
import orjson

_TENCENT_OK: Final = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
_OPENIM_OK: Final = {"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": 0}
_SECONDS: Final = 10.0


class Call(NamedTuple):
    """One callback as its vendor sends it, with the answer the vendor should get."""

    what: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    wanted: Mapping[str, Any]


def five_calls(tencent_group: str, openim_group: str) -> list[Call]:
    """Return the five sample callbacks, for groups of this run."""
    return [
        _tencent(
            "a group was created",
            "Group.CallbackAfterCreateGroup",
            {
                "GroupId": tencent_group,
                "Operator_Account": "group_root",
                "Owner_Account": "leckie",
                "Type": "Public",
                "Name": "MyFirstGroup",
                "MemberList": [{"Member_Account": "bob"}, {"Member_Account": "peter"}],
                "UserDefinedDataList": [{"Key": "UserDefined1", "Value": "hello"}],
                "EventTime": "1670574414123",
            },
        ),
        _tencent(
            "two users joined it",
            "Group.CallbackAfterNewMemberJoin",
            {
                "GroupId": tencent_group,
                "Type": "Public",
                "JoinType": "Apply",
                "Operator_Account": "leckie",
                "NewMemberList": [{"Member_Account": "jared"}, {"Member_Account": "tommy"}],
                "EventTime": 1670574514123,
            },
        ),
        invitation(tencent_group),
        _openim(
            "a user joined an OpenIM group",
            "callbackAfterMemberJoinGroupCommand",
            {"groupID": openim_group, "userID": "user789", "ex": "Extra data", "groupEx": "GroupExtra data"},
        ),
        _openim(
            "its nickname there was set",
            "callbackAfterSetGroupMemberInfoCommand",
            {
                "groupID": openim_group,
                "userID": "user789",
                "nickName": "user",
                "faceURL": None,
                "roleLevel": 60,
            },
        ),
    ]


def invitation(group: str, refused: str | None = None) -> Call:
    """Return the question whether jared and ada may be invited; ``refused`` names who should be kept out."""
    body = {
        "GroupId": group,
        "Type": "Public",
        "Operator_Account": "leckie",
        "DestinationMembers": [{"Member_Account": "jared"}, {"Member_Account": "ada"}],
    }
    call = _tencent("may two users be invited?", "Group.CallbackBeforeInviteJoinGroup", body)
    return call._replace(wanted={**call.wanted, "RefusedMembers_Account": [refused]}) if refused else call


def _tencent(what: str, command: str, body: Mapping[str, Any]) -> Call:
    client = "contenttype=json&ClientIP=127.0.0.1&OptPlatform=RESTAPI"
    query = f"SdkAppid=1400000000&CallbackCommand={command}&{client}"
    return Call(what, f"/?{query}", {}, {"CallbackCommand": command, **body}, _TENCENT_OK)


def _openim(what: str, command: str, body: Mapping[str, Any]) -> Call:
    headers = {"operationID": "1646445464564"}
    return Call(
        what, f"/openim/{command}?contenttype=json", headers, {"callbackCommand": command, **body}, _OPENIM_OK
    )


async def send(base: str, call: Call) -> Any:
    """Send the callback and return the answer's JSON."""
    timeout = aiohttp.ClientTimeout(_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(base + call.path, data=orjson.dumps(call.body), headers=dict(call.headers)) as response,
    ):
        return orjson.loads(await response.read())
