"""Reading an event's data: the field, or PoisonRecord saying which one has which wrong shape.

An absent field and a null both read as None: the vendor said nothing. A NUL character, which PostgreSQL
stores in no text, is poison in an id and becomes U+FFFD in free text, alike on every store.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.errors import PoisonRecord
from schemas.envelope import Envelope

Data = Mapping[str, Any]
_MAX_VERSION = 2**63
_SOURCE_PARTS = 4


class App(NamedTuple):
    """One application at one provider, from the event's source."""

    provider: str
    app: str


def app_of(envelope: Envelope) -> App:
    """Return who the event is from: its source is ``/im/{provider}/{app}``."""
    return _app(envelope.source)


def version_of(envelope: Envelope) -> int:
    """Return the event's version, below 2**63 so that every database can hold it."""
    version = int(envelope.sequence, 16)
    if version >= _MAX_VERSION:
        raise PoisonRecord(f"sequence {envelope.sequence} is over 7fffffffffffffff, the year 6429 and later")
    return version


def required_id(data: Data, name: str) -> str:
    """Return an id that must be there."""
    value = optional_id(data, name)
    if value is None:
        raise PoisonRecord(f"{name} is missing")
    return value


def optional_id(data: Data, name: str) -> str | None:
    """Return an id, None where it is absent or empty."""
    value = data.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _wrong(name, str, value)
    if "\0" in value:
        raise PoisonRecord(f"{name} contains a NUL character")
    return value


def text(data: Data, name: str) -> str | None:
    """Return free text, empty text included."""
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(name, str, value)
    return value.replace("\0", "\ufffd")


def number(data: Data, name: str) -> int | None:
    """Return an integer that fits 64 bits."""
    value: int | None = _typed(data, name, int)
    if isinstance(value, bool) or (value is not None and not -_MAX_VERSION <= value < _MAX_VERSION):
        raise PoisonRecord(f"{name} is no 64-bit integer")
    return value


def required_object(data: Data, name: str) -> Data:
    """Return an object that must be there."""
    value = optional_object(data, name)
    if value is None:
        raise PoisonRecord(f"{name} is missing")
    return value


def optional_object(data: Data, name: str) -> Data | None:
    """Return an object."""
    value: Data | None = _typed(data, name, dict)
    return value


def items(data: Data, name: str) -> Sequence[Any]:
    """Return a list, empty where it is absent."""
    return _typed(data, name, list) or ()


def objects(data: Data, name: str) -> Sequence[Data]:
    """Return a list of objects, empty where it is absent."""
    found = items(data, name)
    if not all(isinstance(item, dict) for item in found):
        raise PoisonRecord(f"{name} must be a list of objects")
    return found


def ids(data: Data, name: str) -> Sequence[str]:
    """Return a list of ids, empty where it is absent."""
    return [required_id({name: item}, name) for item in items(data, name)]


def people(data: Data, name: str) -> Sequence[str]:
    """Return whom a field names: one id, a list of ids, or objects with a ``user_id``; absent is nobody."""
    value = data.get(name)
    named = [value] if isinstance(value, str) else items(data, name)
    return [
        required_id(one, "user_id") if isinstance(one, dict) else required_id({name: one}, name)
        for one in named
    ]


def _typed(data: Data, name: str, kind: type) -> Any:
    value = data.get(name)
    if value is not None and not isinstance(value, kind):
        raise _wrong(name, kind, value)
    return value


def _wrong(name: str, kind: type, value: object) -> PoisonRecord:
    got = _NAMES.get(type(value), type(value).__name__)
    return PoisonRecord(f"{name} must be {_NAMES[kind]}, got {got}")


_NAMES = {
    str: "text",
    int: "an integer",
    dict: "an object",
    list: "a list",
    bool: "a boolean",
    float: "a float",
}


@lru_cache(maxsize=1024)
def _app(source: str) -> App:
    parts = source.split("/", _SOURCE_PARTS - 1)
    if len(parts) != _SOURCE_PARTS or parts[:2] != ["", "im"] or not all(parts[2:]) or "\0" in source:
        raise PoisonRecord(f"source must be /im/provider/app, got {source!r}")
    return App(parts[2], parts[3])
