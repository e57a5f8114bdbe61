"""The tables of acts in the guide, made from the acts: their facts, who asks, what a refusal may carry."""

from collections.abc import Iterable, Sequence
from typing import Final

from consumers.rules.acts import PROVIDERS, Act, Asking, known_acts
from consumers.rules.facts import MEMBER_COUNT, MEMBER_FACTS, Fact, request_facts

BEGIN: Final = "<!-- made by python -m consumers.rules -->"
END: Final = "<!-- end of what is made -->"
_COMMON: Final = MEMBER_FACTS | {fact.name for fact in request_facts(frozenset())} | {MEMBER_COUNT}
"""Facts told of all acts at once, above the tables."""


def with_tables(page: str) -> str:
    """Return the page with the tables between its two marks. Raises ValueError where a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return "\n".join((f"{before}{BEGIN}", *_facts_table(), "", *_answers_table(), f"{END}{after}"))


def _facts_table() -> Iterable[str]:
    yield "| act | people | facts | said by Tencent alone | said by OpenIM alone |"
    yield "|---|---|---|---|---|"
    for act in known_acts().values():
        own = [fact for fact in act.facts.values() if fact.name not in _COMMON]
        both = [fact for fact in own if len(fact.said_by) > 1]
        alone = [[fact for fact in own if fact.said_by == {provider}] for provider in PROVIDERS]
        yield f"| `{act.name}` | {_people(act)} | {_names(both)} | {_names(alone[0])} | {_names(alone[1])} |"


def _answers_table() -> Iterable[str]:
    yield "| act | asked with | own codes | some can be refused |"
    yield "|---|---|---|---|"
    for act in known_acts().values():
        for one in act.asking:
            yield f"| `{act.name}` | `{one.command}` | {_codes(one)} | {_some(act, one)} |"


def _people(act: Act) -> str:
    return ", ".join(f"`{name}`" for name in act.facts if name in MEMBER_FACTS)


def _names(facts: Sequence[Fact]) -> str:
    return ", ".join(f"`{fact.name}`" + (" (number)" if fact.kind == "number" else "") for fact in facts)


def _codes(one: Asking) -> str:
    return f"{one.codes[0]}-{one.codes[-1]}" if one.codes else "none"


def _some(act: Act, one: Asking) -> str:
    if not act.has_members:
        return ""
    return "yes, each with the code" if one.verdicts else "yes" if one.partial else "no"
