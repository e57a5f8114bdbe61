"""Clauses compiled to closures, over one request (``match``) and over its members (``members``).

Logic is three-valued: a clause on a fact the provider did not say is neither true nor false, and so is
its ``not``. Such a clause never makes a rule match; the rule says which facts it hinged on.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from consumers.rules.conditions import Members
from consumers.rules.facts import MEMBER_FACTS, Values
from consumers.rules.operators import OPERATORS, Lists, bound, list_name, operator_of

Match = Callable[[Values], bool | None]
"""True, False, or None where the answer hinges on a missing fact."""

Select = Callable[[Values, Members], tuple[Members, Members]]
"""Of everyone: who matches for certain, and who matches for certain or hinges on a missing fact."""

_NOBODY: Final[Members] = frozenset()


def leaves(clause: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every leaf of a clause tree."""
    if "fact" in clause:
        yield clause
    for part in (*clause.get("all", ()), *clause.get("any", ()), *filter(None, (clause.get("not"),))):
        yield from leaves(part)


def compile_match(clause: Mapping[str, Any], lists: Lists) -> Match:
    """Return the clause as one function of the request's facts."""
    if "fact" in clause:
        return _leaf(clause, lists)
    if "not" in clause:
        return _negated(compile_match(clause["not"], lists))
    if "all" in clause:
        return every([compile_match(part, lists) for part in clause["all"]])
    return _some([compile_match(part, lists) for part in clause["any"]])


def _leaf(leaf: Mapping[str, Any], lists: Lists) -> Match:
    fact: str = leaf["fact"]
    operator, operand = operator_of(leaf)
    if operator == "exists":
        return lambda values: (values[fact] is not None) is operand
    test = OPERATORS[operator].make(bound(operator, operand, lists))

    def holds(values: Values) -> bool | None:
        value = values[fact]
        return None if value is None else test(value)

    return holds


def _negated(part: Match) -> Match:
    def holds(values: Values) -> bool | None:
        said = part(values)
        return None if said is None else not said

    return holds


def every(parts: list[Match]) -> Match:
    """Return the conjunction; False as soon as one part is false."""
    if len(parts) == 1:
        return parts[0]

    def holds(values: Values) -> bool | None:
        verdict: bool | None = True
        for part in parts:
            said = part(values)
            if said is False:
                return False
            if said is None:
                verdict = None
        return verdict

    return holds


def _some(parts: list[Match]) -> Match:
    def holds(values: Values) -> bool | None:
        verdict: bool | None = False
        for part in parts:
            said = part(values)
            if said:
                return True
            if said is None:
                verdict = None
        return verdict

    return holds


def compile_members(clause: Mapping[str, Any], lists: Lists) -> Select:
    """Return the clause as one function from everyone to those it selects."""
    if clause.get("fact") in MEMBER_FACTS:
        return _by_id(clause, lists)
    if "fact" in clause:
        return _by_request(_leaf(clause, lists))
    if "not" in clause:
        return _but(compile_members(clause["not"], lists))
    if "all" in clause:
        return _both([compile_members(part, lists) for part in clause["all"]])
    return _either([compile_members(part, lists) for part in clause["any"]])


def _by_id(leaf: Mapping[str, Any], lists: Lists) -> Select:
    """Select by the member's own id: set operations, so fifty members cost little more than one."""
    pick = _picker(leaf, lists)

    def select(_: Values, everyone: Members) -> tuple[Members, Members]:
        picked = pick(everyone)
        return picked, picked

    return select


def _picker(leaf: Mapping[str, Any], lists: Lists) -> Callable[[Members], Members]:
    operator, operand = operator_of(leaf)
    if operator == "exists":
        return lambda everyone: everyone if operand else _NOBODY
    value = bound(operator, operand, lists)
    chosen = value if isinstance(value, frozenset) else frozenset((value,))
    if list_name(operator, operand) and operator != "not_in":
        return lambda everyone: _listed(everyone, chosen)
    if operator in {"in", "eq"}:
        return lambda everyone: everyone & chosen
    if operator in {"not_in", "ne"}:
        return lambda everyone: everyone - chosen
    return _PICKERS[operator](value)


@lru_cache(maxsize=64)
def _listed(everyone: Members, listed: Members) -> Members:
    """Return the members on a named list: once for all rules of a question that name it."""
    return everyone & listed


def _by_prefix(text: str) -> Callable[[Members], Members]:
    """Look where the prefix would stand in order: whoever has it stands there, side by side."""

    def pick(everyone: Members) -> Members:
        ordered = _ordered(everyone)
        start = stop = bisect_left(ordered, text)
        while stop < len(ordered) and ordered[stop].startswith(text):
            stop += 1
        return frozenset(ordered[start:stop])

    return pick


@lru_cache(maxsize=4)
def _ordered(everyone: Members) -> Sequence[str]:
    """Return the members in order: once for all rules of a question."""
    return sorted(everyone)


def _by_suffix(text: str) -> Callable[[Members], Members]:
    return lambda everyone: frozenset([member for member in everyone if member.endswith(text)])


def _by_part(text: str) -> Callable[[Members], Members]:
    return lambda everyone: frozenset([member for member in everyone if text in member])


_PICKERS: Final = {"prefix": _by_prefix, "suffix": _by_suffix, "contains": _by_part}


def _by_request(part: Match) -> Select:
    def select(values: Values, everyone: Members) -> tuple[Members, Members]:
        said = part(values)
        return (everyone if said else _NOBODY), (_NOBODY if said is False else everyone)

    return select


def _but(part: Select) -> Select:
    def select(values: Values, everyone: Members) -> tuple[Members, Members]:
        sure, possible = part(values, everyone)
        return everyone - possible, everyone - sure

    return select


def _both(parts: list[Select]) -> Select:
    def select(values: Values, everyone: Members) -> tuple[Members, Members]:
        sure = possible = everyone
        for part in parts:
            picked, open_ = part(values, everyone)
            sure, possible = sure & picked, possible & open_
            if not possible:
                break
        return sure, possible

    return select


def _either(parts: list[Select]) -> Select:
    def select(values: Values, everyone: Members) -> tuple[Members, Members]:
        sure = possible = _NOBODY
        for part in parts:
            picked, open_ = part(values, everyone)
            sure, possible = sure | picked, possible | open_
        return sure, possible

    return select
