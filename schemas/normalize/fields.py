"""The fields of a row: one function from a body to normalized fields, absent where the vendor was silent."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from schemas.normalize.conversions import CHOICE, OBJECTS, PLAIN, Convert, choice_of, is_silent, objects_of
from schemas.normalize.misfit import Misfit
from schemas.normalize.paths import first_of


class Field(NamedTuple):
    """One normalized field: where it stands in the body and how it is converted.

    ``paths`` are tried in order. A ``required`` field that is absent or empty makes the body a Misfit;
    any other that is absent stays absent, or takes ``default``.
    """

    name: str
    paths: tuple[str, ...]
    conversion: str
    required: bool = False
    default: Any = None
    values: Mapping[str, str] = {}
    items: tuple["Field", ...] = ()


Fields = Callable[[Mapping[str, Any]], dict[str, Any]]
_Reader = Callable[[Mapping[str, Any]], Any]


def compile_fields(fields: tuple[Field, ...]) -> Fields:
    """Return a function from a body to its normalized fields. It raises Misfit, naming the field."""
    readers = tuple((field.name, _reader_of(field)) for field in fields)

    def read(body: Mapping[str, Any]) -> dict[str, Any]:
        data = {}
        for name, reader in readers:
            value = reader(body)
            if value is not None:
                data[name] = value
        return data

    return read


def _reader_of(field: Field) -> _Reader:
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


def _conversion_of(field: Field) -> Convert:
    if field.conversion == CHOICE:
        return choice_of(field.values)
    if field.conversion == OBJECTS:
        return objects_of(compile_fields(field.items))
    return PLAIN[field.conversion]
