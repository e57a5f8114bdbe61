"""From request to event: golden files, identities, times, conversions, and bodies nobody expects."""

from base64 import b64decode
from itertools import combinations
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.callback import UNPARSED, Callback
from schemas.catalog import UNRECOGNIZED, CommandSpec, Misfit
from schemas.catalog_readme import EVENTS
from schemas.envelope import Envelope
from schemas.normalize.lossless import read_json
from tests.samples import CATALOG, DECISION, MOMENT, SAMPLES, Sample, events_of, receive

SCHEMAS = {
    path.stem: jsonschema_rs.validator_for(orjson.loads(path.read_bytes())) for path in EVENTS.glob("*.json")
}
EACH_SAMPLE = pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda sample: f"{sample.provider}/{sample.name}"
)
QUERY = "/?SdkAppid=1400000000&CallbackCommand="
CREATED, JOINED = "Group.CallbackAfterCreateGroup", "Group.CallbackAfterNewMemberJoin"
OPENIM_JOINED, UPDATED = "callbackAfterJoinGroupCommand", "callbackAfterSetGroupMemberInfoCommand"
LATER = MOMENT + (60_000 << 16)
EVENT_MS = 1_670_574_414_123


def tencent(command: str, body: Any, *, extra: str = "", moment: int = MOMENT) -> Callback:
    return receive(f"{QUERY}{command}{extra}", {}, orjson.dumps(body), moment)


def openim(command: str, body: Any, *, operation: str = "op1", moment: int = MOMENT) -> Callback:
    headers = {"operationID": operation} if operation else {}
    return receive(f"/openim/{command}", headers, orjson.dumps(body), moment)


def event(callback: Callback) -> Envelope:
    spec = CATALOG.find(callback.provider, callback.command)
    assert spec is not None
    (only,) = events_of(callback, spec)
    return only


def joined(**changed: Any) -> dict[str, Any]:
    body = {
        "GroupId": "@TGS#1",
        "JoinType": "Apply",
        "NewMemberList": [{"Member_Account": "jared"}],
        "EventTime": EVENT_MS,
    }
    return {name: value for name, value in {**body, **changed}.items() if value is not ...}


# Golden files and schemas


@EACH_SAMPLE
def test_a_sample_becomes_its_golden_event(sample: Sample) -> None:
    told = [_golden(made) for made in sample.events()]
    got = told[0] if len(told) == 1 else told
    if not sample.golden.exists():
        sample.golden.write_bytes(orjson.dumps(got, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        pytest.fail(f"{sample.golden} was missing and is written now: look at it")
    assert got == orjson.loads(sample.golden.read_bytes())


def _golden(made: Envelope) -> dict[str, Any]:
    got: dict[str, Any] = orjson.loads(made.structured())
    return {**got, "id": "new for every question asked"} if made.type.endswith(".decided.v1") else got


@EACH_SAMPLE
def test_the_event_of_a_sample_fits_its_schema(sample: Sample) -> None:
    for made in sample.events():
        SCHEMAS[made.type].validate(made.data)


@EACH_SAMPLE
def test_the_event_of_a_sample_carries_no_field_its_schema_does_not_name(sample: Sample) -> None:
    for made in sample.events():
        schema = orjson.loads((EVENTS / f"{made.type}.json").read_bytes())
        assert set(made.data) <= set(schema["properties"])


@EACH_SAMPLE
def test_the_body_comes_back_from_the_origin(sample: Sample) -> None:
    said = [body_of(made.data["origin"]) for made in sample.events()]
    if len(said) > 1:
        said = [{**said[0], "Events": [event for one in said for event in one["Events"]]}]
    whole = read_json(sample.body)
    assert said == [sample.body if whole is UNPARSED else whole]


def body_of(origin: dict[str, Any]) -> Any:
    return b64decode(origin["body_base64"]) if "body_base64" in origin else origin["body"]


# Identity: a repeat has the same id, two genuine callbacks never do

DIFFERENT: dict[str, list[Callback]] = {
    CREATED: [
        tencent(CREATED, {"GroupId": "g1", "EventTime": EVENT_MS}),
        tencent(CREATED, {"GroupId": "g2", "EventTime": EVENT_MS}),
        tencent(CREATED, {"GroupId": "g1", "EventTime": EVENT_MS + 1}),
        tencent(CREATED, {"GroupId": "g1", "EventTime": EVENT_MS + 86_400_000}),
    ],
    JOINED: [
        tencent(JOINED, joined()),
        tencent(JOINED, joined(GroupId="@TGS#2")),
        tencent(JOINED, joined(NewMemberList=[{"Member_Account": "tommy"}])),
        tencent(JOINED, joined(NewMemberList=[{"Member_Account": "jared"}, {"Member_Account": "tommy"}])),
        tencent(JOINED, joined(EventTime=EVENT_MS + 1)),
        tencent(JOINED, joined())._replace(app="1400000001"),
    ],
    OPENIM_JOINED: [
        openim(OPENIM_JOINED, {"groupID": "1", "userID": "2"}),
        openim(OPENIM_JOINED, {"groupID": "1", "userID": "3"}),
        openim(OPENIM_JOINED, {"groupID": "2", "userID": "2"}),
        openim(OPENIM_JOINED, {"groupID": "1", "userID": "2"}, operation="op2"),
        openim(OPENIM_JOINED, {"groupID": "1", "userID": "2", "ex": "x"}),
    ],
    UPDATED: [
        openim(UPDATED, {"groupID": "1", "userID": "2", "nickName": "a"}),
        openim(UPDATED, {"groupID": "1", "userID": "2", "nickName": "b"}),
        openim(UPDATED, {"groupID": "1", "userID": "3", "nickName": "a"}),
        openim(UPDATED, {"groupID": "1", "userID": "2", "nickName": "a"}, operation="op2"),
    ],
}
EACH_AFTER = pytest.mark.parametrize("command", DIFFERENT)


@EACH_AFTER
def test_genuine_callbacks_of_one_command_have_different_ids(command: str) -> None:
    for one, other in combinations(DIFFERENT[command], 2):
        assert event(one).id != event(other).id


@EACH_AFTER
def test_a_repeat_keeps_its_id_however_much_later_it_comes(command: str) -> None:
    for callback in DIFFERENT[command]:
        assert event(callback).id == event(callback._replace(moment=LATER)).id


@pytest.mark.parametrize("silent", [..., None, ""])
@pytest.mark.parametrize("missing", ["EventTime"])
def test_without_a_part_of_its_identity_operation_id_and_body_stand_in(missing: str, silent: Any) -> None:
    body = joined(**{missing: silent})
    first = event(tencent(JOINED, body, extra="&RequestID=r1"))
    assert first.id == event(tencent(JOINED, body, extra="&RequestID=r1", moment=LATER)).id
    assert first.id != event(tencent(JOINED, body, extra="&RequestID=r2")).id
    assert first.id != event(tencent(JOINED, {**body, "Type": "Public"}, extra="&RequestID=r1")).id


def test_where_nothing_tells_a_repeat_from_a_second_callback_both_are_kept() -> None:
    body = joined(EventTime=...)
    assert event(tencent(JOINED, body)).id != event(tencent(JOINED, body, moment=MOMENT + 1)).id
    patch = {"groupID": "1", "userID": "2", "nickName": "a"}
    assert (
        event(openim(UPDATED, patch, operation="")).id
        != event(openim(UPDATED, patch, operation="", moment=MOMENT + 1)).id
    )


def test_a_time_tells_them_apart_also_where_the_command_is_unknown() -> None:
    def kept(body: Any, moment: int) -> str:
        return CATALOG.unrecognized(tencent("Group.CallbackAfterNews", body, moment=moment), "unknown").id

    dated, undated = {"EventTime": EVENT_MS}, {"GroupId": "g"}
    assert kept(dated, MOMENT) == kept(dated, LATER)
    assert kept(undated, MOMENT) != kept(undated, LATER)


def test_the_time_in_quotes_is_the_same_time() -> None:
    assert event(tencent(JOINED, joined())).id == event(tencent(JOINED, joined(EventTime=str(EVENT_MS)))).id


def test_an_alias_does_not_change_the_id() -> None:
    body = {"groupID": "1", "userID": "2"}
    assert (
        event(openim(OPENIM_JOINED, body)).id == event(openim("callbackAfterMemberJoinGroupCommand", body)).id
    )


def test_ids_are_lower_case_base32_of_160_bits_after_the_provider() -> None:
    provider, _, digest = event(tencent(JOINED, joined())).id.partition("-")
    assert provider == "tencent"
    assert len(digest) == 32
    assert set(digest) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_each_question_asked_is_a_decision_of_its_own() -> None:
    sample = next(sample for sample in SAMPLES if sample.name == "before-invite-join-group")
    first, second = sample.events(), sample.events()
    assert first[0].id != second[0].id
    assert first[0]._replace(id="") == second[0]._replace(id="")


# Time and sequence


def test_timed_by_the_vendor_the_sequence_is_a_function_of_the_body() -> None:
    first, later = event(tencent(JOINED, joined())), event(tencent(JOINED, joined(), moment=LATER))
    assert first.time == later.time == "2022-12-09T08:26:54.123Z"
    assert first.sequence == later.sequence == f"{EVENT_MS << 16:016x}"
    assert first.timebasis is None
    assert (first.recordedtime, later.recordedtime) == (
        "2026-02-13T16:26:40.000Z",
        "2026-02-13T16:27:40.000Z",
    )


RECEIVED_MS = MOMENT >> 16


@pytest.mark.parametrize(
    "told",
    [
        ...,
        None,
        "",
        0,
        -1,
        True,
        [],
        {},
        1.5,
        "soon",
        "1e12",
        " 1670574414123",
        "\uff11\uff16\uff17\uff10" * 3,
        "9" * 30,
        2**63,
        1_262_303_999_999,
        1_670_574_414,
        RECEIVED_MS + 300_001,
    ],
)
def test_an_unbelievable_time_counts_as_none(told: Any) -> None:
    made = event(tencent(JOINED, joined(EventTime=told)))
    assert made.type == "im.group.member.joined.v1"
    assert (made.time, made.timebasis) == ("2026-02-13T16:26:40.000Z", "received")
    assert made.sequence == f"{MOMENT:016x}"


@pytest.mark.parametrize("told", [1_262_304_000_000, RECEIVED_MS, RECEIVED_MS + 300_000, str(RECEIVED_MS)])
def test_times_from_2010_to_five_minutes_ahead_are_believed(told: Any) -> None:
    assert event(tencent(JOINED, joined(EventTime=told))).timebasis is None


def test_correlation_is_the_operation() -> None:
    assert event(tencent(JOINED, joined(), extra="&RequestID=r1")).correlationid == "r1"
    assert event(tencent(JOINED, joined())).correlationid is None
    assert event(openim(OPENIM_JOINED, {"groupID": "1", "userID": "2"})).correlationid == "op1"


# Fields


def test_a_patch_never_carries_a_field_the_vendor_did_not_send() -> None:
    body = {"groupID": "1", "userID": "2", "nickName": None, "faceURL": None, "roleLevel": None}
    made = event(openim(UPDATED, body))
    assert {name: value for name, value in made.data.items() if name != "origin"} == {
        "group_id": "1",
        "user_id": "2",
    }


def test_an_empty_name_was_sent_and_stays() -> None:
    made = event(openim(UPDATED, {"groupID": "1", "userID": "2", "nickName": "", "ex": ""}))
    assert (made.data["nickname"], made.data["extension"]) == ("", "")


@pytest.mark.parametrize(
    ("level", "role"),
    [
        (20, "member"),
        (60, "admin"),
        (100, "owner"),
        ("100", "owner"),
        (21, None),
        ("admin", None),
        ("", None),
    ],
)
def test_role_levels(level: Any, role: str | None) -> None:
    made = event(openim(UPDATED, {"groupID": "1", "userID": "2", "roleLevel": level}))
    assert made.data.get("role") == role


@pytest.mark.parametrize(
    ("source", "kind"), [(1, None), (2, "invited"), (3, "applied"), (4, "applied"), (None, None)]
)
def test_join_sources(source: Any, kind: str | None) -> None:
    made = event(openim(OPENIM_JOINED, {"groupID": "1", "inviterUserID": "2", "joinSource": source}))
    assert made.data.get("join_kind") == kind


def test_the_user_who_joined_is_taken_from_where_documents_or_server_put_it() -> None:
    documented = event(openim(OPENIM_JOINED, {"groupID": "1", "userID": "2", "inviterUserID": ""}))
    sent = event(openim(OPENIM_JOINED, {"groupID": "1", "userID": "", "inviterUserID": "2"}))
    assert documented.data["members"] == sent.data["members"] == [{"user_id": "2"}]


def test_an_id_sent_as_a_number_is_the_same_id() -> None:
    made = event(openim(OPENIM_JOINED, {"groupID": 12345, "userID": 2}))
    assert (made.subject, made.partitionkey) == ("group/12345", "12345")


MISFITS: list[tuple[Callback, str]] = [
    (tencent(JOINED, joined(GroupId=...)), "GroupId or GroupID or groupID is missing or empty"),
    (tencent(JOINED, joined(GroupId="")), "GroupId or GroupID or groupID is missing or empty"),
    (tencent(JOINED, joined(GroupId=["g"])), "GroupId or GroupID or groupID: an id must be text, got list"),
    (tencent(JOINED, joined(GroupId=True)), "an id must be text, got bool"),
    (tencent(JOINED, joined(GroupId="g" * 513)), "at most 512 characters"),
    (tencent(JOINED, joined(GroupId="g\n1")), "control characters"),
    (tencent(JOINED, joined(NewMemberList=[])), "missing or empty"),
    (tencent(JOINED, joined(NewMemberList={})), "NewMemberList must be a list, got dict"),
    (tencent(JOINED, joined(NewMemberList=["jared"])), "NewMemberList must hold objects, got str"),
    (tencent(JOINED, joined(NewMemberList=[{}])), "must be text, got NoneType"),
    (tencent(JOINED, joined(NewMemberList=[{"Member_Account": ""}])), "holds an empty id"),
    (tencent(JOINED, joined(Type=1)), "Type: must be text, got int"),
    (tencent(JOINED, joined(JoinType=[])), "JoinType: must be text or an integer, got list"),
    (tencent(CREATED, {"GroupId": "g", "UserDefinedDataList": [{"Value": "v"}]}), "Key is missing or empty"),
    (tencent(CREATED, {"GroupId": "g", "UserDefinedDataList": ["x"]}), "must hold objects, got str"),
    (tencent(CREATED, {"GroupId": "g", "UserDefinedDataList": "x"}), "must be a list, got str"),
    (tencent(CREATED, []), "not a JSON object"),
    (openim(UPDATED, {"groupID": "1"}), "userID is missing or empty"),
    (openim(UPDATED, {"groupID": "1", "userID": "2", "roleLevel": True}), "must be text or an integer"),
]


@pytest.mark.parametrize(("callback", "problem"), MISFITS, ids=[problem for _, problem in MISFITS])
def test_a_body_that_does_not_fit_its_row_is_kept_with_the_reason(callback: Callback, problem: str) -> None:
    made = event(callback)
    assert made.type == UNRECOGNIZED
    assert problem in made.data["reason"]
    assert made.data["origin"]["body"] == callback.json
    assert made.timebasis == "received"
    SCHEMAS[UNRECOGNIZED].validate(made.data)


def test_an_unprintable_command_does_not_reach_subject_and_key() -> None:
    made = CATALOG.unrecognized(tencent("a%0Ab%1b", {}), "unknown")
    assert (made.subject, made.partitionkey) == ("command/unknown", "unknown")
    assert made.data["origin"]["command"] == "a\nb\x1b"


def test_an_after_command_is_not_asked_and_a_question_is_not_told() -> None:
    told, asked = (
        CATALOG.find("tencent", JOINED),
        CATALOG.find("tencent", "Group.CallbackBeforeInviteJoinGroup"),
    )
    assert told is not None
    assert asked is not None
    with pytest.raises(Misfit):
        told.question(tencent(JOINED, joined()))
    with pytest.raises(Misfit):
        asked.normalize(tencent(asked.name, {}))


def test_a_question_carries_what_the_rules_need() -> None:
    body = {
        "GroupId": "g",
        "Type": "Work",
        "Operator_Account": "ada",
        "DestinationMembers": [{"Member_Account": "bo"}, {"Member_Account": "cy"}],
    }
    callback = tencent("Group.CallbackBeforeInviteJoinGroup", body)
    spec = CATALOG.find("tencent", callback.command)
    assert spec is not None
    question = spec.question(callback)
    assert (question.act, question.members, question.partial) == ("invite", ("bo", "cy"), True)
    assert (question.subject, question.partitionkey) == ("group/g", "g")
    assert question.data == {
        "group_id": "g",
        "group_type": "Work",
        "inviter_id": "ada",
        "invitee_ids": ["bo", "cy"],
    }
    decided = spec.decided(question, DECISION, callback.moment)
    assert decided.sequence == f"{MOMENT:016x}"
    assert decided.data["decision"]["sent"] == "refuse_members"


def test_openim_cannot_refuse_some() -> None:
    callback = openim("callbackBeforeInviteJoinGroupCommand", {"groupID": "g", "invitedUserIDs": ["a"]})
    spec = CATALOG.find("openim", callback.command)
    assert spec is not None
    assert not spec.question(callback).partial


# JSON that parses without loss


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"18446744073709551616",
        b"-9223372036854775809",
        b"[0.12345678901234567890123]",
        b"1e999",
        b"NaN",
        b"[Infinity]",
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"'a'",
        b"[" * 252 + b"]" * 252,
        b"[" * 2000 + b"]" * 2000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_json_that_would_lose_something_counts_as_not_parsed(body: bytes) -> None:
    assert read_json(body) is UNPARSED


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1}\n', {"a": 1}),
        (b'{ "a" : [1, 2.50, 1e2, -0, true, null] }', {"a": [1, 2.5, 100.0, 0, True, None]}),
        (b'"\\u003ca\\u003e\\/ \\ud83d\\ude00"', "<a>/ \U0001f600"),
        (b"18446744073709551615", 18446744073709551615),
        (b"[" * 251 + b"]" * 251, None),
    ],
    ids=["Go's line break", "written loosely", "escapes", "largest integer", "as deep as can be written"],
)
def test_json_written_in_other_ways_is_parsed(body: bytes, value: Any) -> None:
    read = read_json(body)
    assert read is not UNPARSED
    assert value is None or read == value


# Bodies nobody expects

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def bodies_like(example_body: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Return bodies that resemble a real one: fields missing, null, of other types, and more of them."""
    some = st.fixed_dictionaries(
        {}, optional={name: st.just(value) | JSON for name, value in example_body.items()}
    )
    more = st.dictionaries(st.text(max_size=8), JSON, max_size=3)
    whole = st.builds(lambda first, second: orjson.dumps({**second, **first}), some, more)
    return whole | st.binary(max_size=64) | st.builds(orjson.dumps, JSON)


ROWS = [(spec, bodies_like(dict(spec.row.example))) for spec in CATALOG]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ROWS).flatmap(lambda row: st.tuples(st.just(row[0]), row[1])))
@example((next(iter(CATALOG)), b"[" * 300 + b"]" * 300))
@example((next(iter(CATALOG)), b'{"groupID":"\\ud800"}'))
def test_no_body_breaks_normalizing_or_is_lost(case: tuple[CommandSpec, bytes]) -> None:
    spec, body = case
    target = f"{QUERY}{spec.name}" if spec.provider == "tencent" else f"/openim/{spec.name}"
    callback = receive(target, {}, body)
    for made in _events_of(callback, spec):
        SCHEMAS[made.type].validate(made.data)
        headers, value = made.binary()
        origin = orjson.loads(value)["origin"]
        said = body_of(origin)
        if "part" in origin:
            assert said["Events"] == [callback.json["Events"][origin["part"]["number"] - 1]]
        else:
            assert said == (body if callback.json is UNPARSED else orjson.loads(body))
        assert all(isinstance(header, str) for header in headers.values())


def _events_of(callback: Callback, spec: CommandSpec) -> list[Envelope]:
    if spec.phase == "after":
        return events_of(callback, spec)
    try:
        return [spec.decided(spec.question(callback), DECISION, callback.moment)]
    except Misfit as misfit:
        return [CATALOG.unrecognized(callback, str(misfit))]
