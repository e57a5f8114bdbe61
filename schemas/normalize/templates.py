"""Templates: ``group/{group_id}/member/{user_id}``, ``si_{sender_id+receiver_id}``, compiled once.

``{a}`` is a field, ``{a+b}`` two fields sorted and joined by ``_``, ``{a[0]}`` the first of a list and
``{a[0].b}`` a field of its first object. ``{a=word}`` is a condition: it renders to nothing, or not at all.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.normalize.generate import Source

Render = Callable[[Mapping[str, Any]], str]

_HOLE: Final = re.compile(r"\{([^{}]+)\}")
_FIRST: Final = "[0]"
_IS: Final = "="


def fields_in(template: str) -> list[str]:
    """Return the names of the fields a template takes."""
    holes = (hole for holes in _HOLE.findall(template) for hole in holes.split("+"))
    return [hole.partition(_FIRST)[0].partition(_IS)[0] for hole in holes]


def compile_template(template: str) -> Render:
    """Return a function from normalized fields to the text. It raises LookupError where one is missing."""
    source = Source()
    source.add(f"return {as_expression(template, source)}")
    return source.function(f"<template {template}>", "data")


def as_expression(template: str, source: Source) -> str:
    """Return the text as an expression of Python over ``data``, to stand in a line of ``source``."""
    pieces = _HOLE.split(template)
    if len(pieces) == 1:
        return repr(template)
    text = "%s".join(piece.replace("%", "%%") for piece in pieces[::2])
    return f"{text!r} % ({''.join(f'{_hole(hole, source)}, ' for hole in pieces[1::2])})"


def _hole(hole: str, source: Source) -> str:
    if _IS in hole:
        name, wanted = hole.split(_IS, 1)
        return f"{source.name(_nothing_if)}({_field(name)} == {wanted!r}, {name!r})"
    one, both, other = hole.partition("+")
    if both:
        return f"'_'.join(sorted(({_field(one)}, {_field(other)})))"
    name, first, rest = hole.partition(_FIRST)
    key = rest.removeprefix(".")
    return _field(name) + (first and first + (key and f"[{key!r}]"))


def _field(name: str) -> str:
    return f"data[{name!r}]"


def _nothing_if(so: bool, name: str) -> str:
    if not so:
        raise LookupError(name)
    return ""
