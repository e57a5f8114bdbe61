"""What must hold before a rule can say anything: read off its clauses, and looked up instead of evaluated.

A condition is necessary, never sufficient: a rule for which it holds is still evaluated. A missing fact
(None) is a value like others here, since a rule that hinges on one says so.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from consumers.rules.facts import EACH, MEMBER_FACTS, Values
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


Condition = Sequence[Hint]
"""Hints of which one must hold."""

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
        return min(known, key=len, default=None)
    return [hint for part in known for hint in part] if len(known) == len(parts) else None


def _of_leaf(leaf: Mapping[str, Any], lists: Lists) -> Condition | None:
    fact = EACH if leaf["fact"] in MEMBER_FACTS else leaf["fact"]
    operator, operand = operator_of(leaf)
    missing = Hint(fact, "is", None)
    if operator in {"in", "on_list"}:
        name = list_name(operator, operand)
        if name is not None:
            return [missing, Hint(fact, "listed", lists[name])]
        return [missing, *(Hint(fact, "is", value) for value in operand)]
    return [missing, Hint(fact, _HOW[operator], operand)] if operator in _HOW else None


class Drawer:
    """Rules, by number, whose condition looks at one fact."""

    def __init__(self, hints: Iterable[tuple[Hint, int]]) -> None:
        found: dict[How, dict[Any, list[int]]] = defaultdict(dict)
        for hint, number in hints:
            found[hint.how].setdefault(hint.operand, []).append(number)
        self._exact: Mapping[Any, Sequence[int]] = found["is"]
        self._lists = tuple(found["listed"].items())
        self._starts = sorted(found["starts"].items())
        self._least = sorted(found["least"].items())
        self._most = sorted(found["most"].items(), reverse=True)

    def find(self, said: frozenset[Any]) -> Iterator[Sequence[int]]:
        """Yield the rules for which one of the values said holds."""
        for value in said & self._exact.keys():
            yield self._exact[value]
        if None in said:
            return
        for listed, numbers in self._lists:
            if not listed.isdisjoint(said):
                yield numbers
        if self._starts:
            yield from self._started(sorted(said))
        if self._least or self._most:
            yield from self._bounded(*said)

    def _started(self, ordered: Sequence[str]) -> Iterator[Sequence[int]]:
        """Look where each text would stand in order: whatever starts with it stands there."""
        place = 0
        for start, numbers in self._starts:
            place = bisect_left(ordered, start, place)
            if place == len(ordered):
                return
            if ordered[place].startswith(start):
                yield numbers

    def _bounded(self, value: float) -> Iterator[Sequence[int]]:
        for bound, numbers in self._least:
            if bound > value:
                break
            yield numbers
        for bound, numbers in self._most:
            if bound < value:
                break
            yield numbers


class Candidates:
    """Numbered rules, found by what is said."""

    def __init__(self, conditions: Iterable[tuple[int, Condition | None]]) -> None:
        hints: dict[str, list[tuple[Hint, int]]] = defaultdict(list)
        always = []
        for number, known in conditions:
            if known is None:
                always.append(number)
            for hint in known or ():
                hints[hint.fact].append((hint, number))
        self._always = tuple(always)
        self._drawers = tuple((fact, Drawer(some)) for fact, some in hints.items())

    def add_to(self, found: set[int], values: Values, everyone: Members) -> None:
        """Add the rules that may say something: all but those of which it is certain that they do not."""
        found.update(self._always)
        for fact, drawer in self._drawers:
            said = everyone if fact == EACH else frozenset((values[fact],))
            found.update(*drawer.find(said))
