"""Templates: ``group/{group_id}/member/{user_id}``, ``si_{sender_id+receiver_id}``, compiled once.

``{a}`` is a field, ``{a+b}`` two fields sorted and joined by ``_``, ``{a[0]}`` the first of a list and
``{a[0].b}`` a field of its first object. ``{a=word}`` is a condition: it renders to nothing, or not at all.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Render = Callable[[Mapping[str, Any]], str]

_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_FIRST: Final = "[0]"
_IS: Final = "="


def fields_in(template: str) -> list[str]:
    """Return the names of the fields a template takes."""
    holes = (hole for holes in _HOLE.findall(template) for hole in holes.split("+"))
    return [hole.partition(_FIRST)[0].partition(_IS)[0] for hole in holes]


def compile_template(template: str) -> Render:
    """Return a function from normalized fields to the text; every field it takes must be present."""
    pieces = _HOLE.split(template)
    prefix, hole, *rest = pieces if len(pieces) > 1 else (template, "", "")
    if not hole:
        return lambda _: template
    first = _compile_hole(hole)
    if rest == [""]:
        return lambda data: prefix + first(data)
    parts = [_compile_hole(piece) if place % 2 else _constant(piece) for place, piece in enumerate(pieces)]
    return lambda data: "".join([part(data) for part in parts])


def _compile_hole(hole: str) -> Render:
    if _IS in hole:
        return _condition(*hole.split(_IS, 1))
    one, both, other = hole.partition("+")
    if both:
        return lambda data: "_".join(sorted((data[one], data[other])))
    name, first, rest = hole.partition(_FIRST)
    if not first:
        return lambda data: str(data[name])
    key = rest.removeprefix(".")
    if not key:
        return lambda data: str(data[name][0])
    return lambda data: str(data[name][0][key])


def _condition(name: str, wanted: str) -> Render:
    def render(data: Mapping[str, Any]) -> str:
        if data[name] != wanted:
            raise LookupError(name)
        return ""

    return render


def _constant(text: str) -> Render:
    return lambda _: text
