"""What a rule must keep beyond its schema: known acts and facts, a scope that fits them, codes, its tests."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from consumers.rules.acts import ANY_APP, PROVIDERS, Act, known_acts
from consumers.rules.asking import PEOPLE, given_facts, takes_people, within
from consumers.rules.clause_checks import tree_faults
from consumers.rules.clauses import leaves
from consumers.rules.facts import MEMBER_COUNT
from consumers.rules.problems import Fault
from schemas.envelope import parse_time


def rule_faults(rule: Mapping[str, Any], lists: Collection[str]) -> list[Fault]:
    """Return what is wrong with a rule that fits the schema; ``lists`` are the names it may refer to."""
    acts = [known_acts()[name] for name in rule["on"] if name in known_acts()]
    found = [*_acts(rule, acts), *_scope(rule, acts), *_effect(rule), *_members(rule, acts)]
    found += [*_codes(rule, acts), *_tests(rule, acts)]
    for part in ("match", "members"):
        if part in rule:
            found += tree_faults(rule[part], f"/{part}", acts, lists)
    return found


def rule_warnings(rule: Mapping[str, Any], now_ms: int) -> list[Fault]:
    """Return what a careful author would want to hear about a rule that is not wrong."""
    found = [*_silent(rule)]
    if not rule.get("tests") and rule.get("mode", "enforce") != "off":
        found.append(("/tests", "the rule has no tests: nothing proves that it does what it says"))
    if "expires" in rule and parse_time(rule["expires"]) <= now_ms:
        found.append(("/expires", f"{rule['expires']} is past: the rule does nothing any more"))
    return found


def _acts(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    for index, name in enumerate(rule["on"]):
        if name not in known_acts():
            yield f"/on/{index}", f"{name!r} is no act known here; accepted: {', '.join(known_acts())}"
    if len(set(rule["on"])) < len(rule["on"]):
        yield "/on", "an act stands twice: name each once"
    scope = rule.get("scope", {})
    for act in acts:
        if not within(act, scope):
            asked = "; ".join(f"{one.provider} asks with {one.command}" for one in act.asking)
            yield f"/on/{rule['on'].index(act.name)}", f"nothing within scope asks about {act.name}: {asked}"


def _scope(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    scope = rule.get("scope", {})
    for index, name in enumerate(scope.get("provider", ())):
        if name not in PROVIDERS:
            yield f"/scope/provider/{index}", f"{name!r} is no provider; accepted: {', '.join(PROVIDERS)}"
    asking = dict.fromkeys(one.command for act in acts for one in act.asking)
    for index, name in enumerate(scope.get("command", ())):
        if name not in asking:
            yield (
                f"/scope/command/{index}",
                f"{name!r} asks about none of these acts; accepted: {', '.join(asking)}",
            )
    if ANY_APP in scope.get("app", ()) and len(scope["app"]) > 1:
        yield "/scope/app", "'*' stands for every app: leave the other ids out"
    for key in scope.get("group", ()):
        for act in acts:
            if f"group.{key}" not in act.facts:
                said = f"{act.name} has no group.{key}"
                yield f"/scope/group/{key}", f"{said}: leave scope.group.{key} out"


def _effect(rule: Mapping[str, Any]) -> Iterator[Fault]:
    effect = rule["effect"]
    if effect == "refuse_members" and "members" not in rule:
        yield "/members", "missing: refuse_members refuses those whom members selects; to refuse all use deny"
    if rule.get("override") and effect != "allow":
        yield "/override", f"only effect allow can override, this is {effect}"
    if "partial_unsupported" in rule and effect != "refuse_members":
        yield "/partial_unsupported", f"stands only beside effect refuse_members, this is {effect}"


def _members(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    for act in acts:
        if not act.has_members and rule["effect"] == "refuse_members":
            yield "/effect", f"{act.name} is about nobody who could be left out: use deny"
        if not act.has_members and "members" in rule:
            yield "/members", f"{act.name} is about nobody in particular: put the clause under match"


def _codes(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    """Hold each code against what every callback within scope that could be told it takes."""
    for provider, code in rule.get("reason", {}).get("code", {}).items():
        for codes, commands in _takers(rule, acts, provider).items():
            if code in codes:
                continue
            where, told = f"/reason/code/{provider}", ", ".join(commands)
            if not codes:
                yield where, f"{told} takes no code of its own: leave it out, or narrow scope.command"
                continue
            said = f"{code} is outside what {provider} takes; accepted: {codes[0]} to {codes[-1]}"
            yield where, f"{said} ({told})"


def _takers(rule: Mapping[str, Any], acts: Sequence[Act], provider: str) -> Mapping[range, Sequence[str]]:
    takers = defaultdict(list)
    for act in acts:
        for one in within(act, rule.get("scope", {})):
            if one.provider == provider:
                takers[one.codes].append(one.command)
    return takers


def _tests(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    for index, test in enumerate(rule.get("tests", ())):
        given, where = test["given"], f"/tests/{index}/given"
        provider = given.get("request", {}).get("provider")
        if provider not in (None, *PROVIDERS):
            said = f"{provider!r} is no provider; accepted: {', '.join(PROVIDERS)}"
            yield f"{where}/request/provider", said
        elif provider and not any(provider in act.providers() for act in acts):
            yield f"{where}/request/provider", f"{provider} never asks about {_named(acts)}"
        for key in PEOPLE:
            if key in given and not any(takes_people(act, key) for act in acts):
                yield f"{where}/{key}", f"{_named(acts)}: questions about it name no {key}"
        for name, value in given_facts(given).items():
            yield from _given(name, value, where, acts)


def _given(name: str, value: Any, where: str, acts: Sequence[Act]) -> Iterator[Fault]:
    place = f"{where}/{name.replace('.', '/', 1)}"
    facts = {
        known: fact for act in acts for known, fact in act.facts.items() if fact.get and known != MEMBER_COUNT
    }
    fact = facts.get(name)
    if fact is None:
        hint = "give the people in members" if name == MEMBER_COUNT else f"accepted: {', '.join(facts)}"
        yield place, f"{_named(acts)} has no fact {name!r} that can be given; {hint}"
    elif isinstance(value, str) is not (fact.kind == "text"):
        yield place, f"{name} is a {fact.kind}, {value!r} is not"


def _named(acts: Sequence[Act]) -> str:
    return ", ".join(act.name for act in acts)


def _silent(rule: Mapping[str, Any]) -> Iterator[Fault]:
    """Warn of facts a provider within scope never says, unless the author decided what happens then."""
    if "on_missing" in rule.get("needs", {}):
        return
    asked = {leaf["fact"] for part in ("match", "members") for leaf in leaves(rule.get(part, {}))}
    asked |= {f"group.{key}" for key in rule.get("scope", {}).get("group", ())}
    for act in (known_acts()[name] for name in rule["on"]):
        said_by: dict[str, set[str]] = defaultdict(set)
        for one in within(act, rule.get("scope", {})):
            said_by[one.provider] |= one.facts
        for name in sorted(asked):
            for provider in sorted(provider for provider, facts in said_by.items() if name not in facts):
                said = f"{provider} never says {name} with {act.name}: there the rule cannot go by it"
                yield "", f"{said}; narrow scope.provider, or say in needs.on_missing what is to happen"
