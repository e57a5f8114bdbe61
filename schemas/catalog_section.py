"""Reading one TOML table key by key, with every problem noted instead of the first one raised."""

from collections.abc import Iterator, Mapping
from re import Pattern
from typing import Any, TypeVar

import orjson

T = TypeVar("T")


class Section:
    """One table of a TOML file. Reading a key that does not fit notes a problem and returns a neutral value.

    ``problems`` is shared with all sections below; ``where`` says where in the file this one stands.
    """

    def __init__(self, content: Mapping[str, Any], where: str, problems: list[str] | None = None) -> None:
        self.problems = [] if problems is None else problems
        self._content, self._where = content, where
        self._read: set[str] = set()

    def note(self, *problems: str) -> None:
        """Note problems of this table."""
        self.problems.extend(f"{self._where}: {problem}" for problem in problems)

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        self.note(
            *(f"{key}: not a key that means something here" for key in self._content if key not in self._read)
        )

    def names(self) -> list[str]:
        """Return the keys of a table whose keys are names."""
        return list(self._content)

    def text(self, key: str, *, required: bool = False, pattern: Pattern[str] | None = None) -> str:
        """Return text, empty where it is absent."""
        value = self._take(key, "", required=required)
        if not isinstance(value, str):
            return self._unfit(key, "text", value, "")
        if pattern is not None and value and not pattern.fullmatch(value):
            self.note(f"{key}: {value!r} does not read {pattern.pattern}")
        return value

    def choice(self, key: str, accepted: tuple[str, ...]) -> str:
        """Return one of the accepted words; the first where it is not."""
        value = self._take(key, "", required=True)
        if value not in accepted:
            return self._unfit(key, f"one of {', '.join(accepted)}", value, accepted[0])
        return str(value)

    def flag(self, key: str) -> bool:
        """Return true or false, false where it is absent."""
        value = self._take(key, default=False)
        return value if isinstance(value, bool) else self._unfit(key, "true or false", value, False)

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """Return a list of texts; one text stands for a list of one."""
        value = self._take(key, [], required=required)
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(item, str) and item for item in values):
            return self._unfit(key, "text or a list of texts", value, ())
        return tuple(values)

    def integers(self, key: str, count: int) -> tuple[int, ...]:
        """Return ``count`` integers; one integer stands for a list of one."""
        value = self._take(key, [], required=True)
        values = value if isinstance(value, list) else [value]
        if len(values) != count or not all(type(item) is int for item in values):
            return self._unfit(key, f"{count} integers", value, (0,) * count)
        return tuple(values)

    def mapping(self, key: str, *, required: bool = False) -> Mapping[str, str]:
        """Return a table of texts."""
        value = self._take(key, {}, required=required)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            return self._unfit(key, "a table of texts", value, {})
        return value

    def value(self, key: str) -> Any:
        """Return whatever stands there, None where nothing does."""
        return self._take(key, None)

    def json(self, key: str) -> Mapping[str, Any]:
        """Return the object that a text holds as JSON."""
        text = self.text(key, required=True)
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return self._unfit(key, f"a JSON object ({error})", text, {})
        return value if isinstance(value, dict) else self._unfit(key, "a JSON object", value, {})

    def section(self, key: str) -> "Section | None":
        """Return the table at ``key``, None where there is none."""
        value = self._take(key, None)
        if value is None or isinstance(value, dict):
            return None if value is None else Section(value, f"{self._where}: {key}", self.problems)
        return self._unfit(key, "a table", value, None)

    def sections(self, key: str, *, named: str) -> Iterator["Section"]:
        """Yield the tables of a list of tables, each called by its own ``named`` key in messages."""
        value = self._take(key, [], required=True)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            value = self._unfit(key, "a list of tables", value, [])
        for place, item in enumerate(value):
            yield Section(item, f"{self._where}: {item.get(named, f'{key} {place + 1}')}", self.problems)

    def _take(self, key: str, default: Any = None, *, required: bool = False) -> Any:
        self._read.add(key)
        if required and key not in self._content:
            self.note(f"{key}: missing")
        return self._content.get(key, default)

    def _unfit(self, key: str, wanted: str, value: Any, neutral: T) -> T:
        if key in self._content:
            self.note(f"{key}: must be {wanted}, got {value!r}")
        return neutral
