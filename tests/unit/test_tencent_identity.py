"""Tencent's callbacks told apart: another member, another group, later, the same person again; repeats."""

from copy import deepcopy
from itertools import combinations
from typing import Any

import orjson
import pytest

from schemas.callback import Callback
from schemas.catalog_readme import is_undated
from schemas.envelope import Envelope
from tests.samples import CATALOG, MOMENT, SAMPLES, events_of, receive

QUERY = "/?SdkAppid=1400000000&CallbackCommand="
LATER = MOMENT + (60_000 << 16)
MS, SECONDS = 1_761_000_123_999, 1_761_000_999
AFTER = [spec for spec in CATALOG if spec.provider == "tencent" and spec.phase == "after"]
EACH = pytest.mark.parametrize("command", [spec.name for spec in AFTER])
SAMPLE = {
    spec.name: sample
    for sample in sorted(SAMPLES, key=lambda sample: len(sample.name), reverse=True)
    if (spec := sample.spec()) is not None and spec.provider == "tencent"
}
"""The plainest sample of each command."""

Changes = dict[str, Any]
GROUP: Changes = {"GroupId": "@TGS#other"}
AT: Changes = {"EventTime": MS}
PAIRS: list[Changes] = [
    {"PairList": [{"From_Account": "ada", "To_Account": "zoe"}]},
    {"PairList": [{"From_Account": "zoe", "To_Account": "bo"}]},
]
MESSAGE: list[Changes] = [{"MsgKey": "1_2_1761000123"}, {"To_Account": "zoe"}, {"From_Account": "zoe"}]
GROUP_MESSAGE: list[Changes] = [
    GROUP,
    {"MsgSeq": 51},
    {"Random": 1},
    {"From_Account": "zoe"},
    AT,
    {"TopicId": "@TOPIC#9"},
]
ACCOUNT: Changes = {"Official_Account": "@TOA#_other"}
PUSHED: list[Changes] = [
    {"Events.0.To_Account": "zoe"},
    {"Events.0.PushStage": 2},
    {"Events.0.EventTime": SECONDS},
    {"Events.0.PushPlatform": 7},
    {"Events.0.ErrCode": 5},
]
VARIED: dict[str, list[Changes]] = {
    "State.StateChange": [
        {"Info.To_Account": "zoe"},
        {"Info.Action": "Logout"},
        {"Info.Reason": "TimeOut"},
        AT,
        {"?OptPlatform": "Web"},
    ],
    "Profile.CallbackPortraitSet": [{"From_Account": "zoe"}, AT, {"ProfileItem": [{"Tag": "T", "Value": 1}]}],
    "Sns.CallbackFriendAdd": PAIRS,
    "Sns.CallbackFriendDelete": PAIRS,
    "Sns.CallbackBlackListAdd": PAIRS,
    "Sns.CallbackBlackListDelete": PAIRS,
    "Follow.CallbackAfterFollowAdd": [{"From_Account": "zoe"}, {"FollowList": [{"To_Account": "zoe"}]}, AT],
    "Follow.CallbackAfterFollowDelete": [{"From_Account": "zoe"}, {"To_Account": ["zoe"]}, AT],
    "C2C.CallbackAfterSendMsg": [*MESSAGE, {"SendMsgResult": 20006}],
    "C2C.CallbackAfterMsgReport": [
        {"Report_Account": "zoe"},
        {"Peer_Account": "zoe"},
        {"LastReadTime": SECONDS},
        {"UnreadMsgNum": 9},
        AT,
    ],
    "C2C.CallbackAfterMsgWithDraw": MESSAGE,
    "C2C.CallbackAfterMsgReadReceipt": [
        {"Operator_Account": "zoe"},
        {"Peer_Account": "zoe"},
        {"C2CMsgInfo": [{"MsgKey": "1_2_3"}]},
        AT,
    ],
    "C2C.CallbackAfterModifyMsg": [*MESSAGE, AT],
    "C2C.CallbackAfterMsgReadAll": [{"Report_Account": "zoe"}, AT],
    "C2C.CallbackAfterC2CMsgExtension": [*MESSAGE, {"Seq": 10}, AT],
    "Group.CallbackAfterCreateGroup": [GROUP, AT],
    "Group.CallbackAfterNewMemberJoin": [GROUP, {"NewMemberList": [{"Member_Account": "zoe"}]}, AT],
    "Group.CallbackAfterMemberExit": [GROUP, {"ExitMemberList": [{"Member_Account": "zoe"}]}, AT],
    "Group.CallbackAfterSendMsg": GROUP_MESSAGE,
    "Group.CallbackAfterGroupFull": [GROUP, AT],
    "Group.CallbackAfterGroupDestroyed": [GROUP, AT],
    "Group.CallbackAfterGroupInfoChanged": [GROUP, {"Name": "Other"}, AT],
    "Group.CallbackAfterRecallMsg": [GROUP, {"MsgSeqList": [{"MsgSeq": 7}]}, {"TopicId": "@TOPIC#9"}, AT],
    "Group.CallbackSendMsgException": [GROUP, {"From_Account": "zoe"}, {"Random": 1}, AT],
    "Group.CallbackAfterMemberFieldChanged": [GROUP, {"Member_Account": "zoe"}, {"Role": "Member"}, AT],
    "Group.CallbackAfterGroupAttrChanged": [GROUP, {"OptionType": "delete"}, {"GroupAttr": []}, AT],
    "Group.CallbackAfterReadReceipt": [
        GROUP,
        {"GroupMsgReceiptList.0.MsgSeq": 50},
        {"GroupMsgReceiptList.0.ReadReceiptMembers": [{"Member_Account": "zoe"}]},
        AT,
    ],
    "Group.CallbackAfterChangeGroupOwner": [GROUP, {"NewOwner_Account": "zoe"}, AT],
    "Group.CallbackOnDailyGroupQuotaAlarm": [{"QuotaUsed": 7200}, AT],
    "Group.CallbackAfterGroupMsgExtension": [GROUP, {"MsgSeq": 50}, {"Seq": 10}, AT],
    "Group.CallbackAfterModifyMsg": [GROUP, {"MsgSeq": 50}, {"TopicId": "@TOPIC#9"}, AT],
    "Group.CallbackOnMemberStateChange": [GROUP, {"EventType": "Online"}],
    "Group.CallbackAfterCreateTopic": [GROUP, {"TopicId": "@TOPIC#9"}],
    "Group.CallbackAfterTopicDestroyed": [GROUP, {"TopicIdList": ["@TOPIC#9"]}],
    "Group.CallbackAfterTopicInfoChanged": [GROUP, {"Notification": "Boats leave at 9"}],
    "OfficialAccount.CallbackAfterCreateOfficialAccount": [ACCOUNT, AT],
    "OfficialAccount.CallbackAfterOfficialAccountInfoChanged": [ACCOUNT, {"Name": "Other"}, AT],
    "OfficialAccount.CallbackAfterOfficialAccountDestroyed": [ACCOUNT, AT],
    "OfficialAccount.CallbackAfterAddSubscriber": [
        ACCOUNT,
        {"SubscribeAccountList": [{"Subscriber_Account": "zoe"}]},
        AT,
    ],
    "OfficialAccount.CallbackAfterOfficialAccountFull": [ACCOUNT, AT],
    "OfficialAccount.CallbackAfterDeleteSubscriber": [
        ACCOUNT,
        {"SubscribeAccountList": [{"Subscriber_Account": "zoe"}]},
        AT,
    ],
    "OfficialAccount.CallbackAfterSendMsg": [ACCOUNT, {"MsgKey": "1_2_3"}],
    "OfficialAccount.CallbackAfterMsgWithDraw": [ACCOUNT, {"WithdrawMsgList": [{"MsgKey": "1_2_3"}]}],
    "Bot.OnC2CMessage": [*MESSAGE, {"SendMsgResult": 1}],
    "Bot.OnGroupMessage": GROUP_MESSAGE,
    "Push.AllMemberPush": [*PUSHED, {"Events.0.TaskId": "task_other"}],
    "Push.OfflinePush": [*PUSHED, {"Events.0.MsgSeq": 50}, {"Events.0.GroupID": "@TGS#other"}],
    "Alert.RequestOverLimit": [{"ServiceName": "other"}, {"Request": 171}],
    "ContentCallback.ResultNotify": [{"CtxcbRequestId": "cm-1f2e-78"}],
}
"""What makes another genuine callback of the sample: changed fields, by path; ``?`` stands for the query."""


def test_every_after_command_has_callbacks_that_differ() -> None:
    assert set(VARIED) == {spec.name for spec in AFTER}


def callback(
    command: str, changed: dict[str, Any], *, request_id: str = "", moment: int = MOMENT
) -> Callback:
    body, platform = orjson.loads(SAMPLE[command].body), "RESTAPI"
    for path, value in changed.items():
        if path.startswith("?"):
            platform = value
        else:
            body = _changed(body, path.split("."), value)
    tail = f"&RequestID={request_id}" if request_id else ""
    return receive(f"{QUERY}{command}&OptPlatform={platform}{tail}", {}, orjson.dumps(body), moment)


def _changed(body: Any, path: list[str], value: Any) -> Any:
    body, last = deepcopy(body), path[-1]
    inner = body
    for key in path[:-1]:
        inner = inner[int(key) if isinstance(inner, list) else key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return body


def first(made: Callback) -> Envelope:
    spec = CATALOG.find("tencent", made.command)
    assert spec is not None
    event = events_of(made, spec)[0]
    assert event.type != "im.unrecognized.v1", event.data["reason"]
    return event


@EACH
def test_genuine_callbacks_have_different_ids(command: str) -> None:
    made = [first(callback(command, changed, request_id="r1")) for changed in ({}, *VARIED[command])]
    elsewhere = first(callback(command, {}, request_id="r1")._replace(app="1400000001"))
    for one, other in combinations([*made, elsewhere], 2):
        assert one.id != other.id


@EACH
def test_a_repeat_keeps_its_id_however_much_later_it_comes(command: str) -> None:
    for changed in ({}, *VARIED[command]):
        once = first(callback(command, changed, request_id="r1"))
        assert once.id == first(callback(command, changed, request_id="r1", moment=LATER)).id


@EACH
def test_without_a_request_id_a_repeat_keeps_its_id_where_the_body_tells(command: str) -> None:
    spec = CATALOG.find("tencent", command)
    assert spec is not None
    same = first(callback(command, {})).id == first(callback(command, {}, moment=LATER)).id
    assert same != is_undated(spec.row)


@pytest.mark.parametrize(
    "spec", [spec for spec in AFTER if spec.row.batch is None], ids=lambda spec: spec.name
)
@pytest.mark.parametrize("silent", [..., None, ""])
def test_documented_samples_that_lack_their_time_do_not_merge(spec: Any, silent: Any) -> None:
    """Two callbacks without time differ by what else they say, or are kept as two events."""
    body = orjson.loads(SAMPLE[spec.name].body)
    gone = {time.path: silent for time in spec.row.time if time.path in body}
    variants = [{**changed, **gone} for changed in VARIED[spec.name] if not set(changed) & set(gone)]
    told = [callback(spec.name, changed, moment=MOMENT + n) for n, changed in enumerate([gone, *variants])]
    made = [first(one).id for one in told]
    assert len(set(made)) == len(made)


def test_one_call_that_sends_to_many_makes_as_many_events() -> None:
    """Sending in a batch gives all copies the same sequence and random, so the same key."""
    command = "C2C.CallbackAfterSendMsg"
    to_bo, to_cy = (first(callback(command, {"To_Account": user})) for user in ("bo", "cy"))
    assert to_bo.data["message_key"] == to_cy.data["message_key"]
    assert to_bo.id != to_cy.id


@pytest.mark.parametrize("command", ["Group.CallbackAfterSendMsg", "Bot.OnGroupMessage"])
def test_messages_outside_topics_have_a_natural_identity_as_well(command: str) -> None:
    plain = {"TopicId": ...}
    once, again = callback(command, plain), callback(command, {**plain, "CloudCustomData": "rewritten"})
    assert first(once).id == first(again).id
    assert first(once).id != first(callback(command, {})).id


def test_a_push_keeps_its_id_in_whatever_batch_it_comes() -> None:
    command = "Push.AllMemberPush"
    sent = orjson.loads(SAMPLE[command].body)["Events"]
    spec = CATALOG.find("tencent", command)
    assert spec is not None
    together = [event.id for event in spec.normalize(callback(command, {}))]
    alone = [first(callback(command, {"Events": [event]})).id for event in sent]
    swapped = [event.id for event in spec.normalize(callback(command, {"Events": sent[::-1]}))]
    assert together == alone == swapped[::-1]


def test_two_results_that_nothing_tells_apart_are_two_events_of_one_batch() -> None:
    command = "Push.AllMemberPush"
    sent = orjson.loads(SAMPLE[command].body)["Events"]
    spec = CATALOG.find("tencent", command)
    assert spec is not None
    twice = callback(command, {"Events": [sent[0], sent[0], sent[0]]})
    ids = [event.id for event in spec.normalize(twice)]
    assert len(set(ids)) == 3
    assert ids == [event.id for event in spec.normalize(twice._replace(moment=LATER))]
