"""What a rule can look at, derived from the catalog: each single value among a row's fields is one fact.

A fact is called ``entity.attribute``. ``sender_id`` is ``sender.id``, ``group_type`` is ``group.type``, since
some field names the sender and the group by id; a field that names neither of such (``name``, ``wording``)
belongs to what the act is about. Facts are texts and numbers; a flag is the text ``true`` or ``false``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from schemas.catalog_rows import Row
from schemas.decisions import Question
from schemas.normalize.fields import CONSTANT, TEMPLATE

Value = str | int | float
Values = Mapping[str, Value | None]
"""Facts about one request with their values, None where the provider did not say."""

Get = Callable[[Question], Value | None]
Kind = Literal["text", "number"]

SAMPLE_KEY: Final = "#key"
"""Where values hold the partition key of the question, which a sample is drawn by."""

EACH: Final = "member.id"
EACH_INVITED: Final = "invitee.id"
MEMBER_FACTS: Final = frozenset({EACH, EACH_INVITED})
"""The facts that differ from one of the people to the next; an invitation has a word of its own for them."""

MEMBER_COUNT: Final = "request.member_count"
"""How many people a question names."""

MIXED: Final = "mixed"
"""The kind of a message whose parts are of several kinds."""


class Fact(NamedTuple):
    """One thing a rule can look at. ``get`` is None for a fact about one member.

    ``said_by`` names the providers that say it with some callback of the act.
    """

    name: str
    kind: Kind
    get: Get | None
    said_by: frozenset[str]


def row_facts(row: Row, entity: str, entities: frozenset[str]) -> Iterator[Fact]:
    """Yield the facts that callbacks of this row may carry; ``entity`` is what the act is about."""
    said_by = frozenset({row.provider})
    for field in row.fields:
        if field.name == "content":
            yield Fact("message.kind", "text", _message_kind, said_by)
            yield Fact("message.text", "text", _message_text, said_by)
        elif field.conversion in _READERS:
            kind, reader = _READERS[field.conversion]
            yield Fact(fact_name(field.name, entity, entities), kind, reader(field.name), said_by)


def request_facts(providers: frozenset[str]) -> tuple[Fact, ...]:
    """Return the facts every callback has, whatever it is about."""
    only_tencent = providers & {"tencent"}
    return (
        Fact("request.provider", "text", lambda question: question.callback.provider, providers),
        Fact("request.app", "text", lambda question: question.callback.app, providers),
        Fact("request.command", "text", lambda question: question.command, providers),
        Fact(
            "request.operation_id", "text", lambda question: question.callback.operation_id or None, providers
        ),
        Fact("request.platform", "text", _query("OptPlatform"), only_tencent),
        Fact("request.client_ip", "text", _query("ClientIP"), only_tencent),
    )


def people_facts(field: str, providers: frozenset[str], without: frozenset[str]) -> tuple[Fact, ...]:
    """Return the facts of an act about people, named in ``field`` but for the commands ``without`` any."""

    def count(question: Question) -> int | None:
        return None if question.command in without else len(question.members)

    names = (EACH_INVITED, EACH) if field == "invitee_ids" else (EACH,)
    each = (Fact(name, "text", None, providers) for name in names)
    return (Fact(MEMBER_COUNT, "number", count, providers), *each)


def entities_of(rows: Iterable[Row]) -> frozenset[str]:
    """Return the words that some field of the rows puts before ``_id``."""
    named = (
        field.name.removesuffix("_id") for row in rows for field in row.fields if field.name.endswith("_id")
    )
    return frozenset(word for word in named if "_" not in word)


def fact_name(field: str, entity: str, entities: frozenset[str]) -> str:
    """Return what the fact in this field is called."""
    word, _, attribute = field.partition("_")
    return f"{word}.{attribute}" if attribute and word in entities else f"{entity}.{field}"


def constants(row: Row, entity: str, entities: frozenset[str]) -> dict[str, Value]:
    """Return the facts that are the same in every callback of the row."""
    return {
        fact_name(field.name, entity, entities): field.constant
        for field in row.fields
        if field.conversion == CONSTANT and isinstance(field.constant, str)
    }


def _text(field: str) -> Get:
    def get(question: Question) -> str | None:
        value = question.data.get(field)
        return value if isinstance(value, str) and value else None

    return get


def _number(field: str) -> Get:
    def get(question: Question) -> int | None:
        value = question.data.get(field)
        return value if type(value) is int else None

    return get


def _flag(field: str) -> Get:
    def get(question: Question) -> str | None:
        value = question.data.get(field)
        return None if not isinstance(value, bool) else "true" if value else "false"

    return get


def _query(parameter: str) -> Get:
    return lambda question: question.callback.query.get(parameter) or None


_READERS: Final[Mapping[str, tuple[Kind, Callable[[str], Get]]]] = {
    **dict.fromkeys(("id", "text", "filled", "choice", TEMPLATE, CONSTANT), ("text", _text)),
    **dict.fromkeys(("integer", "seconds", "ms"), ("number", _number)),
    **dict.fromkeys(("flag", "mentions_all"), ("text", _flag)),
}
"""How a field is read as a fact, by its conversion. Lists and objects are no facts."""

_WORDED: Final = frozenset({"text", "at_text", "quote", "advanced_text", "markdown"})
_WORDS: Final = ("Text", "content", "text")


def _message_kind(question: Question) -> str | None:
    """Return the kind all parts of the message have in common."""
    kinds = {kind for part in _parts(question) if isinstance(kind := part.get("kind"), str)}
    return None if not kinds else kinds.pop() if len(kinds) == 1 else MIXED


def _message_text(question: Question) -> str | None:
    """Return what is written in the message: every part that holds words, one line below the other."""
    said = [_words(part.get("body")) for part in _parts(question) if part.get("kind") in _WORDED]
    return "\n".join(filter(None, said)) or None


def _parts(question: Question) -> Sequence[Any]:
    content = question.data.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else ()


def _words(body: Any) -> str | None:
    if isinstance(body, dict):
        body = next((body[key] for key in _WORDS if isinstance(body.get(key), str)), None)
    return body if isinstance(body, str) else None
