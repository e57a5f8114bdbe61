"""The odd shapes of Tencent's bodies: what differs between pages, samples and commands, one test each."""

from typing import Any

import orjson
import pytest

from bridge.providers.tencent import TencentProvider
from schemas.callback import Callback
from schemas.catalog import UNRECOGNIZED
from schemas.envelope import Envelope
from tests.samples import CATALOG, MOMENT, events_of, receive

MS, SECONDS = 1_761_000_123_456, 1_761_000_123
GROUP = {"GroupId": "@TGS#1", "EventTime": MS}
PUSHED = {"To_Account": "bo", "TaskId": "t", "PushStage": 1, "EventTime": SECONDS}


def callback(command: str, body: Any, query: str = "") -> Callback:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return receive(f"/?SdkAppid=1400000000&CallbackCommand={command}{query}", {}, content, MOMENT)


def events(command: str, body: Any, query: str = "") -> list[Envelope]:
    spec = CATALOG.find("tencent", command)
    made = callback(command, body, query)
    assert spec is not None
    return events_of(made, spec)


def event(command: str, body: Any, query: str = "") -> Envelope:
    (only,) = events(command, body, query)
    return only


def data(command: str, body: Any) -> dict[str, Any]:
    made = event(command, body)
    assert made.type != UNRECOGNIZED, made.data["reason"]
    return made.data


@pytest.mark.parametrize("told", [MS, str(MS)])
def test_event_time_type_it_comes_as_a_number_or_in_quotes(told: Any) -> None:
    made = event("Group.CallbackAfterGroupFull", {**GROUP, "EventTime": told})
    assert (made.time, made.timebasis) == ("2025-10-20T22:42:03.456Z", None)


def test_event_time_unit_it_is_seconds_in_push_alone() -> None:
    assert event("Push.AllMemberPush", {"Events": [PUSHED]}).time == "2025-10-20T22:42:03.000Z"
    assert event("Group.CallbackAfterGroupFull", GROUP).time == "2025-10-20T22:42:03.456Z"


def test_event_time_unit_all_other_times_are_seconds() -> None:
    message = {"From_Account": "a", "To_Account": "b", "MsgTime": SECONDS}
    sent = event("C2C.CallbackAfterSendMsg", message)
    assert (sent.time, sent.data["sent_at_ms"]) == ("2025-10-20T22:42:03.000Z", SECONDS * 1000)
    read = event(
        "C2C.CallbackAfterMsgReport",
        {"Report_Account": "a", "Peer_Account": "b", "LastReadTime": str(SECONDS)},
    )
    assert (read.time, read.data["read_up_to_ms"]) == ("2025-10-20T22:42:03.000Z", SECONDS * 1000)
    pushed = event("Push.AllMemberPush", {"Events": [{**PUSHED, "TaskTime": SECONDS}]})
    assert pushed.data["task_started_ms"] == SECONDS * 1000


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("Sns.CallbackFriendAdd", {"PairList": [{"From_Account": "a", "To_Account": "b"}]}),
        ("Group.CallbackAfterCreateTopic", {"GroupId": "g", "TopicId": "t"}),
        ("Group.CallbackAfterTopicDestroyed", {"GroupId": "g", "TopicIdList": ["t"]}),
        ("Group.CallbackAfterTopicInfoChanged", {"GroupId": "g", "Name": "n"}),
        (
            "Group.CallbackOnMemberStateChange",
            {"GroupId": "g", "EventType": "Online", "MemberList": [{"Member_Account": "a"}]},
        ),
        ("Alert.RequestOverLimit", {"ServiceName": "s", "Command": "c"}),
        ("ContentCallback.ResultNotify", {"From_Account": "a", "CtxcbRequestId": "r"}),
        ("C2C.CallbackAfterMsgWithDraw", {"From_Account": "a", "To_Account": "b", "MsgKey": "k"}),
    ],
)
def test_event_time_absent_it_is_dated_by_receipt(command: str, body: dict[str, Any]) -> None:
    made = event(command, body)
    assert made.type != UNRECOGNIZED
    assert (made.time, made.timebasis) == ("2026-02-13T16:26:40.000Z", "received")


def test_push_body_has_no_command_and_becomes_one_event_for_each_part() -> None:
    sent = [{**PUSHED, "To_Account": user} for user in ("bo", "cy", "dee")]
    made = events("Push.AllMemberPush", {"Events": sent, "Extra": 1})
    assert [one.subject for one in made] == ["user/bo", "user/cy", "user/dee"]
    assert len({one.id for one in made}) == 3
    assert [one.data["origin"]["part"] for one in made] == [{"number": n, "of": 3} for n in (1, 2, 3)]
    assert [one.data["origin"]["body"] for one in made] == [{"Events": [one], "Extra": 1} for one in sent]


@pytest.mark.parametrize("count", [1, 100])
def test_push_body_holds_up_to_a_hundred_events(count: int) -> None:
    sent = [{**PUSHED, "To_Account": f"u{number}"} for number in range(count)]
    assert len({one.id for one in events("Push.OfflinePush", {"Events": sent})}) == count


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ([PUSHED, {**PUSHED, "To_Account": 1.5}, PUSHED], "To_Account: an id must be text, got float"),
        ([PUSHED, "x"], "Events must hold objects, got str"),
        ([], "Events must hold 1 to 100 events, got 0"),
        ([PUSHED] * 101, "Events must hold 1 to 100 events, got 101"),
        ({}, "Events must be a list, got dict"),
        (None, "Events must hold 1 to 100 events, got 0"),
    ],
)
def test_push_body_is_taken_whole_or_not_at_all(sent: Any, why: str) -> None:
    made = event("Push.AllMemberPush", {"Events": sent})
    assert made.type == UNRECOGNIZED
    assert made.data["reason"].endswith(why)
    assert made.data["origin"]["body"] == {"Events": sent}


def test_content_callback_body_has_no_command() -> None:
    made = event(
        "ContentCallback.ResultNotify", {"From_Account": "a", "CtxcbRequestId": "r", "CtxcbResult": 1}
    )
    assert (made.type, made.data["blocked"]) == ("im.moderation.reported.v1", True)
    assert made.data["origin"]["command"] == "ContentCallback.ResultNotify"


@pytest.mark.parametrize("spelled", ["GroupId", "GroupID", "groupID"])
def test_id_spelling_of_groups(spelled: str) -> None:
    assert data("Group.CallbackAfterCreateGroup", {spelled: "g1"})["group_id"] == "g1"


@pytest.mark.parametrize("spelled", ["GroupId", "GroupID"])
def test_id_spelling_of_groups_in_pushes(spelled: str) -> None:
    made = data("Push.OfflinePush", {"Events": [{**PUSHED, spelled: "g1"}]})
    assert (made["group_id"], made["conversation_id"]) == ("g1", "sg_g1")


def test_id_spelling_of_groups_in_moderation() -> None:
    body = {"From_Account": "a", "ContactItem": {"ContactType": 2, "ToGroupId": "g1", "To_Account": ""}}
    made = data("ContentCallback.ResultNotify", body)
    assert (made["group_id"], made["conversation_id"], made["conversation_kind"]) == ("g1", "sg_g1", "group")


@pytest.mark.parametrize("spelled", [("key", "value"), ("Key", "Value")])
def test_key_case_of_attributes(spelled: tuple[str, str]) -> None:
    key, value = spelled
    made = data("Group.CallbackAfterGroupAttrChanged", {**GROUP, "GroupAttr": [{key: "mic1", value: "ada"}]})
    assert made["attributes"] == [{"key": "mic1", "value": "ada"}]


def test_arrays_against_strings_followed_users_are_objects_and_unfollowed_ones_are_texts() -> None:
    added = data("Follow.CallbackAfterFollowAdd", {"From_Account": "a", "FollowList": [{"To_Account": "b"}]})
    deleted = data("Follow.CallbackAfterFollowDelete", {"From_Account": "a", "To_Account": ["b"]})
    single = data("Follow.CallbackAfterFollowDelete", {"From_Account": "a", "To_Account": "b"})
    assert added["target_ids"] == deleted["target_ids"] == single["target_ids"] == ["b"]


@pytest.mark.parametrize("told", ["t1", ["t1"]])
def test_arrays_against_strings_topics_come_as_a_list_or_as_one(told: Any) -> None:
    made = data("Group.CallbackAfterTopicDestroyed", {"GroupId": "g", "TopicIdList": told})
    assert made["topic_ids"] == ["t1"]


def test_same_name_other_meaning_the_request_carries_an_error_and_the_answer_none() -> None:
    body = {**GROUP, "ErrorCode": 10023, "ErrorInfo": "too fast"}
    made = data("Group.CallbackSendMsgException", body)
    assert (made["error_code"], made["error_text"]) == (10023, "too fast")
    sent = data("C2C.CallbackAfterSendMsg", {"From_Account": "a", "To_Account": "b", "ErrorInfo": "sent"})
    assert sent["result_text"] == "sent"
    assert orjson.loads(TencentProvider().ack().body) == {
        "ActionStatus": "OK",
        "ErrorCode": 0,
        "ErrorInfo": "",
    }


def test_sender_against_operator_an_administrator_may_speak_for_someone() -> None:
    made = data("Group.CallbackAfterSendMsg", {**GROUP, "From_Account": "ada", "Operator_Account": "root"})
    assert (made["sender_id"], made["operator_id"]) == ("ada", "root")


def test_page_against_page_newer_fields_are_taken_and_older_ones_may_be_gone() -> None:
    old = {"From_Account": "a", "To_Account": "b", "UnreadMsgNum": 3}
    new = {"From_Account": "a", "To_Account": "b", "MsgId": "m", "EventTime": MS, "MsgTime": SECONDS}
    assert data("C2C.CallbackAfterSendMsg", old)["unread_count"] == 3
    made = event("C2C.CallbackAfterSendMsg", new)
    assert (made.data["client_message_id"], made.time) == ("m", "2025-10-20T22:42:03.456Z")
    assert "unread_count" not in made.data


@pytest.mark.parametrize("spelled", ["Member_Account", "Modified_Account"])
def test_page_against_page_the_changed_member_has_two_names(spelled: str) -> None:
    made = event("Group.CallbackAfterMemberFieldChanged", {**GROUP, spelled: "bo", "Role": "Admin"})
    assert (made.subject, made.data["role"]) == ("group/@TGS#1/member/bo", "admin")


def test_page_against_page_mentions_of_everybody_name_nobody() -> None:
    mentioned = [
        {"GroupAtAllFlag": 1},
        {"GroupAtAllFlag": 0, "GroupAt_Account": "bo"},
        {"GroupAt_Account": ""},
    ]
    made = data("Group.CallbackAfterSendMsg", {**GROUP, "GroupAtInfo": mentioned})
    assert (made["mentions_all"], made["mentioned_ids"]) == (True, ["bo"])


def test_samples_as_test_data_hold_comments_and_are_kept_as_they_are() -> None:
    body = b'{"GroupId": "g", // group id\n "EventTime": "1761000123456"}'
    made = event("Group.CallbackAfterGroupFull", body)
    assert made.type == UNRECOGNIZED
    assert "body_base64" in made.data["origin"]


def test_unknown_commands_are_kept_and_so_are_unknown_kinds_of_leaving() -> None:
    left = {**GROUP, "ExitMemberList": [{"Member_Account": "eli"}]}
    kinds = {"Quit": "im.group.member.left.v1", "Kicked": "im.group.member.kicked.v1"}
    for told, event_type in kinds.items():
        assert event("Group.CallbackAfterMemberExit", {**left, "ExitType": told}).type == event_type
    for strange in ("Abducted", "quit", "", None, 5):
        assert event("Group.CallbackAfterMemberExit", {**left, "ExitType": strange}).type == UNRECOGNIZED
    assert CATALOG.find("tencent", "C2C.CallbackAfterMsgPinned") is None


def test_message_elements_are_named_and_their_content_is_opaque() -> None:
    odd = {"Deep": [None, {"x": 1.5}]}
    body = {
        **GROUP,
        "MsgBody": [{"MsgType": "TIMImageElem", "MsgContent": odd}, {"MsgType": "TIMNewElem"}, {}],
    }
    made = data("Group.CallbackAfterSendMsg", body)
    assert made["content"] == [
        {"kind": "image", "vendor_kind": "TIMImageElem", "body": odd},
        {"kind": "other", "vendor_kind": "TIMNewElem"},
        {"kind": "other"},
    ]


@pytest.mark.parametrize(
    ("told", "flag"), [(0, False), (1, True), ("1", True), (True, True), (2, None), ("", None)]
)
def test_flags_are_booleans(told: Any, flag: bool | None) -> None:
    assert data("Group.CallbackAfterSendMsg", {**GROUP, "OnlineOnlyFlag": told}).get("online_only") == flag


def test_a_conversation_of_two_has_one_id_whoever_speaks() -> None:
    one = event("C2C.CallbackAfterSendMsg", {"From_Account": "bo", "To_Account": "ada"})
    other = event("C2C.CallbackAfterSendMsg", {"From_Account": "ada", "To_Account": "bo"})
    assert one.partitionkey == other.partitionkey == "si_ada_bo"


@pytest.mark.parametrize(
    ("action", "state"), [("Login", "online"), ("Disconnect", "disconnected"), ("Busy", "Busy")]
)
def test_presence_is_an_open_list_and_the_platform_stands_in_the_query(action: str, state: str) -> None:
    made = event("State.StateChange", {"Info": {"Action": action, "To_Account": "a"}}, "&OptPlatform=IOS")
    assert (made.data["state"], made.data["platform"]) == (state, "IOS")


def test_a_profile_names_nickname_and_picture_beside_all_tags() -> None:
    items = [{"Tag": "Tag_Profile_IM_Image", "Value": "u"}, {"Tag": "Tag_Profile_Custom_Age", "Value": 7}]
    made = data("Profile.CallbackPortraitSet", {"From_Account": "a", "ProfileItem": items})
    assert made["avatar_url"] == "u"
    assert "nickname" not in made
    assert made["profile"][1] == {"tag": "Tag_Profile_Custom_Age", "value": 7}
