"""The fields of a row: one function from a body to normalized fields, absent where the vendor was silent."""

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
from schemas.normalize.misfit import Misfit
from schemas.normalize.paths import first_of, is_key
from schemas.normalize.shapes import (
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
_Reader = Callable[[Mapping[str, Any]], Any]

TEMPLATE: Final = "template"
CONSTANT: Final = "constant"
QUERY: Final = "query"
"""Conversions of fields that stand nowhere in the body."""


def compile_fields(fields: tuple[Field, ...]) -> Fields:
    """Return a function from a body to its normalized fields. It raises Misfit, naming the field."""
    plain = [field for field in fields if field.conversion not in (TEMPLATE, QUERY)]
    readers = tuple((field.name, _reader_of(field)) for field in plain)
    made = tuple((field.name, _maker_of(field)) for field in fields if field.conversion == TEMPLATE)

    def read(body: Mapping[str, Any]) -> Data:
        data = {}
        for name, reader in readers:
            value = reader(body)
            if value is not None:
                data[name] = value
        for name, make in made:
            value = make(data)
            if value is not None:
                data[name] = value
        return data

    return read


def compile_query(fields: tuple[Field, ...]) -> Callable[[Mapping[str, str], Data], None]:
    """Return a procedure that adds to the data what the query says."""
    wanted = tuple((field.name, field.query) for field in fields if field.conversion == QUERY)

    def read(query: Mapping[str, str], data: Data) -> None:
        for name, parameter in wanted:
            value = query.get(parameter)
            if value:
                data[name] = value

    return read


def _reader_of(field: Field) -> _Reader:
    """Return the field's reader; for plain values one that takes the usual case in one step."""
    if field.conversion == CONSTANT:
        constant = field.constant
        return lambda _: constant
    read, key = _any_reader_of(field), field.paths[0]
    if not is_key(key):
        return read

    def read_text(body: Mapping[str, Any]) -> Any:
        value = body.get(key)
        return value if type(value) is str and value else read(body)

    def read_id(body: Mapping[str, Any]) -> Any:
        value = body.get(key)
        usual = type(value) is str and 0 < len(value) <= ID_LENGTH and value.isprintable()
        return value if usual else read(body)

    def read_integer(body: Mapping[str, Any]) -> Any:
        value = body.get(key)
        return value if type(value) is int else read(body)

    def read_choice(body: Mapping[str, Any]) -> Any:
        value = body.get(key)
        chosen = values.get(value) if type(value) is str else None
        return read(body) if chosen is None else chosen

    values = {said: meant for said, meant in field.values.items() if SPAN not in said}
    usual = {"text": read_text, "id": read_id, "integer": read_integer, CHOICE: read_choice}
    return usual.get(field.conversion, read)


def _any_reader_of(field: Field) -> _Reader:
    get, convert = first_of(field.paths), _conversion_of(field)
    label = " or ".join(field.paths)
    default, required = field.default, field.required

    def read(body: Mapping[str, Any]) -> Any:
        value = get(body)
        if value is not None:
            try:
                value = convert(value)
            except Misfit as error:
                raise Misfit(f"{label}: {error}") from None
        if required and is_silent(value):
            raise Misfit(f"{label} is missing or empty")
        return default if value is None else value

    return read


def _maker_of(field: Field) -> Callable[[Data], str | None]:
    choices = tuple(compile_template(template) for template in field.templates)
    required, label = field.required, " or ".join(field.templates)

    def make(data: Data) -> str | None:
        for render in choices:
            try:
                return render(data)
            except LookupError:
                continue
        if required:
            raise Misfit(f"{label} cannot be made: a part is missing")
        return None

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
