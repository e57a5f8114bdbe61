"""Templates of subject and partition key: ``group/{group_id}/member/{user_id}``, compiled once."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Render = Callable[[Mapping[str, Any]], str]

_FIELD: Final = re.compile(r"\{([a-z_]+)\}")


def fields_in(template: str) -> list[str]:
    """Return the names of the fields a template takes."""
    return _FIELD.findall(template)


def compile_template(template: str) -> Render:
    """Return a function from normalized fields to the text; every field it takes must be present."""
    pieces = _FIELD.split(template)
    prefix, name, *rest = pieces if len(pieces) > 1 else (template, "", "")
    if not name:
        return lambda _: template
    if rest == [""]:
        return lambda data: prefix + data[name]

    def render(data: Mapping[str, Any]) -> str:
        return "".join(data[piece] if place % 2 else piece for place, piece in enumerate(pieces))

    return render
