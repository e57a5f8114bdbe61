"""YAML of plain values, in block style: what ``asyncapi.yaml`` and ``openapi.yaml`` are written in.

Texts are quoted as in JSON, which YAML reads the same way once what it takes for a line break or no character
is escaped; mappings keep their order. Fractions are refused: readers of YAML differ on them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$-]*")
_NOT_TEXT: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
"""Words that some reader of YAML takes for something else than a text."""


_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def to_yaml(document: Mapping[str, Any]) -> str:
    """Return the document as YAML, the same text for the same document. Raises TypeError."""
    return "\n".join(_lines(document, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    """Yield the lines of a mapping or list that is not empty."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _entry(f"{indent}{_key(key)}:", held, indent + "  ")
    else:
        for held in value:
            yield from _item(held, indent)


def _entry(head: str, held: Any, indent: str) -> Iterator[str]:
    if _is_flat(held):
        yield f"{head} {_flat(held)}"
    else:
        yield head
        yield from _lines(held, indent)


def _item(held: Any, indent: str) -> Iterator[str]:
    if _is_flat(held):
        yield f"{indent}- {_flat(held)}"
        return
    first, *others = _lines(held, indent + "  ")
    yield f"{indent}- {first.lstrip()}"
    yield from others


def _is_flat(value: Any) -> bool:
    return not (isinstance(value, Mapping | list | tuple) and value)


def _flat(value: Any) -> str:
    if isinstance(value, float):
        raise TypeError(f"a number with a fraction cannot be written, got {value!r}")
    return _UNPRINTABLE.sub(_escaped, orjson.dumps(value).decode())


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) and key.lower() not in _NOT_TEXT else _flat(key)
