"""Paths into a body, written as in the vendors' field tables: ``GroupId``, ``Info.Action``, ``List[].Id``.

``.`` is the whole body, and ``List[Tag=Nick].Value`` stands in the first element whose ``Tag`` is ``Nick``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.normalize.misfit import Misfit

Getter = Callable[[Mapping[str, Any]], Any]

WHOLE: Final = "."
_LIST: Final = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]\.?(.*)")


def compile_path(path: str) -> Getter:
    """Return a function from a body to what stands at ``path``: None where it is absent or null.

    With ``[]`` in the path it is the list of what stands at the rest of it in every element. The function
    raises Misfit where something on the way is not the object or list the path says.
    """
    if path == WHOLE:
        return lambda body: body
    listed = _LIST.fullmatch(path)
    if listed is None:
        return _compile_keys(path)
    head, chosen, rest = listed.groups()
    return _compile_chosen(head, chosen, rest) if chosen else _compile_list(head, rest)


def is_key(path: str) -> bool:
    """Return whether the path is one key of the body itself."""
    return not {".", "["} & set(path)


def first_of(paths: tuple[str, ...]) -> Getter:
    """Return a function to the first of several paths at which something stands, else to empty text."""
    getters = tuple(compile_path(path) for path in paths)
    if len(getters) == 1:
        return getters[0]

    def read(body: Mapping[str, Any]) -> Any:
        empty = None
        for getter in getters:
            value = getter(body)
            if value is not None and value != "":
                return value
            empty = value if empty is None else empty
        return empty

    return read


def elements_at(head: str) -> Getter:
    """Return a function from a body to the list of objects at ``head``, None where it is absent."""
    outer = _compile_keys(head)

    def read(body: Mapping[str, Any]) -> Any:
        elements = outer(body)
        if elements is None:
            return None
        if not isinstance(elements, list):
            raise Misfit(f"{head} must be a list, got {type(elements).__name__}")
        for element in elements:
            if not isinstance(element, dict):
                raise Misfit(f"{head} must hold objects, got {type(element).__name__}")
        return elements

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
    outer, inner = elements_at(head), compile_path(rest)

    def read(body: Mapping[str, Any]) -> Any:
        elements = outer(body)
        return None if elements is None else [inner(element) for element in elements]

    def read_plain(body: Mapping[str, Any]) -> Any:
        elements = body.get(head)
        if type(elements) is not list:
            return read(body)
        try:
            return [element[rest] for element in elements]
        except (TypeError, KeyError):  # not objects, or not all of them with the key
            return read(body)

    return read_plain if is_key(head) and is_key(rest) else read


def _compile_chosen(head: str, chosen: str, rest: str) -> Getter:
    outer, inner = elements_at(head), compile_path(rest)
    key, _, wanted = chosen.partition("=")

    def read(body: Mapping[str, Any]) -> Any:
        for element in outer(body) or ():
            if element.get(key) == wanted:
                return inner(element)
        return None

    return read
