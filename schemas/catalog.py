"""The catalog: (provider, command) to everything about that callback, compiled at load.

Called by the ingress for every callback, and by the tools that show or check the tables.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from schemas.callback import Callback
from schemas.catalog_events import (
    UNRECOGNIZED,
    Ask,
    Normalize,
    compile_normalize,
    compile_question,
    decision_event,
    time_reader,
    unrecognized_event,
)
from schemas.catalog_rows import Answers, Phase, Row, Table
from schemas.catalog_tables import CatalogError, read_table
from schemas.decisions import Decision, Question
from schemas.envelope import Envelope
from schemas.normalize.misfit import Misfit
from schemas.normalize.moments import TimeReader, no_time

__all__ = ["UNRECOGNIZED", "Catalog", "CatalogError", "CommandSpec", "Misfit"]

COMMANDS: Final = Path(__file__).parent / "commands"
_NO_ANSWERS: Final = Answers(deny_code=0)


class CommandSpec(NamedTuple):
    """One callback command, ready to serve.

    ``normalize`` turns a callback of an after-command into its events, ``question`` one of a before-command
    into what is asked; both raise Misfit when the body does not fit the row. ``row`` holds the rest.
    """

    provider: str
    name: str
    phase: Phase
    type: str
    topic: str
    answers: Answers
    normalize: Normalize
    question: Ask
    read_time: TimeReader
    row: Row

    def decided(self, question: Question, decision: Decision, moment: int) -> Envelope:
        """Return the event of one decision; it has a new id, and ``moment`` as its sequence."""
        return decision_event(self.row, question, decision, moment)


class Catalog:
    """All command specs, found by provider and any spelling of the command."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._specs: list[CommandSpec] = []
        self._exact: dict[tuple[str, str], CommandSpec] = {}
        self._folded: dict[tuple[str, str], CommandSpec] = {}
        self._times = {table.provider: time_reader(table.time) for table in tables}
        problems = [problem for table in tables for row in table.rows for problem in self._add(row)]
        if problems:
            raise CatalogError("\n".join(problems))

    @classmethod
    def load(cls, folder: Path = COMMANDS) -> Self:
        """Return the catalog of every table in ``folder``. Raises CatalogError with every problem."""
        tables: list[Table] = []
        problems: list[str] = []
        for path in sorted(folder.glob("*.toml")):
            try:
                tables.append(read_table(path))
            except CatalogError as error:
                problems.append(str(error))
        if problems:
            raise CatalogError("\n".join(problems))
        return cls(tables)

    def __iter__(self) -> Iterator[CommandSpec]:
        return iter(self._specs)

    def find(self, provider: str, command: str) -> CommandSpec | None:
        """Return the command of this name or alias, exactly or without regard to letter case."""
        spec = self._exact.get((provider, command))
        return spec or self._folded.get((provider, command.lower()))

    def unrecognized(self, callback: Callback, reason: str) -> Envelope:
        """Return the event that keeps a callback verbatim, since ``reason``."""
        spec = self.find(callback.provider, callback.command)
        if spec is not None:
            return unrecognized_event(callback, spec.name, spec.read_time, reason)
        read_time = self._times.get(callback.provider, no_time)
        return unrecognized_event(callback, callback.command, read_time, reason)

    def _add(self, row: Row) -> Iterator[str]:
        spec = _compile(row)
        self._specs.append(spec)
        for name in (row.name, *row.aliases):
            if (row.provider, name.lower()) in self._folded:
                yield f"{row.provider}: {row.name}: the name {name} is taken, letter case aside"
            self._exact[row.provider, name] = spec
            self._folded[row.provider, name.lower()] = spec


def _compile(row: Row) -> CommandSpec:
    asks = row.phase == "before"
    return CommandSpec(
        provider=row.provider,
        name=row.name,
        phase=row.phase,
        type=row.type,
        topic=row.topic,
        answers=row.answers or _NO_ANSWERS,
        normalize=_never("is asked, not told") if asks else compile_normalize(row),
        question=compile_question(row) if asks else _never("is told, not asked"),
        read_time=time_reader(row.time),
        row=row,
    )


def _never(why: str) -> Callable[[Callback], Any]:
    def refuse(callback: Callback) -> Any:
        raise Misfit(f"{callback.command} {why}")

    return refuse
