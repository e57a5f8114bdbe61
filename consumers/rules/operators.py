"""The operators of a clause: which kinds of fact each takes, and what it tests."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

Lists = Mapping[str, frozenset[str]]
Test = Callable[[Any], bool]
LIST_PREFIX: Final = "list."


class Operator(NamedTuple):
    """One operator. ``make`` binds the operand into a test of one value; nothing is formatted into source."""

    kinds: tuple[str, ...]
    make: Callable[[Any], Test]


_TEXT: Final = ("text",)
_NUMBER: Final = ("number",)
_BOTH: Final = ("text", "number")

OPERATORS: Final[Mapping[str, Operator]] = {
    "eq": Operator(_BOTH, lambda operand: lambda value: bool(value == operand)),
    "ne": Operator(_BOTH, lambda operand: lambda value: bool(value != operand)),
    "in": Operator(_BOTH, lambda operand: operand.__contains__),
    "not_in": Operator(_BOTH, lambda operand: lambda value: value not in operand),
    "lt": Operator(_NUMBER, lambda operand: lambda value: bool(value < operand)),
    "lte": Operator(_NUMBER, lambda operand: lambda value: bool(value <= operand)),
    "gt": Operator(_NUMBER, lambda operand: lambda value: bool(value > operand)),
    "gte": Operator(_NUMBER, lambda operand: lambda value: bool(value >= operand)),
    "prefix": Operator(_TEXT, lambda operand: lambda value: bool(value.startswith(operand))),
    "suffix": Operator(_TEXT, lambda operand: lambda value: bool(value.endswith(operand))),
    "contains": Operator(_TEXT, lambda operand: lambda value: operand in value),
    "on_list": Operator(_TEXT, lambda operand: operand.__contains__),
}
"""Every operator but ``exists``, which asks about the fact and not about its value."""


def operator_of(leaf: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the one operator of a leaf with its operand as written."""
    name = next(key for key in leaf if key != "fact")
    return name, leaf[name]


def list_name(operator: str, operand: Any) -> str | None:
    """Return the named list an operand refers to, None when it refers to none."""
    if operator == "on_list":
        return str(operand)
    if operator in {"in", "not_in"} and isinstance(operand, str):
        return operand.removeprefix(LIST_PREFIX)
    return None


def bound(operator: str, operand: Any, lists: Lists) -> Any:
    """Return the operand as a clause keeps it: collections become sets, a named list its values."""
    name = list_name(operator, operand)
    if name is not None:
        return lists[name]
    return frozenset(operand) if isinstance(operand, list) else operand
