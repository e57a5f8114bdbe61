"""The fields of a row: one function from a body to normalized fields, absent where the vendor was silent."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from schemas.normalize.conversions import (
    CHOICE,
    ID_LENGTH,
    OBJECT,
    OBJECTS,
    ONE,
    Convert,
    is_silent,
    object_of,
    objects_of,
    one_of,
)
from schemas.normalize.generate import Source
from schemas.normalize.misfit import Misfit
from schemas.normalize.paths import first_of, is_key
from schemas.normalize.shapes import (
    LATEST_MS,
    OBJECTS_OR_ONE,
    ROSTER,
    SHAPES,
    SPAN,
    SPREAD,
    choice_with_spans,
    objects_or_one_of,
    roster_of,
    spread_of,
)
from schemas.normalize.templates import compile_template


class Field(NamedTuple):
    """One normalized field: where it comes from and how it is converted.

    ``paths`` into the body are tried in order. In their place stand ``constant``, a value that is always
    the same, ``templates`` over the fields before it (the first whose fields are all there), or ``query``,
    a query parameter. A ``required`` field that is absent or empty makes the body a Misfit; any other that
    is absent stays absent, or takes ``default``. A choice that ``is_open`` keeps what it does not know.
    """

    name: str
    paths: tuple[str, ...]
    conversion: str
    required: bool = False
    default: Any = None
    values: Mapping[str, str] = {}
    items: tuple["Field", ...] = ()
    is_open: bool = False
    constant: Any = None
    templates: tuple[str, ...] = ()
    query: str = ""


Data = dict[str, Any]
Fields = Callable[[Mapping[str, Any]], Data]
_Reader = Callable[[Mapping[str, Any], Data], None]

TEMPLATE: Final = "template"
CONSTANT: Final = "constant"
QUERY: Final = "query"
"""Conversions of fields that stand nowhere in the body."""


def compile_fields(fields: tuple[Field, ...]) -> Fields:
    """Return a function from a body to its normalized fields. It raises Misfit, naming the field."""
    source = Source()
    write_fields(fields, source)
    source.add("return data")
    return source.function(f"<fields {', '.join(field.name for field in fields)}>", "body")


def write_fields(fields: tuple[Field, ...], source: Source) -> None:
    """Write the lines that read ``data`` out of ``body``."""
    source.add("data = {}", "get = body.get")
    for field in fields:
        if field.conversion not in (TEMPLATE, QUERY):
            _write_field(field, source)
    for field in fields:
        if field.conversion == TEMPLATE:
            source.add(f"{source.name(_maker_of(field))}(data)")


def write_query(fields: tuple[Field, ...], source: Source) -> None:
    """Write the lines that add to ``data`` what ``query`` says."""
    for field in fields:
        if field.conversion == QUERY:
            source.add(f"value = query.get({field.query!r})")
            source.add("if value:", f"    data[{field.name!r}] = value")


def _write_field(field: Field, source: Source) -> None:
    """Write what reads one field; for plain values what takes the usual case without a call."""
    keep = f"data[{field.name!r}] ="
    if field.conversion == CONSTANT:
        source.add(f"{keep} {source.name(field.constant)}")
        return
    careful = f"{source.name(_reader_of(field))}(body, data)"
    usual, kept = _usual_of(field, source)
    if not usual or not is_key(field.paths[0]):
        source.add(careful)
        return
    source.add(f"value = get({field.paths[0]!r})")
    source.add(f"if {usual}:", f"    {keep} {kept}")
    source.add(
        "elif value is not None and value != '':" if _may_be_absent(field) else "else:", f"    {careful}"
    )


def _may_be_absent(field: Field) -> bool:
    return not (field.required or field.default is not None or len(field.paths) > 1)


def _usual_of(field: Field, source: Source) -> tuple[str, str]:
    """Return the condition under which ``value`` is as usual, and what is then kept of it."""
    if field.conversion == CHOICE:
        table = source.name(_plain_choices(field.values))
        return f"(type(value) is str or type(value) is int) and value in {table}", f"{table}[value]"
    if field.conversion == "text" and _may_be_absent(field):
        return "type(value) is str", "value"
    return _USUAL.get(field.conversion, ""), "value"


_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_USUAL: Final[Mapping[str, str]] = {
    "text": "type(value) is str and value",
    "filled": "type(value) is str and value",
    "id": f"type(value) is str and 0 < len(value) <= {ID_LENGTH} and value.isprintable()",
    "integer": "type(value) is int",
    "ms": f"type(value) is int and 0 < value < {LATEST_MS}",
    "flag": "type(value) is bool",
}


def _plain_choices(values: Mapping[str, str]) -> Mapping[str | int, str]:
    """Return the table without its spans of numbers; where it has none, with whole numbers as such, too."""
    plain: dict[str | int, str] = {said: meant for said, meant in values.items() if SPAN not in said}
    if len(plain) == len(values):
        plain.update({int(said): meant for said, meant in values.items() if _NUMBER.fullmatch(said)})
    return plain


def _reader_of(field: Field) -> _Reader:
    get, convert = first_of(field.paths), _conversion_of(field)
    name, label = field.name, " or ".join(field.paths)
    default, required = field.default, field.required

    def read(body: Mapping[str, Any], data: Data) -> None:
        value = get(body)
        if value is not None:
            try:
                value = convert(value)
            except Misfit as error:
                raise Misfit(f"{label}: {error}") from None
        if required and not value and is_silent(value):
            raise Misfit(f"{label} is missing or empty")
        if value is None:
            value = default
        if value is not None:
            data[name] = value

    return read


def _maker_of(field: Field) -> Callable[[Data], None]:
    choices = tuple(compile_template(template) for template in field.templates)
    name, required, label = field.name, field.required, " or ".join(field.templates)

    def make(data: Data) -> None:
        for render in choices:
            try:
                data[name] = render(data)
            except LookupError:
                continue
            return
        if required:
            raise Misfit(f"{label} cannot be made: a part is missing")

    return make


def _conversion_of(field: Field) -> Convert:
    if field.conversion == CHOICE:
        return choice_with_spans(field.values, is_open=field.is_open)
    through_items = _THROUGH_ITEMS.get(field.conversion)
    return SHAPES[field.conversion] if through_items is None else through_items(compile_fields(field.items))


_THROUGH_ITEMS: Final[Mapping[str, Callable[[Fields], Convert]]] = {
    OBJECTS: objects_of,
    OBJECT: object_of,
    ONE: one_of,
    ROSTER: roster_of,
    SPREAD: spread_of,
    OBJECTS_OR_ONE: objects_or_one_of,
}
