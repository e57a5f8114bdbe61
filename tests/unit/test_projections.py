"""Events whose data has not the agreed shape are poison for themselves; what is not known is ignored."""

from typing import Any

import orjson
import pytest

from bridge.errors import PoisonRecord
from consumers.projections.base import Projection
from consumers.projections.decisions import DecisionsProjection, decided
from consumers.projections.groups import GroupsProjection
from consumers.projections.known import PROJECTIONS
from schemas.callback import Callback
from schemas.catalog import CommandSpec
from schemas.catalog_readme import EVENTS
from schemas.topics import TOPICS
from tests.consuming import event
from tests.samples import CATALOG, SAMPLES, Sample, decision_on, receive

MEMBERS = [{"user_id": "u1"}]
ANSWER = {"wanted": "allow", "sent": "allow"}
OPENIM = "/im/openim/openim"


BEFORE = [spec for spec in CATALOG if spec.phase == "before"]
ASKED = [sample for sample in SAMPLES if (spec := sample.spec()) is not None and spec.phase == "before"]


def rows(projection: Projection, *events: Any) -> int:
    return sum(len(effect.rows) for effect in projection.effects(events))


def test_projections_are_known_by_their_names_and_read_topics_there_are() -> None:
    assert {name: projection.name for name, projection in PROJECTIONS.items()} == {
        "groups": "groups",
        "decisions": "decisions",
    }
    assert all(topic in TOPICS for projection in PROJECTIONS.values() for topic in projection.topics)


@pytest.mark.parametrize("projection", PROJECTIONS.values(), ids=PROJECTIONS)
def test_event_types_it_does_not_know_have_no_effect(projection: Projection) -> None:
    unknown = event("group.painted", {"group_id": 7})
    assert unknown.type not in projection.types
    assert rows(projection, unknown) == 0


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("created", {}, "group_id is missing"),
        ("created", {"group_id": ""}, "group_id is missing"),
        ("created", {"group_id": 7}, "group_id must be text, got an integer"),
        ("created", {"group_id": "a\0b"}, "group_id contains a NUL character"),
        ("created", {"group_id": "g", "members": {}}, "members must be a list, got an object"),
        ("created", {"group_id": "g", "members": ["u1"]}, "members must be a list of objects"),
        ("created", {"group_id": "g", "owner_id": ["u1"]}, "owner_id must be text, got a list"),
        ("created", {"group_id": "g", "custom_data": [{"value": "v"}]}, "key is missing"),
        (
            "created",
            {"group_id": "g", "custom_data": [{"key": "k", "value": 1.5}]},
            "value must be text, got a float",
        ),
        ("member.joined", {"group_id": "g"}, "members is missing or empty"),
        ("member.joined", {"group_id": "g", "members": [{}]}, "user_id is missing"),
        ("member.joined", {"group_id": "g", "members": [{"user_id": None}]}, "user_id is missing"),
        ("member.updated", {"group_id": "g"}, "user_id is missing"),
        (
            "member.updated",
            {"group_id": "g", "user_id": "u", "role": 20},
            "role must be text, got an integer",
        ),
        ("member.left", {"group_id": "g", "members": []}, "members is missing or empty"),
        ("owner.transferred", {"group_id": "g"}, "new_owner_id is missing"),
        ("updated", {"group_id": "g", "name": True}, "name must be text, got a boolean"),
    ],
)
def test_a_wrong_shape_is_named(name: str, data: dict[str, Any], why: str) -> None:
    with pytest.raises(PoisonRecord, match=f"^{why}$"):
        GroupsProjection().effects([event(f"group.{name}", data)])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "decision is missing"),
        ({"decision": []}, "decision must be an object, got a list"),
        ({"decision": {"wanted": "allow"}}, "sent is missing"),
        ({"decision": {**ANSWER, "elapsed_us": "1"}}, "elapsed_us must be an integer, got text"),
        ({"decision": {**ANSWER, "elapsed_us": True}}, "elapsed_us is no 64-bit integer"),
        ({"decision": {**ANSWER, "elapsed_us": 2**63}}, "elapsed_us is no 64-bit integer"),
        ({"decision": {**ANSWER, "facts": []}}, "facts must be an object, got a list"),
        ({"decision": ANSWER, "invitee_ids": [1]}, "invitee_ids must be text, got an integer"),
        ({"decision": ANSWER, "invitee_ids": [{"id": "a"}]}, "user_id is missing"),
        ({"decision": ANSWER, "origin": {"command": 7}}, "command must be text, got an integer"),
        ({"decision": ANSWER, "group_id": ["g"]}, "group_id must be text, got a list"),
    ],
)
def test_a_wrong_decision_is_named(data: dict[str, Any], why: str) -> None:
    with pytest.raises(PoisonRecord, match=f"^{why}$"):
        DecisionsProjection().effects([event("group.invite.decided", {"group_id": "g", **data})])


def asked_as(callback: Callback, spec: CommandSpec) -> None:
    """Check that the row of a decision says of its question what the rules were told of it."""
    question = spec.question(callback)
    (effect,) = DecisionsProjection().effects([spec.decided(question, decision_on(spec), callback.moment)])
    (row,) = effect.rows
    found = {name: row[name] for name in ("act", "command", "subject", "group_id", "inviter_id")}
    assert found == {
        "act": question.act,
        "command": spec.name,
        "subject": question.subject,
        "group_id": question.data.get("group_id"),
        "inviter_id": question.data.get("inviter_id"),
    }
    assert orjson.loads(row["members"]) == list(question.members)
    invited = question.members if question.act == "invite" else ()
    assert orjson.loads(row["invitee_ids"]) == list(invited)


@pytest.mark.parametrize("spec", BEFORE, ids=lambda spec: spec.name)
def test_every_act_a_vendor_asks_about_has_its_row(spec: CommandSpec) -> None:
    row = spec.row
    target = f"/?{row.example_query}" if row.provider == "tencent" else f"/openim/{row.name}"
    asked_as(receive(target, row.example_headers, orjson.dumps(row.example)), spec)


@pytest.mark.parametrize("sample", ASKED, ids=lambda sample: f"{sample.provider}-{sample.name}")
def test_the_row_of_every_sampled_question_says_what_was_asked(sample: Sample) -> None:
    spec = sample.spec()
    assert spec is not None
    asked_as(sample.callback(), spec)


def test_every_type_of_decision_there_is_is_kept() -> None:
    assert decided().keys() == {path.stem for path in EVENTS.glob("*.decided.v1.json")}
    assert set(DecisionsProjection().types) == decided().keys()


def test_a_decision_on_a_command_this_version_does_not_know_keeps_the_name_as_sent() -> None:
    data = {"decision": ANSWER, "origin": {"command": "Group.CallbackBeforePaint"}}
    (effect,) = DecisionsProjection().effects([event("group.update.decided", data)])
    assert [(row["act"], row["command"]) for row in effect.rows] == [
        ("update_group", "Group.CallbackBeforePaint")
    ]


def test_a_decision_whose_subject_no_database_can_hold_is_named() -> None:
    wrong = event("message.send.decided", {"decision": ANSWER})._replace(subject="conversation/a\0b")
    with pytest.raises(PoisonRecord, match="subject contains a NUL character"):
        DecisionsProjection().effects([wrong])


@pytest.mark.parametrize(
    "source", ["", "/im/tencent", "/im//1", "/im/tencent/", "im/tencent/1", "/im/tencent/a\0b"]
)
def test_a_source_that_names_no_application_is_poison(source: str) -> None:
    with pytest.raises(PoisonRecord, match="source must be /im/provider/app"):
        GroupsProjection().effects([event("group.dismissed", {"group_id": "g"}, source=source)])


def test_a_version_over_63_bits_is_poison() -> None:
    with pytest.raises(PoisonRecord, match="sequence 8000000000000000"):
        GroupsProjection().effects(
            [event("group.dismissed", {"group_id": "g"}, 2**63 - 1)._replace(sequence=f"{2**63:x}")]
        )


def test_a_batch_has_one_write_for_each_register_of_each_row() -> None:
    joined = [
        event("group.member.joined", {"group_id": "g", "members": MEMBERS}, number << 16, f"e{number}")
        for number in range(1, 9)
    ]
    assert rows(GroupsProjection(), *joined) == 2  # the group is there, and when the member joined last


def test_a_refused_invitation_writes_nothing_into_the_groups() -> None:
    data = {"group_id": "g", "invitee_ids": ["u1"], "decision": {**ANSWER, "sent": "deny"}}
    assert rows(GroupsProjection(), event("group.invite.decided", data, source=OPENIM)) == 0
