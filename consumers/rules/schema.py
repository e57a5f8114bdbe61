"""The JSON Schema of rule documents, and its findings worded for the author of a document."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import jsonschema_rs
import orjson

from consumers.rules.problems import Fault, pointer

SCHEMA: Final[dict[str, Any]] = orjson.loads((files("schemas") / "rule.schema.json").read_bytes())
_SHOWN_CHARS: Final = 80


def faults(kind: str, content: Any) -> Iterator[Fault]:
    """Yield what the schema of ``kind`` (rule, list, chunk, manifest) finds wrong, each thing once."""
    found = (
        (pointer(error.instance_path), _worded(error)) for error in _validator(kind).iter_errors(content)
    )
    yield from dict.fromkeys(found)


@cache
def _validator(kind: str) -> jsonschema_rs.Validator:
    schema = {**SCHEMA, "$ref": f"#/$defs/{kind}"}
    del schema["oneOf"]
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def _worded(error: jsonschema_rs.ValidationError) -> str:
    """Return what is wrong, with which value, and what is accepted there."""
    keyword = str(error.schema_path[-1])
    place = _place(error.schema_path[:-1])
    instance: Any = error.instance
    if keyword == "additionalProperties":
        unknown = ", ".join(sorted(set(instance) - set(place["properties"])))
        return f"unknown: {unknown}; accepted: {', '.join(place['properties'])}"
    if keyword == "required":
        missing = [name for name in place["required"] if name not in instance]
        return f"missing: {', '.join(missing)}" + _also(place, "wanted")
    return f"{_shown(instance)} is not accepted here{_also(place)}"


def _also(place: Mapping[str, Any], word: str = "accepted") -> str:
    return f"; {word}: {place['description']}" if "description" in place else ""


def _place(path: list[str | int]) -> Mapping[str, Any]:
    """Return the part of the schema a finding comes from."""
    node: Any = SCHEMA
    for step in path:
        node = node[step]
    return node if isinstance(node, Mapping) else {}


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
