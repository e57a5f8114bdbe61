"""Conversions from what a vendor sends to what an event carries.

A value of another type is a Misfit; an unknown choice is absent.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.normalize.misfit import Misfit

Convert = Callable[[Any], Any]

ID_LENGTH: Final = 512
"""Longest id taken, in characters. The vendors' limits lie below 100, those of a database index near 2700."""

_DIGITS: Final = 19
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_id(value: Any) -> str | None:
    """Return an id as text: text as it is, an integer in digits, empty text as absent."""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise Misfit(f"an id must be text, got {type(value).__name__}")
    if len(value) > ID_LENGTH:
        raise Misfit(f"an id must be at most {ID_LENGTH} characters, got {len(value)}")
    if not value.isprintable() and _CONTROLS.search(value):
        raise Misfit("an id must not hold control characters")
    return value or None


def read_text(value: Any) -> str:
    """Return text as it is, empty text included: the vendor said that it is empty."""
    if not isinstance(value, str):
        raise Misfit(f"must be text, got {type(value).__name__}")
    return value


def read_integer(value: Any) -> int | None:
    """Return an integer that came as a number or in quotes; empty text is absent."""
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise Misfit(f"must be an integer, got {type(value).__name__}")
    if not value:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise Misfit("must be an integer, got other text")
    return int(value)


def read_ids(value: Any) -> list[str]:
    """Return a list of ids, none of them empty."""
    if not isinstance(value, list):
        raise Misfit(f"must be a list of ids, got {type(value).__name__}")
    ids = [read_id(item) for item in value]
    if None in ids:
        raise Misfit("holds an empty id")
    return ids  # type: ignore[return-value]


def read_members(value: Any) -> list[dict[str, str]]:
    """Return a list of ids as a list of members."""
    return [{"user_id": item} for item in read_ids(value)]


def read_member(value: Any) -> list[dict[str, str]] | None:
    """Return one id as a list of one member."""
    user_id = read_id(value)
    return None if user_id is None else [{"user_id": user_id}]


PLAIN: Final[Mapping[str, Convert]] = {
    "id": read_id,
    "text": read_text,
    "integer": read_integer,
    "ids": read_ids,
    "members": read_members,
    "member": read_member,
}
"""Conversions that need no more than their name."""

CHOICE: Final = "choice"
OBJECTS: Final = "objects"
NAMES: Final = (*PLAIN, CHOICE, OBJECTS)


def is_silent(value: Any) -> bool:
    """Return whether a value says nothing: absent, empty text, an empty list."""
    return not value and (value is None or value in ("", []))


def choice_of(values: Mapping[str, str]) -> Convert:
    """Return a conversion by a table; what the table does not know (the lists are open) is absent."""

    def read(value: Any) -> str | None:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise Misfit(f"must be text or an integer, got {type(value).__name__}")
        return values.get(str(value))

    return read


def objects_of(fields: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Convert:
    """Return a conversion of a list of objects, each through its own fields."""

    def read(value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise Misfit(f"must be a list, got {type(value).__name__}")
        return [fields(_object(item)) for item in value]

    return read


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Misfit(f"must hold objects, got {type(value).__name__}")
    return value
