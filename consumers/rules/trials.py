"""A rule's own tests: each asks its question of that rule alone and compares the answer.

A test sees only the lists it gives, so that changing a list never breaks a published revision; mode, sample
and expiry do not count.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from consumers.rules.acts import known_acts
from consumers.rules.asking import ask
from consumers.rules.clauses import leaves
from consumers.rules.deciding import decide_asked
from consumers.rules.index import Index
from consumers.rules.operators import list_name, operator_of
from consumers.rules.problems import Fault
from consumers.rules.rule import compile_rule
from schemas.decisions import Decision, Effect, RuleSet

_TEST_SET: Final = RuleSet("test", 0, "")
_BEFORE_EXPIRY: Final = -1


def failures(rule: Mapping[str, Any]) -> list[Fault]:
    """Return each test of a checked rule that fails, for every act it is on, with what came instead."""
    return [
        (f"/tests/{index}", f"{_title(test)}failed for {act}: {said}")
        for index, test in enumerate(rule.get("tests", ()))
        for act in rule["on"]
        if (decision := _answer(rule, act, test["given"])) is not None
        for said in _differences(decision, test["expect"])
    ]


def _answer(rule: Mapping[str, Any], act: str, given: Mapping[str, Any]) -> Decision | None:
    """Return what the rule says to the question; None where the test's provider never asks about the act."""
    scope = rule.get("scope", {})
    asked = ask(known_acts()[act], given, scope)
    if asked is None:
        return None
    lists = {name: frozenset(given.get("lists", {}).get(name, ())) for name in named_lists(rule)}
    everywhere = {key: value for key, value in scope.items() if key != "sample"}
    index = Index([compile_rule({**rule, "mode": "enforce", "scope": everywhere}, lists)])
    return decide_asked(index, _TEST_SET, asked, 0, _BEFORE_EXPIRY, "allow")


def named_lists(rule: Mapping[str, Any]) -> set[str]:
    """Return the names of the lists a rule looks things up in."""
    found = (
        list_name(*operator_of(leaf)) for part in ("match", "members") for leaf in leaves(rule.get(part, {}))
    )
    return {name for name in found if name is not None}


def _differences(decision: Decision, expect: Mapping[str, Any]) -> Iterator[str]:
    wanted = Effect(expect["effect"], tuple(expect.get("refused", ())))
    if (wanted.kind, set(wanted.refused)) != (decision.wanted.kind, set(decision.wanted.refused)):
        yield f"expected {_worded(wanted)}, got {_worded(decision.wanted)}{_hint(decision)}"
    if "sent" in expect and expect["sent"] != decision.sent.kind:
        yield f"expected {expect['sent']} to be sent, got {decision.sent.kind}"
    matched = any(outcome.matched for outcome in decision.outcomes)
    if "matched" in expect and expect["matched"] is not matched:
        yield f"expected the rule {'to match' if expect['matched'] else 'not to match'}{_hint(decision)}"


def _worded(effect: Effect) -> str:
    return f"{effect.kind} {sorted(effect.refused)}" if effect.refused else effect.kind


def _hint(decision: Decision) -> str:
    missing = sorted({fact for outcome in decision.outcomes for fact in outcome.missing})
    return f" (not given: {', '.join(missing)})" if missing else ""


def _title(test: Mapping[str, Any]) -> str:
    return f"{test['name']!r} " if "name" in test else ""
