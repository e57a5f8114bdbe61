"""Any set of rules in any order decides what a plain, slow interpreter of the language decides.

The interpreter shares nothing with the product but the documents: it walks them once per member, with no
index, no sets and no closures.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.rules.deciding import decide
from consumers.rules.examination import examine
from consumers.rules.index import Index
from consumers.rules.rule import compile_rule
from schemas.decisions import Decision, Effect, Outcome, Question
from schemas.outcomes import form_of, forms_of
from tests.rules_kit import SET, decided, documents, named, question

LISTS = {"l1": ["u1", "u2"], "l2": ["u3", "ada"], "l3": []}
USERS = ["u1", "u2", "u3", "ada", "bob"]
TEXTS = {
    "group.id": ["g1", "g2"],
    "group.type": ["Work", "Public"],
    "inviter.id": USERS,
    "request.provider": ["tencent", "openim"],
    "request.app": ["a1", "a2"],
    "request.platform": ["Web", "RESTAPI"],
}


def _texts(values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    one, some = st.sampled_from(values), st.lists(st.sampled_from(values), min_size=1, max_size=3)
    lists = st.sampled_from(sorted(LISTS))
    return st.one_of(
        one.map(lambda value: {"eq": value}),
        one.map(lambda value: {"ne": value}),
        some.map(lambda value: {"in": value}),
        some.map(lambda value: {"not_in": value}),
        lists.map(lambda name: {"on_list": name}),
        lists.map(lambda name: {"in": f"list.{name}"}),
        lists.map(lambda name: {"not_in": f"list.{name}"}),
        one.map(lambda value: {"prefix": value[0]}),
        one.map(lambda value: {"suffix": value[-1]}),
        one.map(lambda value: {"contains": value[-2:]}),
        st.booleans().map(lambda value: {"exists": value}),
    )


def _leaf(facts: dict[str, list[str]]) -> st.SearchStrategy[dict[str, Any]]:
    text = st.sampled_from(sorted(facts)).flatmap(
        lambda fact: _texts(facts[fact]).map(lambda operator: {"fact": fact, **operator})
    )
    number = st.tuples(st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte"]), st.integers(0, 4)).map(
        lambda pair: {"fact": "request.member_count", pair[0]: pair[1]}
    )
    return st.one_of(text, text, text, number)


def _tree(facts: dict[str, list[str]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        _leaf(facts),
        lambda part: st.one_of(
            st.lists(part, min_size=1, max_size=3).map(lambda parts: {"all": parts}),
            st.lists(part, min_size=1, max_size=3).map(lambda parts: {"any": parts}),
            part.map(lambda one: {"not": one}),
        ),
        max_leaves=4,
    )


def _subset(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


_scope = st.fixed_dictionaries(
    {},
    optional={
        "provider": _subset(["tencent", "openim"]),
        "app": st.one_of(st.just(["*"]), _subset(["a1", "a2"])),
        "group": st.one_of(
            _subset(["g1", "g2"]).map(lambda ids: {"id": ids}),
            _subset(["Work", "Public"]).map(lambda types: {"type": types}),
            st.just({"id": ["g1"], "type": ["Work"]}),
        ),
        "sample": st.sampled_from([50, 100]),
    },
)


@st.composite
def _rule(draw: st.DrawFn) -> dict[str, Any]:
    effect = draw(st.sampled_from(["allow", "deny", "refuse_members", "refuse_members", "annotate"]))
    content: dict[str, Any] = {"kind": "rule", "rev": 1, "on": ["invite"], "effect": effect}
    content["mode"] = draw(st.sampled_from(["enforce", "enforce", "enforce", "shadow", "off"]))
    content["priority"] = draw(st.integers(-1, 1))
    content["scope"] = draw(_scope)
    if draw(st.booleans()):
        content["match"] = draw(_tree(TEXTS))
    if effect == "refuse_members" or draw(st.integers(0, 3)) == 0:
        content["members"] = draw(_tree({**TEXTS, "invitee.id": USERS, " ": USERS}).map(_to_members))
    if effect == "allow":
        content["override"] = draw(st.booleans())
    if effect == "refuse_members":
        content["partial_unsupported"] = draw(st.sampled_from(["deny", "allow"]))
    if draw(st.booleans()):
        content["needs"] = {"on_missing": draw(st.sampled_from(["no_match", "match", "deny"]))}
    if draw(st.integers(0, 9)) == 0:
        content["needs"] = {**content.get("needs", {}), "max_staleness": "5s"}
    if draw(st.integers(0, 4)) == 0:
        content["expires"] = draw(st.sampled_from(["1970-01-01T00:00:01Z", "1970-01-01T00:00:09Z"]))
    return content


def _to_members(tree: dict[str, Any]) -> dict[str, Any]:
    """Make the member's own id as frequent as it is in real rules."""
    if "fact" in tree:
        return {**tree, "fact": "invitee.id"} if tree["fact"] == " " else tree
    ((key, parts),) = tree.items()
    return {key: [_to_members(one) for one in parts] if isinstance(parts, list) else _to_members(parts)}


def _rules_of(size: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(_rule(), max_size=size).map(
        lambda rules: [{**one, "id": f"r{number}"} for number, one in enumerate(rules)]
    )


_rules = _rules_of(6)


@st.composite
def _question(draw: st.DrawFn) -> Question:
    return question(
        *draw(st.lists(st.sampled_from(USERS), max_size=4)),
        provider=draw(st.sampled_from(["tencent", "openim", "other"])),
        app=draw(st.sampled_from(["a1", "a2", "a3"])),
        group=draw(st.sampled_from(["g1", "g2", "g3", None])),
        kind=draw(st.sampled_from(["Work", "Public", "Meeting", None])),
        inviter=draw(st.sampled_from([*USERS, None])),
        partial=draw(st.booleans()),
        query=draw(st.sampled_from([{}, {"OptPlatform": "Web"}, {"OptPlatform": "RESTAPI"}])),
    )


class Naive:
    """The language read word for word."""

    def __init__(
        self, rules: Sequence[dict[str, Any]], asked: Question, staleness_ms: int, now_ms: int
    ) -> None:
        self.asked = asked
        self.facts: dict[str, Any] = {
            "request.provider": asked.callback.provider,
            "request.app": asked.callback.app,
            "request.platform": asked.callback.query.get("OptPlatform"),
            "request.member_count": len(asked.members),
            "group.id": asked.data.get("group_id"),
            "group.type": asked.data.get("group_type"),
            "inviter.id": asked.data.get("inviter_id"),
        }
        self.rules = [one for one in rules if one["mode"] != "off" and now_ms < _moment(one.get("expires"))]
        self.needy = [
            one
            for one in self.rules
            if one["mode"] == "enforce"
            and "max_staleness" in one.get("needs", {})
            and staleness_ms > 5_000
            and self.in_scope(one) is not False
        ]
        self.said = [(one, said) for one in self.rules if (said := self.says(one)) is not None]

    def holds(self, clause: dict[str, Any], member: str | None) -> bool | None:
        if "all" in clause or "any" in clause:
            decisive = "any" in clause
            parts = [self.holds(part, member) for part in clause["any" if decisive else "all"]]
            if decisive in parts:
                return decisive
            return None if None in parts else not decisive
        if "not" in clause:
            inner = self.holds(clause["not"], member)
            return None if inner is None else not inner
        ((operator, operand),) = [(key, value) for key, value in clause.items() if key != "fact"]
        value = member if clause["fact"] == "invitee.id" else self.facts[clause["fact"]]
        if operator == "exists":
            return bool(operand) == (value is not None)
        return None if value is None else _compare(operator, operand, value)

    def in_scope(self, one: dict[str, Any]) -> bool | None:
        scope = one["scope"]
        wanted = [
            (self.facts["request.provider"], scope.get("provider")),
            (self.facts["request.app"], None if scope.get("app") == ["*"] else scope.get("app")),
            (self.facts["group.id"], scope.get("group", {}).get("id")),
            (self.facts["group.type"], scope.get("group", {}).get("type")),
        ]
        found = [None if value is None else value in values for value, values in wanted if values]
        text = f"{one['id']}\n{self.asked.partitionkey}"
        drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % 10_000
        found.append(drawn < scope.get("sample", 100) * 100)
        return False if False in found else None if None in found else True

    def applies(self, one: dict[str, Any]) -> bool | None:
        found = [self.in_scope(one), self.holds(one["match"], None) if "match" in one else True]
        return False if False in found else None if None in found else True

    def says(self, one: dict[str, Any]) -> tuple[Effect | None, bool] | None:
        """Return effect and whether it matched; None where it says nothing at all."""
        applies = self.applies(one)
        if applies is False:
            return None
        everyone = list(dict.fromkeys(self.asked.members))
        verdicts = {
            member: _and(applies, self.holds(one["members"], member))
            for member in everyone
            if "members" in one
        }
        sure = [member for member, verdict in verdicts.items() if verdict]
        possible = [member for member, verdict in verdicts.items() if verdict is not False]
        if "members" not in one:
            matched, hinges = applies is True, applies is None
        elif one["effect"] == "allow":
            matched = bool(everyone) and sure == everyone
            hinges = not matched and bool(everyone) and possible == everyone
        else:
            matched = bool(sure)
            hinges = possible != sure if one["effect"] == "refuse_members" else not sure and bool(possible)
        on_missing = one.get("needs", {}).get("on_missing", "no_match") if hinges else "no_match"
        if on_missing == "deny":
            return Effect("deny"), matched
        if not matched and on_missing == "no_match":
            return (None, False) if hinges else None
        chosen = possible if on_missing == "match" else sure
        if one["effect"] == "annotate":
            return None, True
        if one["effect"] == "refuse_members":
            return Effect("refuse_members", tuple(sorted(chosen))), True
        return Effect(one["effect"]), True

    def wanted(self, modes: Sequence[str]) -> Effect:
        wishes = [(one, said[0]) for one, said in self.said if one["mode"] in modes and said[0] is not None]
        kinds = [effect.kind for _, effect in wishes]
        if any(effect.kind == "allow" and one.get("override") for one, effect in wishes):
            return Effect("allow")
        if "deny" in kinds:
            return Effect("deny")
        out = {member for _, effect in wishes for member in effect.refused}
        if out and out == set(self.asked.members):
            return Effect("deny")
        refused = tuple(member for member in dict.fromkeys(self.asked.members) if member in out)
        return Effect("refuse_members", refused) if refused else Effect("allow")

    def sent(self) -> Effect:
        wanted = self.wanted(["enforce"])
        if self.asked.partial or wanted.kind != "refuse_members":
            return wanted
        refusing = [
            one for one, said in self.said if one["mode"] == "enforce" and said[0] and said[0].refused
        ]
        return Effect("deny" if any(one["partial_unsupported"] == "deny" for one in refusing) else "allow")


def _compare(operator: str, operand: Any, value: Any) -> bool:
    if isinstance(operand, str) and operand.startswith("list."):
        operand = LISTS[operand[5:]]
    tests: dict[str, Callable[[], Any]] = {
        "eq": lambda: value == operand,
        "ne": lambda: value != operand,
        "in": lambda: value in operand,
        "not_in": lambda: value not in operand,
        "on_list": lambda: value in LISTS[operand],
        "lt": lambda: value < operand,
        "lte": lambda: value <= operand,
        "gt": lambda: value > operand,
        "gte": lambda: value >= operand,
        "prefix": lambda: value[: len(operand)] == operand,
        "suffix": lambda: value[-len(operand) :] == operand,
        "contains": lambda: value.find(operand) >= 0,
    }
    return bool(tests[operator]())


def _and(left: bool | None, right: bool | None) -> bool | None:
    return False if left is False or right is False else None if left is None or right is None else True


def _moment(text: str | None) -> float:
    return float("inf") if text is None else datetime.fromisoformat(text).timestamp() * 1000


def _summary(decision: Decision) -> Any:
    outcomes = sorted((one.rule, one.mode, one.effect, one.matched) for one in decision.outcomes)
    return decision.wanted, decision.sent, decision.shadow, outcomes


@pytest.mark.timeout(600)  # a failure is made small before it is shown, which takes a while
@settings(max_examples=150, deadline=None)
@given(
    _rules,
    st.lists(_question(), min_size=4, max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from([0, 9_000]),
    st.sampled_from([0, 5_000]),
)
def test_rules_decide_what_the_plain_interpreter_does_in_any_order(
    rules: list[dict[str, Any]],
    questions: list[Question],
    chance: Any,
    staleness_ms: int,
    now_ms: int,
) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)
    for asked in questions:
        decision = decided(rules, asked, LISTS, staleness_ms=staleness_ms, now_ms=now_ms)
        assert decided(shuffled, asked, LISTS, staleness_ms=staleness_ms, now_ms=now_ms) == decision
        _compare_with(Naive(rules, asked, staleness_ms, now_ms), decision)
        _compare_written(decision.outcomes)
        ranks = [_rank(rules, outcome.rule) for outcome in decision.outcomes]
        assert all(first < second for first, second in pairwise(ranks))


@pytest.mark.timeout(600)  # a failure is made small before it is shown, which takes a while
@settings(max_examples=300, deadline=None)
@given(_rules_of(12), st.lists(_question(), min_size=4, max_size=6), st.sampled_from([0, 9_000]))
def test_rules_found_by_their_conditions_decide_what_all_rules_evaluated_one_by_one_do(
    rules: list[dict[str, Any]], questions: list[Question], staleness_ms: int
) -> None:
    lists = {name: frozenset(values) for name, values in LISTS.items()}
    everywhere = [{**one, "scope": {}} for one in rules if one["mode"] != "off"]
    compiled = [compile_rule(one, lists) for one in everywhere]
    found, all_ = Index(compiled), Index(replace(one, only_if=None) for one in compiled)
    for asked in questions:
        decision = decide(found, SET, asked, staleness_ms, 0, "allow")
        assert decision == decide(all_, SET, asked, staleness_ms, 0, "allow")


def _compare_written(outcomes: Sequence[Outcome]) -> None:
    """Check that what is written of outcomes, with what was prepared, is what they are."""
    assert orjson.dumps(forms_of(outcomes)) == orjson.dumps([form_of(one) for one in outcomes])


def _compare_with(naive: Naive, decision: Decision) -> None:
    if naive.needy:
        assert decision.fallback == "needs"
        assert {one.rule for one in decision.outcomes} == {one["id"] for one in naive.needy}
        return
    shadowed = any(one["mode"] == "shadow" and said[0] for one, said in naive.said)
    outcomes = sorted((one["id"], one["mode"], *said) for one, said in naive.said)
    assert _summary(decision) == (
        naive.wanted(["enforce"]),
        naive.sent(),
        naive.wanted(["enforce", "shadow"]) if shadowed else None,
        outcomes,
    )
    assert all(outcome.matched or outcome.missing for outcome in decision.outcomes)


def _rank(rules: list[dict[str, Any]], name: str) -> tuple[int, str]:
    return next((-one["priority"], name) for one in rules if one["id"] == name)


@settings(max_examples=40, deadline=None)
@given(_rules)
def test_every_rule_of_the_strategy_is_one_an_operator_could_publish(rules: list[dict[str, Any]]) -> None:
    lists = [named(name, *values) for name, values in LISTS.items()]
    assert examine(documents(*rules, *lists), 0).problems == ()
