"""One rule, compiled: what it says about one question."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import inf
from typing import Any, Final, Literal, NamedTuple

import orjson

from consumers.rules.acts import ANY_APP
from consumers.rules.clauses import (
    Match,
    Select,
    compile_match,
    compile_members,
    every,
    leaves,
)
from consumers.rules.conditions import Condition, Members, condition, shortest
from consumers.rules.facts import MEMBER_FACTS, SAMPLE_KEY, Values
from consumers.rules.operators import Lists, operator_of
from schemas.decisions import Effect, Outcome
from schemas.envelope import parse_time
from schemas.outcomes import form_of

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SAMPLE_STEPS: Final = 10_000
_NOBODY: Final[Members] = frozenset()
Wish = Literal["allow", "deny", "refuse_members"] | None
"""What a rule asks for, None where it only annotates or cannot tell."""

Said = tuple["Rule", Wish, Members, bool, tuple[str, ...]]
"""What one rule says: itself, its wish, whom it refuses, whether it matched, the facts it missed.

A plain tuple, since a question may get hundreds.
"""

_WISHES: Final[Mapping[str, Wish]] = {
    "allow": "allow",
    "deny": "deny",
    "refuse_members": "refuse_members",
    "annotate": None,
}


class Scope(NamedTuple):
    """What a rule is for; None where it is not narrowed."""

    providers: tuple[str, ...] | None
    commands: tuple[str, ...] | None
    apps: tuple[str, ...] | None
    groups: tuple[str, ...] | None
    types: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as ``decide`` uses it. Times are milliseconds; ``inf`` where there is no bound.

    ``in_scope`` is the scope again as a predicate, the provider left out, by whom the index finds a rule;
    ``match`` is scope and match together, None where nothing of either is left. ``only_if`` is what must hold
    lest the rule say nothing, None where nothing simple is known; ``is_looked_up`` says that it is all there
    is to the rule: if it holds for anybody the rule has its wish, a refusal of those it holds for.
    ``matched_json`` is the outcome of a rule that matches and misses nothing, up to whom it refuses.
    """

    id: str
    rev: int
    mode: Literal["enforce", "shadow"]
    priority: int
    acts: tuple[str, ...]
    scope: Scope
    in_scope: Match | None
    match: Match | None
    only_if: Condition | None
    members: Select | None
    wish: Wish
    override: bool
    deny_when_partial_unsupported: bool
    on_missing: Literal["no_match", "match", "deny"]
    max_staleness_ms: float
    expires_ms: float
    text: str | None
    codes: Mapping[str, int]
    facts: frozenset[str]
    hinges: tuple[str, ...]
    is_looked_up: bool = field(init=False)
    matched_json: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Work out what is asked of the rule with every question."""
        selects = self.only_if is not None and self.only_if.selects
        is_looked_up = selects and self.match is None and self.wish != "allow" and self.expires_ms == inf
        object.__setattr__(self, "is_looked_up", is_looked_up)
        object.__setattr__(self, "matched_json", self._matched_json())

    @property
    def rank(self) -> tuple[int, str, int]:
        """Where the rule stands among those whose reason could be told: highest priority first, then id."""
        return -self.priority, self.id, self.rev

    def say(self, values: Values, everyone: Members, found: Members) -> Said | None:
        """Return what the rule says; None when it does not match and hinges on nothing.

        ``found`` are those for whom ``only_if`` holds.
        """
        verdict = True if self.match is None else self.match(values)
        if verdict is False:
            return None
        selects = self.only_if is not None and self.only_if.selects
        if selects and verdict:  # nothing can hinge on a missing fact
            return self._said(found) if self.wish != "allow" or found == everyone else None
        if self.members is None:
            sure, possible = (everyone, everyone) if verdict else (_NOBODY, everyone)
            matched, open_ = verdict is True, verdict is None
        else:
            sure, possible = (_NOBODY, found) if selects else self.members(values, everyone)
            if verdict is None:
                sure = _NOBODY
            matched, open_ = self._quantified(sure, possible, everyone)
        if open_:
            return self._hinged(values, matched, sure, possible)
        return self._said(sure) if matched else None

    def _quantified(self, sure: Members, possible: Members, everyone: Members) -> tuple[bool, bool]:
        """Return whether enough members match, and whether that (or who) hinges on a missing fact.

        One matching member is enough to deny; to allow, all must match, lest one carries the others in.
        """
        if self.wish == "allow":
            matched = bool(everyone) and sure == everyone
            return matched, not matched and bool(everyone) and possible == everyone
        if self.wish == "refuse_members":
            return bool(sure), sure != possible
        return bool(sure), not sure and bool(possible)

    def _hinged(self, values: Values, matched: bool, sure: Members, possible: Members) -> Said:
        missing = tuple(fact for fact in self.hinges if values[fact] is None)
        if self.on_missing == "match":
            return self._said(possible, missing)
        if self.on_missing == "deny":
            return self, "deny", _NOBODY, matched, missing
        if matched:
            return self._said(sure, missing)
        return self, None, _NOBODY, False, missing

    def _said(self, selected: Members, missing: tuple[str, ...] = ()) -> Said:
        return self, self.wish, selected if self.wish == "refuse_members" else _NOBODY, True, missing

    def _matched_json(self) -> bytes:
        effect = None if self.wish is None else Effect(self.wish)
        return orjson.dumps(form_of(Outcome(self.id, self.rev, self.mode, effect))).removesuffix(b"[]}")


def compile_rule(content: Mapping[str, Any], lists: Lists) -> Rule:
    """Return a checked rule compiled. A rule that is off compiles as if it were in shadow."""
    scope = _scope(content.get("scope", {}))
    in_scope = _in_scope(content, scope, lists)
    match = compile_match(content["match"], lists) if "match" in content else None
    needs, reason = content.get("needs", {}), content.get("reason", {})
    facts, hinges = _facts(content, scope)
    return Rule(
        id=content["id"],
        rev=content["rev"],
        mode="enforce" if content.get("mode", "enforce") == "enforce" else "shadow",
        priority=content.get("priority", 0),
        acts=tuple(content["on"]),
        scope=scope,
        in_scope=in_scope,
        match=_both(in_scope, match),
        only_if=shortest(condition(content[part], lists) for part in ("match", "members") if part in content),
        members=compile_members(content["members"], lists) if "members" in content else None,
        wish=_WISHES[content["effect"]],
        override=content.get("override", False),
        deny_when_partial_unsupported=content.get("partial_unsupported", "deny") == "deny",
        on_missing=needs.get("on_missing", "no_match"),
        max_staleness_ms=_milliseconds(needs["max_staleness"]) if "max_staleness" in needs else inf,
        expires_ms=parse_time(content["expires"]) if "expires" in content else inf,
        text=reason.get("text"),
        codes=reason.get("code", {}),
        facts=facts,
        hinges=hinges,
    )


def _scope(scope: Mapping[str, Any]) -> Scope:
    def narrowed(values: list[str] | None) -> tuple[str, ...] | None:
        return None if values is None or ANY_APP in values else tuple(sorted(set(values)))

    group = scope.get("group", {})
    return Scope(
        providers=tuple(scope["provider"]) if "provider" in scope else None,
        commands=narrowed(scope.get("command")),
        apps=narrowed(scope.get("app")),
        groups=tuple(sorted(set(group["id"]))) if "id" in group else None,
        types=tuple(sorted(set(group["type"]))) if "type" in group else None,
    )


def _in_scope(content: Mapping[str, Any], scope: Scope, lists: Lists) -> Match | None:
    named = {
        "request.command": scope.commands,
        "request.app": scope.apps,
        "group.id": scope.groups,
        "group.type": scope.types,
    }
    parts: list[Match] = [
        compile_match({"fact": fact, "in": list(values)}, lists) for fact, values in named.items() if values
    ]
    sample = content.get("scope", {}).get("sample", 100)
    if sample < 100:  # noqa: PLR2004 percent
        parts.append(_sampled(content["id"], sample))
    return every(parts) if parts else None


def _both(in_scope: Match | None, match: Match | None) -> Match | None:
    parts = [part for part in (in_scope, match) if part is not None]
    return every(parts) if parts else None


def _sampled(rule: str, percent: float) -> Callable[[Values], bool]:
    """Return whether a question is in the sample: the same groups each time, more as the percentage grows."""
    steps = percent * _SAMPLE_STEPS / 100

    def holds(values: Values) -> bool:
        digest = blake2b(f"{rule}\n{values[SAMPLE_KEY]}".encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest) % _SAMPLE_STEPS < steps

    return holds


def _facts(content: Mapping[str, Any], scope: Scope) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the request facts a rule consults, and in order those it can hinge on."""
    consulted = {"group.id"} if scope.groups else set()
    consulted |= {"group.type"} if scope.types else set()
    hinges = set(consulted)
    for part in ("match", "members"):
        for leaf in leaves(content.get(part, {})):
            if leaf["fact"] not in MEMBER_FACTS:
                consulted.add(leaf["fact"])
                hinges |= {leaf["fact"]} if operator_of(leaf)[0] != "exists" else set()
    return frozenset(consulted), tuple(sorted(hinges))


def _milliseconds(duration: str) -> int:
    return int(duration[:-1]) * _SECONDS[duration[-1]] * 1000
