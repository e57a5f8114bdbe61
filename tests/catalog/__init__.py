"""Which of a vendor's fields a row knows: the field lists of the vendors against the rows of the catalog.

``VENDOR-fields.json`` holds, for each command, the names of all fields that the vendor's documents list.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from schemas.catalog_rows import Row
from schemas.normalize.conversions import OBJECTS
from schemas.normalize.fields import Field
from schemas.normalize.shapes import OBJECTS_OR_ONE, ROSTER

FOLDER = Path(__file__).parent
OPAQUE = ("any", "embedded")
LISTS = (OBJECTS, OBJECTS_OR_ONE, ROSTER)


def listed(provider: str) -> dict[str, list[str]]:
    """Return the fields of each command that the vendor lists."""
    names: dict[str, list[str]] = orjson.loads((FOLDER / f"{provider}-fields.json").read_bytes())
    return names


def unknown(row: Row, names: list[str]) -> list[str]:
    """Return those of the vendor's fields that the row neither maps nor names as unmapped."""
    ahead = "" if row.batch is None else f"{row.batch.path}[]."
    leaves = {f"{ahead}{path}" for path in (*_paths(row.fields), *(time.path for time in row.time))}
    leaves |= {f"{ahead}{path}" for path in row.unmapped}
    leaves |= set() if row.choice is None else {f"{ahead}{row.choice.path}"}
    opaque = tuple(f"{ahead}{path}" for path in _paths(row.fields, only=OPAQUE))
    return [name for name in names if not _is_known(name, leaves, opaque)]


def fields_of(body: Mapping[str, Any], ahead: str = "") -> Iterator[str]:
    """Yield the fields of a body, named as in the vendors' lists."""
    for key, value in body.items():
        yield f"{ahead}{key}"
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from fields_of(item, f"{ahead}{key}{'[]' if isinstance(value, list) else ''}.")


def _is_known(name: str, leaves: set[str], opaque: tuple[str, ...]) -> bool:
    if name in leaves or any(name.startswith((f"{path}.", f"{path}[")) for path in opaque):
        return True
    return any(leaf.startswith((f"{name}.", f"{name}[")) for leaf in leaves)


def _paths(fields: tuple[Field, ...], only: tuple[str, ...] = ()) -> Iterator[str]:
    for field in fields:
        for path in field.paths:
            plain = _plain(path)
            if not only or field.conversion in only:
                yield plain
            below = f"{plain}[]." if field.conversion in LISTS else f"{plain}."
            for inner in _paths(field.items, only):
                yield inner if path == "." else f"{below}{inner}"


def _plain(path: str) -> str:
    """Return the path without which element of a list it chooses."""
    head, chosen, rest = path.partition("[")
    return f"{head}[]{rest.partition(']')[2]}" if chosen else path
