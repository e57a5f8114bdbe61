"""The question a rule's test describes, made from the facts it gives; no act has code of its own here."""

from collections.abc import Mapping
from typing import Any, Final

from consumers.rules.acts import PROVIDERS, Act, Asked, Asking
from consumers.rules.facts import EACH_INVITED, MEMBER_COUNT, SAMPLE_KEY, Value

PEOPLE: Final = ("members", "invitees")
"""What a test calls the people of its question; ``invitees`` is the word of an invitation."""

APART: Final = (*PEOPLE, "lists")
"""The keys of ``given`` that are no entity."""

_APP: Final = "test"


def given_facts(given: Mapping[str, Any]) -> dict[str, Value]:
    """Return the facts a test gives, by name."""
    entities = {key: attributes for key, attributes in given.items() if key not in APART}
    return {f"{entity}.{name}": value for entity, some in entities.items() for name, value in some.items()}


def people_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the people of a test's question."""
    return tuple(one for key in PEOPLE for one in given.get(key, ()))


def takes_people(act: Act, key: str) -> bool:
    """Return whether questions about the act name people, and under this key."""
    return act.has_members and (key != "invitees" or EACH_INVITED in act.facts)


def within(act: Act, scope: Mapping[str, Any]) -> list[Asking]:
    """Return the callbacks that ask about the act within a rule's scope, provider by provider."""
    providers, commands = scope.get("provider", PROVIDERS), scope.get("command")
    found = [one for one in act.asking if commands is None or one.command in commands]
    return [one for provider in providers for one in found if one.provider == provider]


def ask(act: Act, given: Mapping[str, Any], scope: Mapping[str, Any]) -> Asked | None:
    """Return the question as the rules take it; what the test leaves out the provider did not say.

    None where the provider it names never asks about the act. One that names neither provider nor command is
    asked by the first provider in scope, with the callback that carries most of what is given.
    """
    said, members = given_facts(given), people_of(given)
    asking = _asking(act, said, bool(members), scope)
    if asking is None:
        return None
    values: dict[str, Value | None] = dict.fromkeys(name for name, fact in act.facts.items() if fact.get)
    values |= {"request.provider": asking.provider, "request.command": asking.command, "request.app": _APP}
    values |= asking.constants
    values |= {name: None if value == "" else value for name, value in said.items() if name in values}
    if MEMBER_COUNT in asking.facts:
        values[MEMBER_COUNT] = len(members)
    values[SAMPLE_KEY] = str(said.get("group.id", ""))
    return Asked(act, values, members, asking.partial)


def _asking(act: Act, said: Mapping[str, Value], people: bool, scope: Mapping[str, Any]) -> Asking | None:
    provider, command = said.get("request.provider"), said.get("request.command")
    found = [one for one in act.asking if one.command == command and provider in (None, one.provider)]
    if not found and provider is not None:
        found = [one for one in act.asking if one.provider == provider]
        found = [one for one in within(act, scope) if one in found] or found
    elif not found:
        found = within(act, scope)
    asked_first = [one for one in found if one.provider == found[0].provider]
    return max(asked_first, key=lambda one: _fitness(one, said, people), default=None)


def _fitness(one: Asking, said: Mapping[str, Value], people: bool) -> int:
    """Return how much of what is given this callback carries, what is always otherwise in it left out."""
    carried = [name for name, value in said.items() if one.constants.get(name, value) == value]
    return len(one.facts.intersection([*carried, MEMBER_COUNT] if people else carried))
