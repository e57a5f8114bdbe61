"""Every act, over every before-row of the catalog: its rules compile, decide, and are told legally."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from bridge.providers.base import AuthenticRequest, Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from consumers.rules.acts import known_acts
from consumers.rules.asking import ask
from consumers.rules.examination import examine
from consumers.rules.facts import entities_of, request_facts, row_facts
from schemas.catalog import CommandSpec
from schemas.decisions import Decision, Question
from schemas.dialects import openim, tencent
from schemas.dialects.readings import Reading
from tests.rules_kit import decided, documents, rule
from tests.samples import CATALOG

PROVIDERS: dict[str, Provider] = {"tencent": TencentProvider(), "openim": OpenIMProvider()}
READS = {"tencent": tencent.read_answer, "openim": openim.read_answer}
BEFORE = [spec for spec in CATALOG if spec.phase == "before"]
CODED = [spec for spec in BEFORE if spec.answers.codes[1] > 0]
PEOPLED = [spec for spec in BEFORE if spec.row.members]


def each(specs: list[CommandSpec]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.name)


def alone(spec: CommandSpec) -> dict[str, Any]:
    return {"provider": [spec.provider], "command": [spec.name]}


def asked(spec: CommandSpec, body: Mapping[str, Any] | None = None) -> tuple[Question, bytes]:
    """Return the question of the row's example, or of another body, as the ingress asks it."""
    sent = orjson.dumps(spec.row.example if body is None else body)
    query = {"OptPlatform": "RESTAPI", "ClientIP": "10.1.2.3"} if spec.provider == "tencent" else {}
    request = AuthenticRequest(spec.provider, "app", spec.name, query, "op-1")
    return spec.question(PROVIDERS[spec.provider].parse(request, sent, 7)), sent


def told(spec: CommandSpec, decision: Decision, sent: bytes) -> Any:
    """Return what the vendor reads in the answer."""
    body = orjson.loads(sent)
    reply = PROVIDERS[spec.provider].reply(spec.answers, decision, body)
    return READS[spec.provider](spec.name, sent, reply.status, reply.body)


def facts_of(question: Question) -> dict[str, Any]:
    """Return every fact a callback says."""
    facts = known_acts()[question.act].facts.values()
    values = {fact.name: fact.get(question) for fact in facts if fact.get}
    return {name: value for name, value in values.items() if value is not None}


def given_of(question: Question) -> dict[str, Any]:
    """Return the question as a rule's test writes it."""
    given: dict[str, Any] = {"members": list(question.members)} if question.members else {}
    for name, value in facts_of(question).items():
        entity, _, attribute = name.partition(".")
        if name != "request.member_count":
            given.setdefault(entity, {})[attribute] = value
    return given


def test_there_is_an_act_for_every_word_of_the_catalog_and_a_callback_for_every_act() -> None:
    assert set(known_acts()) == {spec.row.act for spec in BEFORE}
    commands = [one.command for act in known_acts().values() for one in act.asking]
    assert sorted(commands) == sorted(spec.name for spec in BEFORE)


def test_a_fact_is_of_the_same_kind_whoever_says_it_and_read_from_one_field() -> None:
    rows = [spec.row for spec in BEFORE]
    entities = entities_of(rows)
    for row in rows:
        facts = list(row_facts(row, "request", entities))
        names = [fact.name for fact in facts]
        assert len(set(names)) == len(names), row.name
        assert not set(names) & {fact.name for fact in request_facts(frozenset())}, row.name
    for act in known_acts().values():
        kinds = {
            (fact.name, fact.kind)
            for row in rows
            if row.act == act.name
            for fact in row_facts(row, "request", entities)
        }
        assert len(dict(kinds)) == len(kinds), act.name


@each(CODED)
@pytest.mark.parametrize("end", [0, 1])
def test_a_denial_with_a_code_in_range_is_read_with_that_code(spec: CommandSpec, end: int) -> None:
    code = spec.answers.codes[end]
    reason = {"text": "not now", "code": {spec.provider: code}}
    denying = rule(on=[spec.row.act], scope=alone(spec), reason=reason)
    assert examine(documents(denying), 0).problems == ()
    question, sent = asked(spec)
    decision = decided([denying], question)
    assert (decision.sent.kind, decision.reason_rule) == ("deny", "r1")
    assert told(spec, decision, sent) == Reading("deny", code, "not now")


@each(BEFORE)
def test_a_denial_without_reason_is_read_with_the_words_of_the_act(spec: CommandSpec) -> None:
    question, sent = asked(spec)
    reading = told(spec, decided([rule(on=[spec.row.act])], question), sent)
    refusal = known_acts()[spec.row.act].refusal
    assert reading == Reading("deny", spec.answers.deny_code, refusal)


@each(BEFORE)
def test_without_a_rule_every_act_goes_ahead(spec: CommandSpec) -> None:
    question, sent = asked(spec)
    assert told(spec, decided([], question), sent).kind == "allow"


@each(CODED)
@pytest.mark.parametrize("beyond", [(0, -1), (1, 1)])
def test_a_code_out_of_range_is_refused_naming_range_and_callback(
    spec: CommandSpec, beyond: tuple[int, int]
) -> None:
    end, step = beyond
    low, high = spec.answers.codes
    code = spec.answers.codes[end] + step
    refused = rule(on=[spec.row.act], scope=alone(spec), reason={"code": {spec.provider: code}})
    (problem,) = examine(documents(refused), 0).problems
    assert problem.path == f"/reason/code/{spec.provider}"
    said = f"{code} is outside what {spec.provider} takes; accepted: {low} to {high} ({spec.name})"
    assert problem.message == f"rule r1: {said}"


@each([spec for spec in BEFORE if spec not in CODED])
def test_a_code_for_a_callback_that_takes_none_is_refused(spec: CommandSpec) -> None:
    refused = rule(on=[spec.row.act], scope=alone(spec), reason={"code": {spec.provider: 10107}})
    (problem,) = examine(documents(refused), 0).problems
    assert f"{spec.name} takes no code of its own: leave it out" in problem.message


@each(BEFORE)
def test_a_test_in_a_rule_file_asks_what_the_callback_asks(spec: CommandSpec) -> None:
    """A rule that hinges on every fact of the example holds for the callback and for the test alike."""
    question, _ = asked(spec)
    clauses = [{"fact": name, "eq": value} for name, value in facts_of(question).items()]
    test = {"given": given_of(question), "expect": {"effect": "deny", "matched": True}}
    denying = rule(on=[spec.row.act], match={"all": clauses}, tests=[test])
    report = examine(documents(denying), 0)
    assert (report.problems, report.tests_run) == ((), 1)
    decision = decided([denying], question)
    assert decision.sent.kind == "deny"
    assert decision.facts == facts_of(question)


@each(BEFORE)
def test_a_test_that_gives_the_facts_alone_is_asked_with_the_callback_that_says_them(
    spec: CommandSpec,
) -> None:
    question, _ = asked(spec)
    given = given_of(question)
    del given["request"]["command"]
    one = ask(known_acts()[spec.row.act], given, {})
    assert one is not None
    assert (one.partial, set(one.members)) == (question.partial, set(question.members))
    same_facts = {
        row.command for row in known_acts()[spec.row.act].asking if set(facts_of(question)) <= row.facts
    }
    assert one.values["request.command"] in same_facts


@each(PEOPLED)
def test_some_of_the_people_are_refused_where_the_vendor_can_and_else_all(spec: CommandSpec) -> None:
    question, sent = asked(spec)
    first = question.members[0]
    refusing = rule(on=[spec.row.act], effect="refuse_members", members={"fact": "member.id", "eq": first})
    assert examine(documents(refusing), 0).problems == ()
    decision = decided([refusing], question)
    reading = told(spec, decision, sent)
    if len(set(question.members)) > 1 and spec.answers.partial():
        assert (reading.kind, reading.refused) == ("refuse_some", (first,))
    else:
        assert reading.kind == "deny"


@each([spec for spec in BEFORE if not spec.row.members and spec.row.act != "push"])
def test_nobody_can_be_refused_of_an_act_about_nobody(spec: CommandSpec) -> None:
    refusing = rule(on=[spec.row.act], effect="refuse_members", members={"fact": "request.app", "eq": "a"})
    paths = {problem.path for problem in examine(documents(refusing), 0).problems}
    assert paths == {"/effect", "/members"}


@pytest.mark.parametrize("words", ["invitee.id", "member.id"])
def test_an_invitation_has_two_words_for_each_of_the_invited(words: str) -> None:
    spec = CATALOG.find("tencent", "Group.CallbackBeforeInviteJoinGroup")
    assert spec is not None
    question, _ = asked(spec)
    refusing = rule(effect="refuse_members", members={"fact": words, "eq": "jared"})
    assert decided([refusing], question).sent.refused == ("jared",)


def test_one_rule_keeps_people_out_of_several_acts() -> None:
    acts = ["invite", "join", "create_group", "add_friend"]
    test = {
        "given": {"members": ["mallory", "ada"], "lists": {"blocked": ["mallory"]}},
        "expect": {"effect": "deny"},
    }
    content = rule(on=acts, members={"fact": "member.id", "on_list": "blocked"}, tests=[test])
    blocked = {"kind": "list", "name": "blocked", "values": ["mallory"]}
    report = examine(documents(blocked, content), 0)
    assert (report.problems, report.warnings) == ((), ())


def test_a_friend_refused_among_others_is_told_the_code_of_the_rule() -> None:
    spec = CATALOG.find("tencent", "Sns.CallbackPrevFriendAdd")
    assert spec is not None
    question, sent = asked(spec)
    refusing = rule(
        on=["add_friend"],
        effect="refuse_members",
        members={"fact": "member.id", "eq": "bo"},
        reason={"text": "no", "code": {"tencent": 38007}},
    )
    assert told(spec, decided([refusing], question), sent) == Reading("refuse_some", 38007, "no", ("bo",))


def test_a_scope_of_commands_gives_each_callback_a_code_of_its_range() -> None:
    codes = {"C2C.CallbackBeforeSendMsg": 120007, "Group.CallbackBeforeSendMsg": 10107}
    rules = [
        rule(
            f"r{code}", on=["send_message"], scope={"command": [command]}, reason={"code": {"tencent": code}}
        )
        for command, code in codes.items()
    ]
    assert examine(documents(*rules), 0).problems == ()
    for command, code in codes.items():
        spec = CATALOG.find("tencent", command)
        assert spec is not None
        question, sent = asked(spec)
        assert told(spec, decided(rules, question), sent).code == code


def test_a_command_is_known_by_its_name_however_it_was_spelled() -> None:
    spec = CATALOG.find("openim", "callbackBeforeSendSingleMsgCommand")
    assert spec is not None
    question, _ = asked(spec)
    shouted = question._replace(callback=question.callback._replace(command=spec.name.upper()))
    content = rule(
        on=["send_message"],
        scope={"command": [spec.name]},
        match={"fact": "request.command", "eq": spec.name},
    )
    assert decided([content], shouted).sent.kind == "deny"


C2C = CATALOG.find("tencent", "C2C.CallbackBeforeSendMsg")
SINGLE = CATALOG.find("openim", "callbackBeforeSendSingleMsgCommand")


def _tencent(*parts: tuple[str, dict[str, Any]]) -> tuple[CommandSpec, dict[str, Any]]:
    assert C2C is not None
    return C2C, {"MsgBody": [{"MsgType": kind, "MsgContent": content} for kind, content in parts]}


def _openim(kind: int, content: Any) -> tuple[CommandSpec, dict[str, Any]]:
    assert SINGLE is not None
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    return SINGLE, {"contentType": kind, "content": text}


TEXT = "TIMTextElem"
MESSAGES: dict[str, tuple[tuple[CommandSpec, dict[str, Any]], str | None, str | None]] = {
    "text": (_tencent((TEXT, {"Text": "hi"})), "text", "hi"),
    "texts": (_tencent((TEXT, {"Text": "hi"}), (TEXT, {"Text": "you"})), "text", "hi\nyou"),
    "text beside a picture": (
        _tencent((TEXT, {"Text": "look"}), ("TIMImageElem", {"UUID": "x"}), (TEXT, {"Text": "here"})),
        "mixed",
        "look\nhere",
    ),
    "a picture": (_tencent(("TIMImageElem", {"UUID": "x"})), "image", None),
    "data that looks like text": (_tencent(("TIMCustomElem", {"Text": "hi"})), "custom", None),
    "empty text": (_tencent((TEXT, {"Text": ""})), "text", None),
    "text that is none": (_tencent((TEXT, {"Text": 7})), "text", None),
    "no parts": (_tencent(), None, None),
    "OpenIM's text": (_openim(101, {"content": "hi"}), "text", "hi"),
    "OpenIM's text with mentions": (
        _openim(106, {"text": "hi @bo", "atUserList": ["bo"]}),
        "at_text",
        "hi @bo",
    ),
    "OpenIM's quote": (_openim(114, {"text": "so?", "quoteMessage": {"content": "old"}}), "quote", "so?"),
    "OpenIM's picture": (_openim(102, {"sourcePicture": {"url": "x"}}), "image", None),
    "OpenIM's text of old releases": (_openim(101, "plain words"), "text", "plain words"),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_words_and_the_kind_of_a_message(case: str) -> None:
    (spec, changes), kind, text = MESSAGES[case]
    question, _ = asked(spec, {**spec.row.example, **changes})
    facts = facts_of(question)
    assert (facts.get("message.kind"), facts.get("message.text")) == (kind, text)


def test_a_flag_is_read_as_a_word() -> None:
    spec = CATALOG.find("tencent", "Sns.CallbackPrevFriendAdd")
    assert spec is not None
    for flag, word in ((0, "false"), (1, "true")):
        question, _ = asked(spec, {**spec.row.example, "ForceAddFlags": flag})
        assert facts_of(question)["request.forced"] == word


def test_what_a_callback_always_says_a_test_need_not_give() -> None:
    tests = [
        {"given": {"group": {"id": "g1"}}, "expect": {"effect": "deny"}},
        {"given": {"receiver": {"id": "bo"}}, "expect": {"effect": "allow", "matched": False}},
    ]
    match = {"fact": "conversation.kind", "eq": "group"}
    content = rule(on=["send_message"], match=match, scope={"provider": ["tencent"]}, tests=tests)
    assert examine(documents(content), 0).problems == ()


def test_a_test_is_tried_with_the_acts_its_provider_asks_about() -> None:
    test = {"given": {"request": {"provider": "tencent"}, "members": ["a"]}, "expect": {"effect": "allow"}}
    content = rule(on=["invite", "block"], match={"fact": "request.member_count", "gt": 1}, tests=[test])
    assert examine(documents(content), 0).problems == ()
    wrong = {**test, "expect": {"effect": "deny"}}
    (problem,) = examine(documents({**content, "tests": [wrong]}), 0).problems
    assert "failed for invite: expected deny, got allow" in problem.message


def test_the_provider_of_a_test_is_the_first_in_scope() -> None:
    for first, second in (("openim", "tencent"), ("tencent", "openim")):
        one = ask(known_acts()["invite"], {}, {"provider": [first, second]})
        assert one is not None
        assert one.values["request.provider"] == first
