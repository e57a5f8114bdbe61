"""What must hold before a rule can say anything: read off its clauses, to be looked up and not evaluated.

A condition is necessary: a rule for which it does not hold says nothing. Where it is about the people of a
question it is often all that the clause asks: who is found by it is then who the clause selects. A missing
fact (None) is a value like others here, since a rule that hinges on one says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from consumers.rules.facts import EACH, MEMBER_FACTS
from consumers.rules.operators import Lists, list_name, operator_of

Members = frozenset[str]
How = Literal["is", "listed", "starts", "least", "most"]


class Hint(NamedTuple):
    """One way to hold: the fact is the operand, is on that list, starts with it, is at least or at most it.

    A fact about each of the people is called ``member.id``, and enough is that one of them is so.
    """

    fact: str
    how: How
    operand: Any


class Condition(NamedTuple):
    """Hints of which one must hold; ``selects`` says that those for whom one holds are whom it selects."""

    hints: Sequence[Hint]
    selects: bool = False


_HOW: Final[Mapping[str, How]] = {
    "eq": "is",
    "prefix": "starts",
    "gt": "least",
    "gte": "least",
    "lt": "most",
    "lte": "most",
}


def condition(clause: Mapping[str, Any], lists: Lists) -> Condition | None:
    """Return what must hold lest the clause be false, for the request or for each member; None if unknown."""
    if "fact" in clause:
        return _of_leaf(clause, lists)
    parts = [condition(part, lists) for part in clause.get("all", clause.get("any", ()))]
    known = [part for part in parts if part is not None]
    if "any" not in clause:
        found = shortest(known)
        return found if found is None or len(parts) == 1 else found._replace(selects=False)
    if len(known) < len(parts):
        return None
    return Condition([hint for part in known for hint in part.hints], all(part.selects for part in known))


def shortest(conditions: Iterable[Condition | None]) -> Condition | None:
    """Return the quickest to look up of several that must all hold; None if none is known."""
    known = [one for one in conditions if one is not None]
    return min(known, key=lambda one: len(one.hints), default=None)


def _of_leaf(leaf: Mapping[str, Any], lists: Lists) -> Condition | None:
    operator, operand = operator_of(leaf)
    ways = list(_ways(operator, operand, lists))
    if not ways:
        return None
    if leaf["fact"] in MEMBER_FACTS:
        return Condition([Hint(EACH, *way) for way in ways], selects=True)
    return Condition([Hint(leaf["fact"], "is", None), *(Hint(leaf["fact"], *way) for way in ways)])


def _ways(operator: str, operand: Any, lists: Lists) -> Iterator[tuple[How, Any]]:
    """Yield the ways for a value to pass the operator; none where that cannot be looked up."""
    if operator in {"in", "on_list"}:
        name = list_name(operator, operand)
        if name is None:
            yield from (("is", value) for value in operand)
        else:
            yield "listed", lists[name]
    elif operator in _HOW:
        yield _HOW[operator], operand
