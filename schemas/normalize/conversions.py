"""Conversions from what a vendor sends to what an event carries.

A value of another type is a Misfit; an unknown choice is absent.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.callback import UNPARSED
from schemas.normalize.lossless import read_json
from schemas.normalize.misfit import Misfit

Convert = Callable[[Any], Any]

ID_LENGTH: Final = 512
"""Longest id taken, in characters. The vendors' limits lie below 100, those of a database index near 2700."""

_DIGITS: Final = 19
_LEAST: Final = -(2**63)
_LATEST_SECOND: Final = 2**48 // 1000
_EMBEDDED_DEPTH: Final = 8
_FLAGS: Final[Mapping[bool | int | str, bool]] = {
    True: True,  # and 1
    False: False,  # and 0
    "1": True,
    "0": False,
    "true": True,
    "false": False,
}
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
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) <= _DIGITS:
        return int(value)
    if not isinstance(value, str):
        raise Misfit(f"must be an integer, got {type(value).__name__}")
    if not value:
        return None
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise Misfit("must be an integer, got other text")
    number = int(value)
    if number < _LEAST:
        raise Misfit("must be an integer of 64 bits")
    return number


def read_ids(value: Any) -> list[str]:
    """Return a list of ids, none of them empty."""
    if not isinstance(value, list):
        raise Misfit(f"must be a list of ids, got {type(value).__name__}")
    try:
        joined = "".join(value)  # looked at together, in half the time of one by one
    except TypeError:
        joined = ""
    short = len(joined) <= ID_LENGTH or max(map(len, value)) <= ID_LENGTH
    if joined and short and joined.isprintable() and all(value):
        return value
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


def read_ids_or_id(value: Any) -> list[str]:
    """Return a list of ids, a single id as a list of one."""
    return read_ids(value if isinstance(value, list) else [value])


def read_present_ids(value: Any) -> list[str]:
    """Return those of a list that are there: null and empty ones stand for something else."""
    if not isinstance(value, list):
        raise Misfit(f"must be a list of ids, got {type(value).__name__}")
    return [item for each in value if each is not None and (item := read_id(each)) is not None]


def read_flag(value: Any) -> bool | None:
    """Return true or false that came as such, as 1 or 0, or in quotes; any other number or text is absent."""
    if not isinstance(value, bool | int | str):
        raise Misfit(f"must be a flag, got {type(value).__name__}")
    return _FLAGS.get(value.lower() if isinstance(value, str) else value)


def read_any_flag(value: Any) -> bool:
    """Return whether any of a list of flags is set; those that are null are not."""
    if not isinstance(value, list):
        raise Misfit(f"must be a list of flags, got {type(value).__name__}")
    return True in [read_flag(item) for item in value if item is not None]


def read_integers(value: Any) -> list[int]:
    """Return a list of integers, whether they came as numbers or in quotes."""
    if not isinstance(value, list):
        raise Misfit(f"must be a list of integers, got {type(value).__name__}")
    numbers = [read_integer(item) for item in value]
    if None in numbers:
        raise Misfit("holds an empty integer")
    return numbers  # type: ignore[return-value]


def read_texts(value: Any) -> list[str]:
    """Return a list of texts."""
    if not isinstance(value, list):
        raise Misfit(f"must be a list of texts, got {type(value).__name__}")
    return [read_text(item) for item in value]


def read_seconds(value: Any) -> int | None:
    """Return seconds since the epoch as milliseconds; what no clock shows is absent."""
    seconds = read_integer(value)
    return seconds * 1000 if seconds is not None and 0 < seconds < _LATEST_SECOND else None


def read_any(value: Any) -> Any:
    """Return the vendor's JSON as it is."""
    return value


def read_embedded(value: Any) -> Any:
    """Return the JSON that a text holds, the text itself where it holds none, other values as they are."""
    if not isinstance(value, str):
        return value
    read = read_json(value.encode(), depth=_EMBEDDED_DEPTH)
    return value if read is UNPARSED else read


PLAIN: Final[Mapping[str, Convert]] = {
    "id": read_id,
    "text": read_text,
    "integer": read_integer,
    "integers": read_integers,
    "seconds": read_seconds,
    "texts": read_texts,
    "flag": read_flag,
    "any_flag": read_any_flag,
    "ids": read_ids,
    "ids_or_id": read_ids_or_id,
    "present_ids": read_present_ids,
    "members": read_members,
    "member": read_member,
    "any": read_any,
    "embedded": read_embedded,
}
"""Conversions that need no more than their name."""

CHOICE: Final = "choice"
OBJECTS: Final = "objects"
OBJECT: Final = "object"
ONE: Final = "one"
NESTED: Final = (OBJECTS, OBJECT, ONE)
"""Conversions through fields of their own: a list of objects, one object, one object as a list of one."""


def is_silent(value: Any) -> bool:
    """Return whether a value says nothing: absent, empty text, an empty list."""
    return not value and (value is None or value in ("", []))


def choice_of(values: Mapping[str, str], *, is_open: bool = False) -> Convert:
    """Return a conversion by a table; what it does not know is absent, where it is open the vendor's own."""

    def read(value: Any) -> str | None:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise Misfit(f"must be text or an integer, got {type(value).__name__}")
        said = str(value)
        return values.get(said, (said or None) if is_open else None)

    return read


def objects_of(fields: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Convert:
    """Return a conversion of a list of objects, each through its own fields."""

    def read(value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise Misfit(f"must be a list, got {type(value).__name__}")
        return [fields(item if type(item) is dict else _object(item)) for item in value]

    return read


def object_of(fields: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Convert:
    """Return a conversion of one object through its own fields; nothing said in it is absent."""

    def read(value: Any) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            raise Misfit(f"must be an object, got {type(value).__name__}")
        return fields(value) or None

    return read


def one_of(fields: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Convert:
    """Return a conversion of one object to a list of one."""
    read_object = object_of(fields)

    def read(value: Any) -> list[dict[str, Any]] | None:
        said = read_object(value)
        return None if said is None else [said]

    return read


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Misfit(f"must hold objects, got {type(value).__name__}")
    return value
