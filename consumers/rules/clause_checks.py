"""What a clause must keep beyond its schema: facts the acts have, operators that fit, lists there are."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from consumers.rules.acts import Act
from consumers.rules.facts import Fact
from consumers.rules.operators import OPERATORS, list_name, operator_of
from consumers.rules.problems import Fault

MAX_CLAUSES: Final = 500
MAX_DEPTH: Final = 20
Placed = Iterator[tuple[str, Mapping[str, Any]]]


def tree_faults(
    clause: Mapping[str, Any], path: str, acts: Sequence[Act], lists: Collection[str]
) -> Iterator[Fault]:
    """Yield what is wrong with the clauses at ``path`` (``/match``, ``/members``) for these acts."""
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
