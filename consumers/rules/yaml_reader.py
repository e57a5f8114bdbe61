"""YAML as people mean it: YAML 1.2 scalars, no duplicate keys, no documents without bounds.

PyYAML follows YAML 1.1, where the key ``on`` is true, ``mode: off`` is false, ``010`` is eight and a date
is not text. Here only true and false are booleans, numbers are decimal, and everything else is text.
"""

import re
from collections.abc import Hashable, Iterator
from typing import Any, Final, NamedTuple

import yaml

_SAFE_LOADER: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_DEPTH: Final = 40
_MAX_NODES: Final = 2_000_000
_SCALARS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"-?(?:0|[1-9][0-9]{0,15})", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?", "-0123456789"),
)


class YamlError(ValueError):
    """The text is not YAML as taken here; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class Parsed(NamedTuple):
    """One document of a file: its place among them, the line it begins at, its content."""

    number: int
    line: int
    content: Any


class _Loader(_SAFE_LOADER):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise YamlError(key.start_mark.line + 1, "a key must be text: write it in quotes")
            if key.value in seen:
                raise YamlError(key.start_mark.line + 1, f"the key {key.value!r} stands twice: keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_yaml(text: str) -> Iterator[Parsed]:
    """Yield each document of the text. Raises YamlError at the first that cannot be read."""
    try:
        yield from _documents(_Loader(text))
    except YamlError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise YamlError(mark.line + 1 if mark else 1, f"this is not YAML: {said}") from error


def _documents(loader: Any) -> Iterator[Parsed]:
    number = 0
    try:
        while loader.check_node():
            number += 1
            node = loader.get_node()
            line = node.start_mark.line + 1
            content = loader.construct_document(node)
            if content is not None:
                _check_values(content, line)
                yield Parsed(number, line, content)
    finally:
        loader.dispose()


def _check_values(content: Any, line: int) -> None:
    """Refuse what aliases blow up (too deep, too large, containing itself) and what JSON does not have."""
    waiting = [(content, 0)]
    nodes = 0
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > _MAX_DEPTH or nodes > _MAX_NODES:
            raise YamlError(line, f"nested deeper than {_MAX_DEPTH} or larger than {_MAX_NODES} values")
        if isinstance(node, dict):
            waiting.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list):
            waiting.extend((value, depth + 1) for value in node)
        elif not isinstance(node, str | int | float | None):
            raise YamlError(line, f"{node!r} is neither text nor number: write it in quotes, without a tag")
