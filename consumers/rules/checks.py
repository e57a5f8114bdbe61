"""What a rule must keep beyond its schema: known acts and facts, operators that fit, lists, codes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from consumers.rules.acts import PROVIDERS, Act, Fact, known_acts
from consumers.rules.clauses import leaves
from consumers.rules.operators import OPERATORS, list_name, operator_of
from consumers.rules.problems import Fault
from schemas.envelope import parse_time

MAX_CLAUSES: Final = 500
MAX_DEPTH: Final = 20
ANY_APP: Final = "*"
Placed = Iterator[tuple[str, Mapping[str, Any]]]


def rule_faults(rule: Mapping[str, Any], lists: Collection[str]) -> list[Fault]:
    """Return what is wrong with a rule that fits the schema; ``lists`` are the names it may refer to."""
    acts = [known_acts()[name] for name in rule["on"] if name in known_acts()]
    found = [*_acts(rule), *_scope(rule, acts), *_effect(rule), *_codes(rule, acts), *_tests(rule)]
    for part in ("match", "members"):
        if part in rule:
            found += _tree(rule[part], f"/{part}", acts, lists)
    return found


def rule_warnings(rule: Mapping[str, Any], now_ms: int) -> list[Fault]:
    """Return what a careful author would want to hear about a rule that is not wrong."""
    found = [*_silent(rule)]
    if not rule.get("tests") and rule.get("mode", "enforce") != "off":
        found.append(("/tests", "the rule has no tests: nothing proves that it does what it says"))
    if "expires" in rule and parse_time(rule["expires"]) <= now_ms:
        found.append(("/expires", f"{rule['expires']} is past: the rule does nothing any more"))
    return found


def providers_of(rule: Mapping[str, Any]) -> Sequence[str]:
    """Return the providers within the rule's scope."""
    return rule.get("scope", {}).get("provider", PROVIDERS)  # type: ignore[no-any-return]


def _acts(rule: Mapping[str, Any]) -> Iterator[Fault]:
    for index, name in enumerate(rule["on"]):
        if name not in known_acts():
            yield f"/on/{index}", f"{name!r} is no act known here; accepted: {', '.join(known_acts())}"
    if len(set(rule["on"])) < len(rule["on"]):
        yield "/on", "an act stands twice: name each once"


def _scope(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    scope = rule.get("scope", {})
    for index, name in enumerate(scope.get("provider", ())):
        if name not in PROVIDERS:
            yield f"/scope/provider/{index}", f"{name!r} is no provider; accepted: {', '.join(PROVIDERS)}"
    if ANY_APP in scope.get("app", ()) and len(scope["app"]) > 1:
        yield "/scope/app", "'*' stands for every app: leave the other ids out"
    for key in scope.get("group", ()):
        for act in acts:
            if f"group.{key}" not in act.facts:
                yield f"/scope/group/{key}", f"{act.name} has no group: leave scope.group out"


def _effect(rule: Mapping[str, Any]) -> Iterator[Fault]:
    effect = rule["effect"]
    if effect == "refuse_members" and "members" not in rule:
        yield "/members", "missing: refuse_members refuses those whom members selects; to refuse all use deny"
    if rule.get("override") and effect != "allow":
        yield "/override", f"only effect allow can override, this is {effect}"
    if "partial_unsupported" in rule and effect != "refuse_members":
        yield "/partial_unsupported", f"stands only beside effect refuse_members, this is {effect}"


def _codes(rule: Mapping[str, Any], acts: Sequence[Act]) -> Iterator[Fault]:
    codes = rule.get("reason", {}).get("code", {})
    for provider in providers_of(rule):
        for accepted in (one for act in acts for one in act.codes.get(provider, ())):
            if provider in codes and codes[provider] not in accepted:
                said = f"{codes[provider]} is outside what {provider} takes"
                yield f"/reason/code/{provider}", f"{said}; accepted: {accepted[0]} to {accepted[-1]}"


def _tests(rule: Mapping[str, Any]) -> Iterator[Fault]:
    for index, test in enumerate(rule.get("tests", ())):
        provider = test["given"].get("request", {}).get("provider", PROVIDERS[0])
        if provider not in PROVIDERS:
            yield (
                f"/tests/{index}/given/request/provider",
                f"{provider!r} is no provider; accepted: {', '.join(PROVIDERS)}",
            )


def _tree(
    clause: Mapping[str, Any], path: str, acts: Sequence[Act], lists: Collection[str]
) -> Iterator[Fault]:
    placed = list(_placed(clause, path))
    if len(placed) > MAX_CLAUSES:
        yield path, f"{len(placed)} clauses; at most {MAX_CLAUSES}: use a list, or several rules"
    for where, leaf in placed:
        if not leaf:
            yield where, f"nested deeper than {MAX_DEPTH}: use several rules"
            continue
        yield from _leaf(leaf, where, path == "/members", acts)
        operator, operand = operator_of(leaf)
        name = list_name(operator, operand)
        if name is not None and name not in lists:
            known = ", ".join(sorted(lists)) or "none"
            yield f"{where}/{operator}", f"there is no list {name!r} among the documents; there are: {known}"


def _placed(clause: Mapping[str, Any], path: str, depth: int = 0) -> Placed:
    """Yield every leaf with its path; an empty one where the tree is too deep to go on."""
    if depth > MAX_DEPTH:
        yield path, {}
    elif "fact" in clause:
        yield path, clause
    elif "not" in clause:
        yield from _placed(clause["not"], f"{path}/not", depth + 1)
    else:
        key = "all" if "all" in clause else "any"
        for index, part in enumerate(clause[key]):
            yield from _placed(part, f"{path}/{key}/{index}", depth + 1)


def _leaf(leaf: Mapping[str, Any], where: str, per_member: bool, acts: Sequence[Act]) -> Iterator[Fault]:
    for act in acts:
        fact = act.facts.get(leaf["fact"])
        if fact is None:
            accepted = ", ".join(name for name, one in act.facts.items() if one.get or per_member)
            yield f"{where}/fact", f"{act.name} has no fact {leaf['fact']!r}; accepted: {accepted}"
        elif fact.get is None and not per_member:
            yield f"{where}/fact", f"{fact.name} differs from member to member: put the clause under members"
        else:
            yield from _operand(leaf, where, fact)


def _operand(leaf: Mapping[str, Any], where: str, fact: Fact) -> Iterator[Fault]:
    operator, operand = operator_of(leaf)
    if operator == "exists":
        return
    if fact.kind not in OPERATORS[operator].kinds:
        accepted = ", ".join([name for name, one in OPERATORS.items() if fact.kind in one.kinds] + ["exists"])
        yield (
            f"{where}/{operator}",
            f"{fact.name} is a {fact.kind}, which {operator} does not take; accepted: {accepted}",
        )
        return
    if list_name(operator, operand) is not None:
        if fact.kind != "text":
            yield (
                f"{where}/{operator}",
                f"{fact.name} is a number and lists hold texts: write the values here",
            )
        return
    wanted = str if fact.kind == "text" else (int, float)
    if not all(isinstance(value, wanted) for value in (operand if isinstance(operand, list) else [operand])):
        hint = ": write it in quotes" if fact.kind == "text" else ""
        yield f"{where}/{operator}", f"{fact.name} is a {fact.kind}, {operand!r} is not{hint}"


def _silent(rule: Mapping[str, Any]) -> Iterator[Fault]:
    """Warn of facts a provider within scope never says, unless the author decided what happens then."""
    if "on_missing" in rule.get("needs", {}):
        return
    asked = {leaf["fact"] for part in ("match", "members") for leaf in leaves(rule.get(part, {}))}
    asked |= {f"group.{key}" for key in rule.get("scope", {}).get("group", ())}
    for act in (known_acts()[name] for name in rule["on"]):
        for name in sorted(asked):
            for provider in sorted(act.facts[name].silent & set(providers_of(rule))):
                said = f"{provider} never says {name} with {act.name}: there the rule cannot go by it"
                yield "", f"{said}; narrow scope.provider, or say in needs.on_missing what is to happen"
