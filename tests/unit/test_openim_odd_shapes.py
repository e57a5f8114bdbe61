"""The odd shapes of OpenIM's protocol, each by name: what its server sends, whatever the documents say."""

from typing import Any

import orjson
import pytest

from schemas.callback import Callback
from schemas.catalog import UNRECOGNIZED
from schemas.decisions import Question
from schemas.envelope import Envelope
from tests.samples import CATALOG, MOMENT, events_of, receive

SEND_GROUP, SEND_SINGLE = "callbackAfterSendGroupMsgCommand", "callbackAfterSendSingleMsgCommand"
STORED, RECALLED = "callbackAfterMsgSaveDBCommand", "callbackBeforeAfterMsgCommand"
KEY = "key=eyJzZW5kSUQiOiJ1XzEwMDEiLCJyZWN2SUQiOiJ1XzEwMDIiLCJncm91cElEIjoiIn0%3D"


def sent(command: str, target: str = "", /, **changed: Any) -> Callback:
    """Return the example of a command with some of its fields changed; ``...`` takes a field out."""
    spec = CATALOG.find("openim", command)
    assert spec is not None
    body = {name: value for name, value in {**spec.row.example, **changed}.items() if value is not ...}
    return receive(target or f"/openim/{command}", spec.row.example_headers, orjson.dumps(body))


def event(callback: Callback) -> Envelope:
    spec = CATALOG.find("openim", callback.command)
    assert spec is not None
    (made,) = events_of(callback, spec)
    return made


def data(command: str, /, **changed: Any) -> dict[str, Any]:
    made = event(sent(command, **changed))
    assert made.type != UNRECOGNIZED, made.data
    return made.data


def question(command: str, /, **changed: Any) -> Question:
    spec = CATALOG.find("openim", command)
    assert spec is not None
    return spec.question(sent(command, **changed))


@pytest.mark.parametrize(("number", "kind"), [(2, "working"), (1, "super"), (0, "normal"), (7, None)])
def test_group_type_as_a_character(number: int, kind: str | None) -> None:
    command = "callbackAfterDisMissGroupCommand"
    assert data(command, groupType=chr(number)).get("group_type") == kind
    assert data("callbackAfterCreateGroupCommand", groupType=number).get("group_type") == kind


@pytest.mark.parametrize(
    ("content_type", "content", "element"),
    [
        (101, '{"content":"hi"}', {"kind": "text", "vendor_kind": "101", "body": {"content": "hi"}}),
        (106, '{"text":"@a"}', {"kind": "at_text", "vendor_kind": "106", "body": {"text": "@a"}}),
        (110, "not JSON", {"kind": "custom", "vendor_kind": "110", "body": "not JSON"}),
        (1501, '{"detail":"x"}', {"kind": "notification", "vendor_kind": "1501", "body": {"detail": "x"}}),
        (9999, "", {"kind": "other", "vendor_kind": "9999", "body": ""}),
        (101, '{"a":1,"a":2}', {"kind": "text", "vendor_kind": "101", "body": '{"a":1,"a":2}'}),
    ],
)
def test_content_as_json_in_a_string(content_type: int, content: str, element: dict[str, Any]) -> None:
    assert data(SEND_GROUP, contentType=content_type, content=content)["content"] == [element]


def test_content_with_the_escapes_of_go() -> None:
    raw = (
        rb'{"sendID":"a","serverMsgID":"m","groupID":"g","contentType":101,"content":"{\"content\":\"\u003cb\u003e\u0026\"}"}'
        b"\n"
    )
    made = event(receive(f"/openim/{SEND_GROUP}", {}, raw))
    assert made.data["content"][0]["body"] == {"content": "<b>&"}


def test_the_query_key_of_three_callbacks_changes_nothing_but_the_origin() -> None:
    plain = event(sent(SEND_SINGLE))
    keyed = event(sent(SEND_SINGLE, f"/openim/{SEND_SINGLE}?{KEY}"))
    assert keyed.data["origin"]["query"] == {"key": KEY.removeprefix("key=").replace("%3D", "=")}
    assert keyed.id == plain.id
    assert {**keyed.data, "origin": 0} == {**plain.data, "origin": 0}


@pytest.mark.parametrize(
    "target",
    [
        "//callbackAfterSendSingleMsgCommand",
        "/openim//callbackAfterSendSingleMsgCommand",
        "/openim/?command=callbackAfterSendSingleMsgCommand&contenttype=json",
        "/?command=callbackAfterSendSingleMsgCommand&sdkName=x",
        "/openim/CALLBACKAFTERSENDSINGLEMSGCOMMAND",
        "/openim",
    ],
)
def test_a_double_slash_a_query_and_the_body_name_the_command(target: str) -> None:
    assert event(sent(SEND_SINGLE, target)).id == event(sent(SEND_SINGLE)).id


@pytest.mark.parametrize("command", ["callbackAfterUserRegisterCommand", "callbackBeforeUserRegisterCommand"])
def test_the_servers_secret_never_reaches_an_event(command: str) -> None:
    callback = sent(command, secret="openIM123")
    spec = CATALOG.find("openim", command)
    assert spec is not None
    kept = [CATALOG.unrecognized(callback, "why")]
    kept += spec.normalize(callback) if spec.phase == "after" else []
    for made in kept:
        assert b"openIM123" not in made.structured()
        assert made.data["origin"]["redacted"] == ["body.secret"]
    if spec.phase == "before":
        assert "secret" not in spec.question(callback).callback.json


@pytest.mark.parametrize(
    "body",
    [
        b'{"secret":"openIM123","users":[],"users":[]}',
        b'{"secret" : "open\\"IM123","n":1e999}',
        b'{"users":[{"userID":"a"',
    ],
)
def test_the_servers_secret_is_taken_out_of_a_body_that_cannot_be_parsed(body: bytes) -> None:
    callback = receive("/openim/callbackAfterUserRegisterCommand", {}, body)
    assert b"IM123" not in callback.body
    assert callback.redacted == (("body.secret",) if b"IM123" in body else ())
    assert CATALOG.unrecognized(callback, "why").data["origin"]["body_base64"]


def test_null_wrappers_are_absent_and_empty_ones_are_said() -> None:
    said = data("callbackAfterSetGroupInfoExCommand", introduction="", groupName=None)
    assert said["introduction"] == ""
    assert "name" not in said
    assert question("callbackBeforeSetGroupMemberInfoCommand").data["role"] == "admin"


@pytest.mark.parametrize(
    "command",
    [
        "callbackAfterSetGroupInfoCommand",
        "callbackBeforeSetGroupInfoCommand",
        "callbackAfterUpdateUserInfoCommand",
    ],
)
def test_the_older_calls_write_empty_text_for_what_they_leave_alone(command: str) -> None:
    asks = "Before" in command
    said = question(command).data if asks else data(command)
    assert not {"introduction", "avatar_url", "extension"} & said.keys()


def test_zero_of_the_older_question_says_nothing_of_the_settings() -> None:
    assert "join_verification" not in question("callbackBeforeSetGroupInfoCommand").data
    assert question("callbackBeforeSetGroupInfoExCommand").data["join_verification"] == "none"


def test_capital_seqs_and_null_for_a_whole_conversation() -> None:
    command = "callbackAfterSingleMsgReadCommand"
    assert data(command)["message_seqs"] == [41, 42]
    assert "message_seqs" not in data(command, Seqs=None)


def test_the_content_type_of_a_read_message_is_the_kind_of_conversation() -> None:
    said = data("callbackAfterSingleMsgReadCommand", contentType=3, conversationID="sg_g_2001")
    assert (said["conversation_kind"], said["group_id"]) == ("group", "g_2001")


def test_the_read_callback_of_older_releases_under_its_older_name() -> None:
    body = {"callbackCommand": "callbackSingleMsgRead", "sendID": "u_1", "receiveID": "u_2", "contentType": 1}
    made = event(receive("/openim/callbackSingleMsgRead", {}, orjson.dumps(body)))
    assert (made.type, made.subject) == ("im.message.read.v1", "user/u_1")
    assert "conversation_id" not in made.data


def test_a_group_read_names_no_group_and_no_count() -> None:
    said = data("callbackAfterGroupMsgReadCommand")
    assert {name for name in said if name != "origin"} == {"reader_id", "conversation_kind"}


def test_before_and_after_in_the_name_of_a_recall() -> None:
    spec = CATALOG.find("openim", RECALLED)
    assert spec is not None
    assert spec.phase == "after"
    said = data(RECALLED, conversationID="sn_u_1_u_2")
    assert (said["conversation_kind"], said["messages"]) == ("notification", [{"message_seq": 418}])
    assert "group_id" not in said


def test_the_answering_user_of_a_friend_request_is_called_black_user() -> None:
    said = data("callbackAfterAddFriendAgreeCommand")
    assert said["pairs"] == [
        {"user_id": "u_1001", "friend_id": "u_1002", "initiator_id": "u_1001", "mutual": True}
    ]
    assert (said["answer"], said["wording"]) == ("agree", "welcome")
    documented = {"toUserID": "u_1002", "handleMsg": "welcome", "handleResult": 1}
    sent_otherwise = dict.fromkeys(["blackUserID", "HandleMsg", "HandleResult"], ...)
    assert (
        data("callbackAfterAddFriendAgreeCommand", **sent_otherwise, **documented)["pairs"] == said["pairs"]
    )


def test_a_friend_request_is_no_friendship() -> None:
    assert event(sent("callbackAfterAddFriendCommand")).type == "im.friend.requested.v1"


def test_the_sequence_of_a_message_is_known_once_it_is_stored() -> None:
    assert "message_seq" not in data(SEND_GROUP)
    assert data(STORED)["message_seq"] == 418


@pytest.mark.parametrize(
    ("changed", "conversation", "kind"),
    [
        ({}, "sg_g_2001", "group"),
        ({"sessionType": 1, "groupID": "", "recvID": "u_0999"}, "si_u_0999_u_1001", "single"),
        ({"sessionType": 4, "groupID": "", "recvID": "u_0999"}, "sn_u_0999_u_1001", "notification"),
    ],
)
def test_the_conversation_of_a_stored_message(changed: dict[str, Any], conversation: str, kind: str) -> None:
    made = event(sent(STORED, **changed))
    assert (made.data["conversation_id"], made.data["conversation_kind"]) == (conversation, kind)
    assert (made.subject, made.partitionkey) == (f"conversation/{conversation}", conversation)


def test_a_single_message_of_a_notification_chat() -> None:
    assert data(SEND_SINGLE, sessionType=4)["conversation_id"] == "sn_u_1001_u_1002"


def test_the_mark_for_everybody_among_the_mentioned() -> None:
    said = data(SEND_GROUP, atUserList=["u_1003", "AtAllTag"])
    assert (said["mentioned_ids"], said["mentions_all"]) == (["u_1003"], True)
    pushed = question("callbackBeforeGroupOnlinePushCommand", atUserIDList=["AtAllTag"]).data
    assert (pushed["mentioned_ids"], pushed["mentions_all"]) == ([], True)


def test_a_message_before_v3_8_1_has_no_time_of_its_own() -> None:
    assert event(sent(SEND_GROUP)).time == "2026-01-01T00:00:00.123Z"
    older = event(sent(SEND_GROUP, sendTime=...))
    assert (older.timebasis, older.sequence) == ("received", f"{MOMENT:016x}")
    assert older.id == event(sent(SEND_GROUP)).id


def test_the_seq_of_a_presence_is_its_time() -> None:
    made = event(sent("callbackAfterUserOnlineCommand"))
    assert (made.timebasis, made.sequence) == (None, f"{1_767_225_600_456 << 16:016x}")
    assert "connection_id" not in made.data


def test_an_unknown_platform_keeps_its_number() -> None:
    said = data("callbackAfterUserOnlineCommand", platform="", platformID=12)
    assert said["platform"] == "12"


def test_owner_and_admins_stand_in_the_list_of_first_members_twice() -> None:
    assert data("callbackAfterCreateGroupCommand")["members"] == [
        {"user_id": "u_1001", "role": "owner"},
        {"user_id": "u_1002", "role": "admin"},
        {"user_id": "u_1003", "role": "member"},
    ]


def test_times_of_zero_are_no_times() -> None:
    assert "created_at_ms" not in data("callbackAfterUserRegisterCommand")["users"][0]
    assert "created_at_ms" not in question("callbackBeforeCreateGroupCommand").data


def test_members_can_be_null_where_a_group_is_dismissed() -> None:
    assert "members" not in data("callbackAfterDisMissGroupCommand", membersID=None)


def test_one_member_a_question_up_to_v3_7_1() -> None:
    body = {"groupID": "g_1", "userID": "u_1", "ex": "x", "groupEx": ""}
    spec = CATALOG.find("openim", "callbackBeforeMemberJoinGroupCommand")
    assert spec is not None
    asked = spec.question(receive("/openim/CallbackBeforeMemberJoinGroupCommand", {}, orjson.dumps(body)))
    assert (asked.act, asked.members) == ("admit_members", ("u_1",))
    assert asked.data["members"] == [{"user_id": "u_1", "extension": "x"}]


def test_push_information_is_there_or_missing_as_a_whole() -> None:
    command = "callbackBeforeOfflinePushCommand"
    assert question(command).data["notification"]["title"] == "New message"
    keys = ["title", "desc", "ex", "iOSPushSound", "iOSBadgeCount", "signalInfo"]
    assert "notification" not in question(command, **dict.fromkeys(keys, ...)).data


def test_conversation_callbacks_in_snake_case() -> None:
    camel = CATALOG.find("openim", "callbackAfterCreateSingleChatConversationsCommand")
    assert camel is not None
    body = {_snake(name): value for name, value in camel.row.example.items() if name != "callbackCommand"}
    snake = event(receive(f"/openim/{camel.name}", {}, orjson.dumps({**body, "is_marked": True})))
    assert {**snake.data, "origin": 0} == {**data(camel.name), "origin": 0, "marked": True}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


@pytest.mark.parametrize(
    ("spelled", "found"),
    [
        ("callbackMsgModifyCommandCommand", "callbackBeforeMsgModifyCommand"),
        ("transferGroupOwnerAfterCommand", "callbackAfterTransferGroupOwnerCommand"),
        ("ImportFriendReqBeforeCommand", "callbackBeforeImportFriendsCommand"),
        ("callbackKillGroupCommand", "callbackAfterKickGroupCommand"),
        ("CallbackBeforeSetGroupMemberInfoCommand", "callbackBeforeSetGroupMemberInfoCommand"),
        ("callbackSuperGroupOnlinePushCommand", "callbackBeforeGroupOnlinePushCommand"),
    ],
)
def test_older_and_documented_spellings(spelled: str, found: str) -> None:
    spec = CATALOG.find("openim", spelled)
    assert spec is not None
    assert spec.name == found
