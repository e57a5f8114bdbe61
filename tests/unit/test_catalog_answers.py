"""Before-commands: what each row says can be answered, and what a decision about it looks like."""

from pathlib import Path

import orjson
import pytest

from bridge.providers.tencent import TencentProvider
from schemas.catalog import CommandSpec
from schemas.catalog_readme import EVENTS
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect
from schemas.dialects.tencent import COMMANDS
from tests.samples import CATALOG, MOMENT, SAMPLES
from tests.verdicts import verdict

BEFORE = [spec for spec in CATALOG if spec.provider == "tencent" and spec.phase == "before"]
EACH = pytest.mark.parametrize("spec", BEFORE, ids=lambda spec: spec.name)
ALLOW = Decision(Effect(), Effect())


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.decided.v1.json")), ids=lambda path: path.stem)
def test_every_schema_of_a_decision_describes_the_same_decision(path: Path) -> None:
    schema = orjson.loads(path.read_bytes())
    invite = orjson.loads((EVENTS / "im.group.invite.decided.v1.json").read_bytes())
    assert schema["$defs"]["decision"] == invite["$defs"]["decision"]
    assert "decision" in schema["required"]


def test_the_before_commands_are_those_the_vendor_waits_for() -> None:
    assert {spec.name for spec in BEFORE} == set(COMMANDS)


@EACH
def test_a_row_declares_what_the_vendor_reads(spec: CommandSpec) -> None:
    answers, told = spec.answers, COMMANDS[spec.name]
    low, high = answers.codes
    assert range(low, high + 1) == told.codes
    assert answers.deny_code in told.codes or answers.deny_code == 1
    assert (answers.refuse_some or "") == told.refused
    assert (answers.drop_code == 2) == told.drops
    assert sorted(answers.modify.values()) == sorted([*told.replaces, *filter(None, [told.must])])
    assert (answers.per_target or "") == (told.people if told.verdicts else "")
    assert list(answers.constant) == ([told.must] if told.must else [])


@EACH
def test_the_neutral_allow_of_every_before_command_is_legal(spec: CommandSpec) -> None:
    for sample in SAMPLES:
        if sample.spec() == spec:
            asked = sample.callback().json
            reply = TencentProvider().reply(spec.answers, ALLOW, asked)
            assert verdict("tencent", reply.body, spec.name, asked) == "allow"


@EACH
def test_the_people_a_question_is_about_are_named(spec: CommandSpec) -> None:
    named = {
        "Group.CallbackBeforeCreateGroup": ("bo", "cy"),
        "Group.CallbackBeforeApplyJoinGroup": ("dee",),
        "Group.CallbackBeforeInviteJoinGroup": ("jared", "tommy"),
        "OfficialAccount.CallbackBeforeAddSubscriber": ("bo", "cy"),
        "Sns.CallbackPrevFriendAdd": ("bo", "cy"),
        "Sns.CallbackPrevFriendResponse": ("ada",),
    }
    sample = next(one for one in SAMPLES if one.spec() == spec)
    asked = sample.callback()._replace(json=spec.row.example)
    assert spec.question(asked).members == named.get(spec.name, ())


@EACH
def test_whatever_is_decided_the_event_says_what_was_wanted_and_sent(spec: CommandSpec) -> None:
    sample = next(one for one in SAMPLES if one.spec() == spec)
    question = spec.question(sample.callback())
    changed = Effect("modify", changes={"extension": "x"})
    event = spec.decided(question, Decision(changed, Effect("deny")), MOMENT)
    assert (event.type, event.data["decision"]["wanted"]) == (spec.type, "modify")
    assert event.data["decision"]["changes"] == {"extension": "x"}


PLAIN = Answers(deny_code=1)
RICH = Answers(1, drop_code=2, modify={"content": "MsgBody"}, refuse_some="Refused")
SOME, CHANGED = Effect("refuse_members", ("a",)), Effect("modify", changes={"content": []})


@pytest.mark.parametrize("effect", [Effect("allow"), Effect("deny"), Effect("drop"), SOME, CHANGED])
def test_what_the_vendor_has_no_words_for_is_refused(effect: Effect) -> None:
    assert RICH.express(effect) == effect
    assert PLAIN.express(effect) == (effect if effect.kind in {"allow", "deny"} else Effect("deny"))


def test_a_change_of_a_field_the_vendor_cannot_change_is_refused() -> None:
    assert RICH.express(Effect("modify", changes={"content": [], "sender_id": "x"})) == Effect("deny")
