"""Finding rules by what their conditions look at: rules are numbered, facts lead to the numbers."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from consumers.rules.conditions import Condition, Hint, How, Members
from consumers.rules.facts import EACH, Values

Numbers = Sequence[int]
"""Rules, by number."""

Found = dict[int, Members]
"""Rules that may say something, each with the people for whom its condition holds."""

_NOBODY: Final[Members] = frozenset()
_Sorted = dict[How, dict[Any, list[int]]]


class Candidates:
    """Numbered rules, found by what is said."""

    def __init__(self, conditions: Iterable[tuple[int, Condition | None]]) -> None:
        hints: dict[str, list[tuple[Hint, int]]] = defaultdict(list)
        always = []
        for number, known in conditions:
            if known is None:
                always.append(number)
            for hint in known.hints if known else ():
                hints[hint.fact].append((hint, number))
        self._always = dict.fromkeys(always, _NOBODY)
        self._people = _PeopleDrawer(hints.pop(EACH, ()))
        self._request = tuple((fact, _RequestDrawer(some)) for fact, some in hints.items())

    def add_to(self, found: Found, values: Values, everyone: Members, listed: Members) -> None:
        """Add the rules that may say something: all but those of which it is certain that they do not.

        ``listed`` are those of everyone who are on any list that a rule names.
        """
        found.update(self._always)
        for fact, drawer in self._request:
            for numbers in drawer.find(values[fact]):
                found.update(dict.fromkeys(numbers, _NOBODY))
        for picked, numbers in self._people.find(everyone, listed):
            for number in numbers:
                known = found.get(number)
                found[number] = known | picked if known else picked


class _RequestDrawer:
    """Rules whose condition looks at one fact of the request."""

    def __init__(self, hints: Iterable[tuple[Hint, int]]) -> None:
        found = _sorted_out(hints)
        self._exact = found["is"]
        self._lists = tuple(found["listed"].items())
        self._starts = _Starts(found["starts"])
        self._least = sorted(found["least"].items())
        self._most = sorted(found["most"].items(), reverse=True)

    def find(self, value: Any) -> Iterator[Numbers]:
        """Yield the rules for which the value holds."""
        if value in self._exact:
            yield self._exact[value]
        if value is None:
            return
        for listed, numbers in self._lists:
            if value in listed:
                yield numbers
        if isinstance(value, str):
            yield from (numbers for _, numbers in self._starts.find((value,)))
        else:
            yield from self._bounded(value)

    def _bounded(self, value: float) -> Iterator[Numbers]:
        for bound, numbers in self._least:
            if bound > value:
                break
            yield numbers
        for bound, numbers in self._most:
            if bound < value:
                break
            yield numbers


class _PeopleDrawer:
    """Rules whose condition looks at each of the people."""

    def __init__(self, hints: Iterable[tuple[Hint, int]]) -> None:
        found = _sorted_out(hints)
        self._exact, self._named = found["is"], frozenset(found["is"])
        self._lists = tuple(found["listed"].items())
        self._starts = _Starts(found["starts"])

    def find(self, everyone: Members, listed: Members) -> Iterator[tuple[Members, Numbers]]:
        """Yield people with the rules whose condition holds for them."""
        for one in everyone & self._named:
            yield frozenset((one,)), self._exact[one]
        for values, numbers in self._lists if listed else ():
            picked = listed & values
            if picked:
                yield picked, numbers
        yield from self._starts.find(everyone)


class _Starts:
    """Rules by what a text starts with, in order."""

    def __init__(self, starts: Mapping[str, Numbers]) -> None:
        self._starts = sorted(starts)
        self._numbers = [starts[start] for start in self._starts]

    def find(self, texts: Iterable[str]) -> Iterator[tuple[Members, Numbers]]:
        """Yield those of the texts with one start, which in order stand side by side, and its rules."""
        starts, turn, place = self._starts, 0, 0
        ordered = sorted(texts) if starts else []
        while turn < len(starts):
            start = starts[turn]
            place = stop = bisect_left(ordered, start, place)
            if place == len(ordered):
                return
            while stop < len(ordered) and ordered[stop].startswith(start):
                stop += 1
            if stop > place:
                yield frozenset(ordered[place:stop]), self._numbers[turn]
                turn += 1
            else:  # a start with a lesser first letter than the next text has is that of none
                turn = bisect_left(starts, ordered[place][0], turn + 1)


def _sorted_out(hints: Iterable[tuple[Hint, int]]) -> _Sorted:
    found: _Sorted = defaultdict(dict)
    for hint, number in hints:
        found[hint.how].setdefault(hint.operand, []).append(number)
    return found
