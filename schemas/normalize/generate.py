"""Functions out of lines of Python, compiled once: what would be a loop over closures stands written out."""

import linecache
from collections.abc import Callable
from typing import Any


class Source:
    """The lines of one function to be, and the values that stand in them.

    Whatever comes out of a table goes in through ``name`` or as its ``repr``, never as text of its own.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._values: dict[str, Any] = {}

    def name(self, value: Any) -> str:
        """Return a name that stands for the value in the lines."""
        name = f"v{len(self._values)}"
        self._values[name] = value
        return name

    def add(self, *lines: str) -> None:
        """Add lines, indented as they stand within the function."""
        self._lines += lines

    def function(self, title: str, parameters: str) -> Callable[..., Any]:
        """Return the function; tracebacks show its lines under the title."""
        text = "\n    ".join((f"def made({parameters}):", *self._lines)) + "\n"
        linecache.cache[title] = len(text), None, text.splitlines(keepends=True), title
        exec(compile(text, title, "exec"), self._values)  # noqa: S102 (written by us, values by name)
        made: Callable[..., Any] = self._values["made"]
        return made
