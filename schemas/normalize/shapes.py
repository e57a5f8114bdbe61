"""Shapes beyond plain conversions: ids that hold more ids, lists with repeats, one fact over several people.

Most of them are OpenIM's. A value of another type is a Misfit.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.normalize.conversions import (
    NESTED,
    PLAIN,
    Convert,
    choice_of,
    object_of,
    objects_of,
    read_integer,
    read_present_ids,
    read_text,
)

ROSTER: Final = "roster"
SPREAD: Final = "spread"
OBJECTS_OR_ONE: Final = "objects_or_one"
WITH_ITEMS: Final = (*NESTED, ROSTER, SPREAD, OBJECTS_OR_ONE)
"""Every conversion through fields of its own."""

LATEST_MS: Final = 2**48
"""No clock shows milliseconds from here on."""

_EVERYBODY: Final = "AtAllTag"
SPAN: Final = ".."
_KINDS: Final = {"si_": "single", "sg_": "group", "sn_": "notification", "so_": "official"}
_PREFIX: Final = 3
_RANK: Final = {"member": 1, "admin": 2, "owner": 3}

Read = Callable[[Mapping[str, Any]], dict[str, Any]]


def read_ms(value: Any) -> int | None:
    """Return milliseconds since the epoch; 0, which stands for never, and what no clock shows are absent."""
    moment = read_integer(value)
    return moment if moment is not None and 0 < moment < LATEST_MS else None


def read_filled(value: Any) -> str | None:
    """Return text; empty text is absent, since it stands for what was left alone."""
    return read_text(value) or None


def read_mentioned(value: Any) -> list[str]:
    """Return who is mentioned, the mark that stands for everybody left out."""
    return [user_id for user_id in read_present_ids(value) if user_id != _EVERYBODY]


def read_mentions_all(value: Any) -> bool:
    """Return whether the mark that stands for everybody is among the mentioned."""
    return _EVERYBODY in read_present_ids(value)


def read_conversation_kind(value: Any) -> str | None:
    """Return the kind that the prefix of a conversation id tells."""
    return _KINDS.get(read_text(value)[:_PREFIX])


def read_conversation_group(value: Any) -> str | None:
    """Return the group that the id of a group's conversation names."""
    conversation_id = read_text(value)
    return conversation_id[_PREFIX:] or None if conversation_id.startswith("sg_") else None


SHAPES: Final[Mapping[str, Convert]] = {
    **PLAIN,
    "ms": read_ms,
    "filled": read_filled,
    "mentioned": read_mentioned,
    "mentions_all": read_mentions_all,
    "conversation_kind": read_conversation_kind,
    "conversation_group": read_conversation_group,
}
"""Every conversion that needs no more than its name."""


def choice_with_spans(values: Mapping[str, str], *, is_open: bool = False) -> Convert:
    """Return a conversion by a table whose keys may be spans of numbers: ``1000..5000``, both included."""
    spans = [
        (range(int(low), int(high) + 1), meant)
        for key, meant in values.items()
        for low, apart, high in [key.partition(SPAN)]
        if apart
    ]
    choose = choice_of({key: meant for key, meant in values.items() if SPAN not in key}, is_open=is_open)
    if not spans:
        return choose

    def read(value: Any) -> str | None:
        if type(value) is int:
            for span, meant in spans:
                if value in span:
                    return meant
        return choose(value)  # type: ignore[no-any-return]

    return read


def roster_of(fields: Read) -> Convert:
    """Return a conversion of a list of members in which one may stand twice: once, with the highest role."""
    read_objects = objects_of(fields)

    def read(value: Any) -> list[dict[str, Any]]:
        members: dict[str, dict[str, Any]] = {}
        for member in read_objects(value):
            known = members.setdefault(member["user_id"], member)
            if _RANK.get(member.get("role", ""), 0) > _RANK.get(known.get("role", ""), 0):
                members[member["user_id"]] = member
        return list(members.values())

    return read


def spread_of(fields: Read) -> Convert:
    """Return a conversion of one object, a list among its fields, to one object for each of the list."""
    read_object = object_of(fields)

    def read(value: Any) -> list[dict[str, Any]]:
        said = read_object(value) or {}
        spread: list[dict[str, Any]] = [{}]
        for name, each in said.items():
            several = each if isinstance(each, list) else [each]
            spread = [{**before, name: one} for before in spread for one in several]
        return spread if said else []

    return read


def objects_or_one_of(fields: Read) -> Convert:
    """Return a conversion of a list of objects; of a single one as a list of one."""
    read_objects = objects_of(fields)
    return lambda value: read_objects(value if isinstance(value, list) else [value])
