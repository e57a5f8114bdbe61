"""What a row's written lines take in one step is what the careful conversion makes of the same value."""

import traceback
from collections.abc import Mapping
from typing import Any

import pytest

from schemas.normalize.conversions import Convert, is_silent
from schemas.normalize.fields import Field, compile_fields
from schemas.normalize.generate import Source
from schemas.normalize.misfit import Misfit
from schemas.normalize.shapes import LATEST_MS, SHAPES, choice_with_spans
from schemas.normalize.templates import compile_template

TEXTS = [
    "",
    "x",
    "é",
    "a\tb",
    "\x7f",
    "y" * 512,
    "y" * 513,
    "5",
    "-1",
    "0",
    "1000",
    "true",
    "Apply",
    "9" * 20,
]
NUMBERS = [0, 1, -1, 5, 1000, LATEST_MS - 1, LATEST_MS, 2**63, True, False, 1.5]
OTHERS = [[], {}, ["a"], ["a", "b"], ["a", ""], ["a", 5], ["a\n"], ["y" * 512] * 2, ["y" * 513], [None], [{}]]
VALUES: list[Any] = [*TEXTS, *NUMBERS, *OTHERS]
CHOICES: dict[str, Mapping[str, str]] = {
    "plain": {"Apply": "applied", "5": "five", "1": "one", "-1": "less", "": "nothing"},
    "spans": {"Apply": "applied", "1000": "exactly", "1..1000": "span"},
    "odd numbers": {"05": "not 5", "1_000": "not 1000", "True": "not true"},
}


def read(field: Field, body: Mapping[str, Any]) -> Any:
    """Return what the row reads: the value, None where it is absent, or that it does not fit."""
    try:
        return compile_fields((field,))(body).get("f")
    except Misfit as error:
        return f"Misfit: {error}"


def carefully(convert: Convert, value: Any, *, required: bool = False) -> Any:
    try:
        converted = convert(value)
    except Misfit as error:
        return f"Misfit: F: {error}"
    return "Misfit: F is missing or empty" if required and is_silent(converted) else converted


def same(one: Any, other: Any) -> bool:
    return bool(one == other) and type(one) is type(other)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("conversion", SHAPES)
def test_a_field_reads_as_its_conversion_does(conversion: str, required: bool) -> None:
    field = Field("f", ("F",), conversion, required=required)
    for value in VALUES:
        careful = carefully(SHAPES[conversion], value, required=required)
        assert same(read(field, {"F": value}), careful), value


@pytest.mark.parametrize("values", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_choice_reads_as_its_table_does(values: Mapping[str, str], is_open: bool) -> None:
    field = Field("f", ("F",), "choice", values=values, is_open=is_open)
    for value in VALUES:
        careful = carefully(choice_with_spans(values, is_open=is_open), value)
        assert same(read(field, {"F": value}), careful), value


@pytest.mark.parametrize("conversion", ["text", "id", "integer", "filled", "ms", "flag"])
def test_what_is_absent_or_empty_is_looked_for_at_the_next_path_and_then_takes_the_default(
    conversion: str,
) -> None:
    two = Field("f", ("F", "G"), conversion, default="none")
    one = two._replace(paths=("F",))
    second: Any = True if conversion == "flag" else 7 if conversion in {"integer", "ms"} else "seven"
    for silent in ({}, {"F": None}, {"F": ""}):
        assert read(two, {**silent, "G": second}) == second
        assert read(one, {"F": None}) == "none"
    assert read(two._replace(default=None), {}) is None


def test_nothing_of_a_table_is_read_as_python() -> None:
    name = 'it\'s "100%s" {f} \\ \n#'
    field = Field(name, (name,), "text")
    assert compile_fields((field,))({name: "x"}) == {name: "x"}
    assert compile_template('it\'s "100%s" %% \\ {a}%')({"a": "x"}) == 'it\'s "100%s" %% \\ x%'
    assert compile_template("it's 100%s")({}) == "it's 100%s"


def test_a_traceback_shows_the_written_line() -> None:
    source = Source()
    source.add(f"return {source.name(1)} / number")
    divide = source.function("<one by>", "number")
    assert divide(2) == 0.5
    with pytest.raises(ZeroDivisionError) as caught:
        divide(0)
    assert '"<one by>", line 2, in made' in "".join(traceback.format_exception(caught.value))
    assert "return v0 / number" in "".join(traceback.format_exception(caught.value))
