"""What a vendor makes of an answer: a reading, or a fault of the answer."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import orjson

ReadingKind = Literal["allow", "deny", "drop", "refuse_some", "modify", "failed"]


class Reading(NamedTuple):
    """What the vendor does after a legal answer.

    ``deny`` refuses with ``code`` and ``text``; ``refuse_some`` keeps ``refused`` out; ``modify`` goes on
    with ``changes``, named as in the answer; ``drop`` lets the act vanish while its user sees success;
    ``failed`` means that we said ourselves to have failed, so that the vendor follows its own policy.
    """

    kind: ReadingKind
    code: int = 0
    text: str = ""
    refused: tuple[str, ...] = ()
    changes: Mapping[str, Any] = {}


class Fault(NamedTuple):
    """Why an answer is none: the vendor cannot read it, crashes on it, or does what nobody can have meant."""

    why: str


class BadAnswer(ValueError):
    """An answer is against the dialect; the text becomes the fault."""


def question_of(body: bytes) -> Mapping[str, Any]:
    """Return the question, empty where it is no JSON object, so that nothing is held against it."""
    try:
        question = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return question if isinstance(question, dict) else {}


def people_at(question: Mapping[str, Any], path: str) -> tuple[str, ...] | None:
    """Return whom ``path`` (``list`` or ``list[].key``) names, None where it is no list of such people."""
    name, _, key = path.partition("[].")
    listed = question.get(name)
    if not isinstance(listed, list):
        return None
    said = [one.get(key) if key and isinstance(one, dict) else None if key else one for one in listed]
    return tuple(one for one in said if one) if all(isinstance(one, str) for one in said) else None
