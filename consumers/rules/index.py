"""Which rules a question concerns: looked up by act, provider, app, type and group, not searched for."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import inf
from typing import Any, Final, NamedTuple

from consumers.rules.acts import PROVIDERS, Act, Asked, known_acts
from consumers.rules.candidates import Candidates, Found
from consumers.rules.conditions import Members
from consumers.rules.facts import EACH, SAMPLE_KEY, Get, Value, Values
from consumers.rules.rule import Rule
from schemas.decisions import Question

_ANY: Final = object()
_LOOKED_UP: Final = frozenset(
    {"request.provider", "request.command", "request.app", "group.id", "group.type"}
)
"""What decides which rules a question concerns, and what of them it can be told."""

Key = tuple[Any, ...]


class Shelf(NamedTuple):
    """Rules with the same scope; ``needy`` are those that want fresh rules."""

    rules: Candidates
    facts: frozenset[str]
    needy: tuple[Rule, ...]


class Index:
    """Rules by scope. A rule stands on every shelf its scope names, so a look-up costs the same for any set.

    A rule that names groups or types also stands where the provider did not say them (None): there it
    hinges on a missing fact, which its outcome says.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._ranked = ranked = sorted(rules, key=lambda rule: rule.rank)
        self._acts = {name: (act, _consulted(act, ranked)) for name, act in known_acts().items()}
        placed: dict[Key, list[int]] = defaultdict(list)
        for number, rule in enumerate(ranked):
            for key in _keys(rule):
                placed[key].append(number)
        numbers = {key: tuple(some) for key, some in placed.items()}
        made = {some: _shelf(some, ranked) for some in set(numbers.values())}
        self._shelves = {key: made[some] for key, some in numbers.items()}
        self._listed = _listed(ranked)

    def ask(self, question: Question) -> Asked | None:
        """Return the question with the facts these rules consult; None where no rule can be about it."""
        known = self._acts.get(question.act)
        if known is None:
            return None
        act, consulted = known
        values: dict[str, Value | None] = {name: get(question) for name, get in consulted}
        values[SAMPLE_KEY] = question.partitionkey
        return Asked(act, values, question.members, question.partial)

    def find(self, act: str, values: Values) -> list[Shelf]:
        """Return the shelves of the rules whose scope the question is in, or may be in."""
        named = values["request.provider"]
        provider = named if named in PROVIDERS else _ANY
        app, kind, group = values["request.app"], values.get("group.type"), values.get("group.id")
        keys = (
            (act, provider, _ANY, _ANY),
            (act, provider, app, _ANY),
            (act, provider, _ANY, kind),
            (act, provider, app, kind),
            (act, provider, group),
        )
        return [self._shelves[key] for key in keys if key in self._shelves]

    def candidates(
        self, shelves: Iterable[Shelf], values: Values, everyone: Members
    ) -> list[tuple[Rule, Members]]:
        """Return the rules on the shelves that may say something, highest rank first.

        With each come the people who were found by its condition. Of the other rules it is certain, without
        evaluating them, that they neither match nor hinge on a fact.
        """
        found: Found = {}
        listed = everyone & self._listed
        for shelf in shelves:
            shelf.rules.add_to(found, values, everyone, listed)
        return [(self._ranked[number], found[number]) for number in sorted(found)]


def _consulted(act: Act, rules: Sequence[Rule]) -> tuple[tuple[str, Get], ...]:
    """Return the facts of the act that some rule consults, each with how it is read."""
    names = _LOOKED_UP.union(*(rule.facts for rule in rules if act.name in rule.acts))
    return tuple((name, fact.get) for name, fact in act.facts.items() if fact.get and name in names)


def _keys(rule: Rule) -> Iterator[Key]:
    scope = rule.scope
    providers = scope.providers or (*PROVIDERS, _ANY)
    if scope.groups:
        yield from product(rule.acts, providers, (*scope.groups, None))
        return
    apps = scope.apps or (_ANY,)
    kinds = (*scope.types, None) if scope.types else (_ANY,)
    yield from product(rule.acts, providers, apps, kinds)


def _shelf(numbers: Sequence[int], ranked: Sequence[Rule]) -> Shelf:
    rules = [ranked[number] for number in numbers]
    facts = frozenset[str]().union(*(rule.facts for rule in rules))
    needy = tuple(rule for rule in rules if rule.mode == "enforce" and rule.max_staleness_ms < inf)
    return Shelf(Candidates((number, ranked[number].only_if) for number in numbers), facts, needy)


def _listed(rules: Iterable[Rule]) -> Members:
    """Return everybody on any list that rules look people up on: most questions name none of them."""
    hints = [hint for rule in rules if rule.only_if for hint in rule.only_if.hints]
    lists = {hint.operand for hint in hints if hint.fact == EACH and hint.how == "listed"}
    return lists.pop() if len(lists) == 1 else frozenset().union(*lists)
