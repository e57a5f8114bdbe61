"""What rules can be about: one row per act. Facts, callbacks and codes of each are read from the catalog.

Adding an act is one line in ``_DECLARED``: the word for what it is about and the refusal told where a rule
gives none.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from consumers.rules.facts import (
    Fact,
    Value,
    Values,
    constants,
    entities_of,
    people_facts,
    request_facts,
    row_facts,
)
from schemas.catalog import Catalog
from schemas.catalog_rows import Answers, Row

PROVIDERS: Final = ("tencent", "openim")
ANY_APP: Final = "*"
_NO_ANSWERS: Final = Answers(deny_code=0)

_DECLARED: Final[Mapping[str, tuple[str, str]]] = {
    "invite": ("request", "This invitation is not allowed."),
    "join": ("request", "Joining this group is not allowed."),
    "admit_members": ("request", "These people may not become members."),
    "create_group": ("group", "Creating this group is not allowed."),
    "update_group": ("group", "Changing this group is not allowed."),
    "update_member": ("member", "Changing this member is not allowed."),
    "create_topic": ("topic", "Creating this topic is not allowed."),
    "send_message": ("message", "This message is not allowed."),
    "modify_message": ("message", "This message is not allowed."),
    "filter_words": ("message", "This message is not allowed."),
    "push": ("message", "This message is not pushed."),
    "answer_bot": ("message", "The bot gets no answer."),
    "add_friend": ("request", "Adding this friend is not allowed."),
    "answer_friend": ("request", "Answering this friend request is not allowed."),
    "import_friends": ("request", "Importing these friends is not allowed."),
    "set_friend_remark": ("request", "This remark is not allowed."),
    "block": ("request", "Blocking this user is not allowed."),
    "register": ("request", "Registering is not allowed."),
    "update_user": ("user", "Changing this profile is not allowed."),
    "create_conversation": ("conversation", "Starting this conversation is not allowed."),
    "create_official": ("official", "Creating this official account is not allowed."),
    "subscribe": ("request", "Subscribing to this account is not allowed."),
    "set_reaction": ("message", "This reaction is not allowed."),
    "add_reactions": ("message", "These reactions are not allowed."),
    "delete_reaction": ("message", "Removing this reaction is not allowed."),
    "list_reactions": ("message", "Reading these reactions is not allowed."),
}


class Asking(NamedTuple):
    """One callback that asks about an act, and what it can be told.

    ``codes`` is what a refusal's own code must lie in, empty where there is none; ``partial`` says whether
    some of the people can be refused, ``verdicts`` that each refused one is told the code. ``facts`` are
    those it may carry, ``constants`` those that are always the same.
    """

    provider: str
    command: str
    codes: range
    partial: bool
    verdicts: bool
    facts: frozenset[str]
    constants: Mapping[str, Value]


class Act(NamedTuple):
    """One thing about to happen. ``refusal`` is the reason told where a rule gives none.

    ``has_members`` says whether it is about people, some of whom could be refused.
    """

    name: str
    refusal: str
    facts: Mapping[str, Fact]
    asking: Sequence[Asking]
    has_members: bool
    verdicts: frozenset[str]

    def providers(self) -> frozenset[str]:
        """Return the providers that ask about it."""
        return frozenset(one.provider for one in self.asking)


class Asked(NamedTuple):
    """One question as the rules take it: the facts they consult, and nothing else of it."""

    act: Act
    values: Values
    members: tuple[str, ...]
    partial: bool


@cache
def known_acts() -> Mapping[str, Act]:
    """Return every act rules can be about, by name; the catalog is read the first time."""
    rows = [spec.row for spec in Catalog.load() if spec.phase == "before"]
    entities = entities_of(rows)
    return {name: _act(name, [row for row in rows if row.act == name], entities) for name in _DECLARED}


def _act(name: str, rows: Sequence[Row], entities: frozenset[str]) -> Act:
    entity, refusal = _DECLARED[name]
    asking = tuple(_asking(row, entity, entities) for row in sorted(rows, key=_place))
    without = frozenset(row.name for row in rows if not row.members)
    return Act(
        name=name,
        refusal=refusal,
        facts=_merged(fact for row in rows for fact in _facts(row, entity, entities, without)),
        asking=asking,
        has_members=len(without) < len(rows),
        verdicts=frozenset(one.command for one in asking if one.verdicts),
    )


def _place(row: Row) -> int:
    return PROVIDERS.index(row.provider)


def _facts(
    row: Row, entity: str, entities: frozenset[str], without: frozenset[str] = frozenset()
) -> Sequence[Fact]:
    by = frozenset({row.provider})
    people = people_facts(row.members, by, without) if row.members else ()
    return (*request_facts(by), *row_facts(row, entity, entities), *people)


def _merged(facts: Iterable[Fact]) -> Mapping[str, Fact]:
    """Return the facts of several rows by name, those of the request first, without those nobody says."""
    merged: dict[str, Fact] = {}
    for fact in facts:
        known = merged.get(fact.name, fact)
        merged[fact.name] = known._replace(said_by=known.said_by | fact.said_by)
    said = [fact for fact in merged.values() if fact.said_by]
    said.sort(key=lambda fact: not fact.name.startswith("request."))
    return {fact.name: fact for fact in said}


def _asking(row: Row, entity: str, entities: frozenset[str]) -> Asking:
    answers = row.answers or _NO_ANSWERS
    return Asking(
        provider=row.provider,
        command=row.name,
        codes=range(answers.codes[0], answers.codes[1] + 1),
        partial=answers.partial(),
        verdicts=answers.per_target is not None,
        facts=frozenset(fact.name for fact in _facts(row, entity, entities) if fact.said_by),
        constants=constants(row, entity, entities),
    )
