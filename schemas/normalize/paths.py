"""Paths into a body, written as in the vendors' field tables: ``GroupId``, ``Info.Action``, ``List[].Id``."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.normalize.misfit import Misfit

Getter = Callable[[Mapping[str, Any]], Any]

EACH: Final = "[]"


def compile_path(path: str) -> Getter:
    """Return a function from a body to what stands at ``path``: None where it is absent or null.

    With ``[]`` in the path it is the list of what stands at the rest of it in every element. The function
    raises Misfit where something on the way is not the object or list the path says.
    """
    head, each, rest = path.partition(EACH)
    if not each:
        return _compile_keys(path)
    return _compile_list(head, rest.removeprefix("."))


def first_of(paths: tuple[str, ...]) -> Getter:
    """Return a function to the first of several paths at which there is something: not null, not empty."""
    getters = tuple(compile_path(path) for path in paths)
    if len(getters) == 1:
        return getters[0]

    def read(body: Mapping[str, Any]) -> Any:
        value = None
        for getter in getters:
            value = getter(body)
            if value is not None and value != "":
                return value
        return value

    return read


def _compile_keys(path: str) -> Getter:
    head, _, rest = path.partition(".")
    if not rest:
        return lambda body: body.get(head)
    inner = _compile_keys(rest)

    def read(body: Mapping[str, Any]) -> Any:
        value = body.get(head)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Misfit(f"{head} must be an object, got {type(value).__name__}")
        return inner(value)

    return read


def _compile_list(head: str, rest: str) -> Getter:
    outer = _compile_keys(head)
    inner = compile_path(rest)

    def read(body: Mapping[str, Any]) -> Any:
        elements = outer(body)
        if elements is None:
            return None
        if not isinstance(elements, list):
            raise Misfit(f"{head} must be a list, got {type(elements).__name__}")
        for element in elements:
            if not isinstance(element, dict):
                raise Misfit(f"{head} must hold objects, got {type(element).__name__}")
        return [inner(element) for element in elements]

    return read
