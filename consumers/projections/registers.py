"""Registers: groups of columns written together, where only a newer version wins.

Every mutable thing in a projection's tables is one, so events commute: whichever order, repetition or
batching they come in, each register ends with the write of the greatest (version, tie-break).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Executable, Table, tuple_

# ON CONFLICT as PostgreSQL spells it; SQLite took over its grammar, and the SQLite compiler renders it too.
from sqlalchemy.dialects.postgresql import Insert, insert

from consumers.projections.fields import version_of
from consumers.store.base import Effect
from schemas.envelope import Envelope

Key = tuple[str, ...]
_STAMP = ("v", "e", "b")


class Rank(StrEnum):
    """Which kind of event wins when two about one register have the same version: one digit."""

    CREATED = "0"
    UPDATED = "1"
    TRANSFERRED = "2"
    JOINED = "3"
    LEFT = "4"
    DISMISSED = "5"


class Stamp(NamedTuple):
    """When a write happened: version, tie-break (rank digit and event id), and by whose clock."""

    version: int
    tie: str
    basis: str


def stamp(envelope: Envelope, rank: Rank) -> Stamp:
    """Return the stamp of everything this event writes. Raises PoisonRecord for a version over 63 bits."""
    return Stamp(version_of(envelope), rank + envelope.id, envelope.timebasis or "vendor")


def newer(one: Stamp, other: Stamp) -> bool:
    """Return whether ``one`` wins over ``other``; a register's SQL guard says the same."""
    return one[:2] > other[:2]


class Register:
    """The columns of one table that are written together under ``{name}_v`` and ``{name}_e``.

    A register without a tie-break column is a plain max(). ``statement`` is the only write there is: it
    makes the row, or overwrites the register where ``guard`` says that the new version wins.
    """

    def __init__(self, table: Table, name: str, *columns: str) -> None:
        self.table = table
        self.name = name
        self.stamps = tuple(f"{name}_{part}" for part in _STAMP if f"{name}_{part}" in table.c)
        self.key = tuple(column.name for column in table.primary_key.columns)
        self.written = (*columns, *self.stamps)
        self.fields = (*self.key, *self.written)
        self.statement = self.upsert(self.guard(insert(table)))

    def guard(self, statement: Insert) -> ColumnElement[bool]:
        """Return the comparison that lets a write win."""
        compared = self.stamps[:2]
        new, old = ([columns[name] for name in compared] for columns in (statement.excluded, self.table.c))
        return tuple_(*new) > tuple_(*old) if len(compared) > 1 else new[0] > old[0]

    def upsert(self, guard: ColumnElement[bool] | None) -> Executable:
        """Return the write under ``guard``."""
        statement = insert(self.table)
        values = {name: statement.excluded[name] for name in self.written}
        return statement.on_conflict_do_update(index_elements=self.key, set_=values, where=guard)

    def row(self, key: Key, values: tuple[Any, ...], when: Stamp) -> dict[str, Any]:
        """Return the parameters of one write."""
        return dict(zip(self.fields, (*key, *values, *when[: len(self.stamps)]), strict=True))


class Writes:
    """The winning write for each register of each row within one batch.

    ``present`` rows exist afterwards, with nothing written into them.
    """

    def __init__(self) -> None:
        self._writes: dict[Register, dict[Key, tuple[Stamp, tuple[Any, ...]]]] = {}
        self._present: dict[Table, set[Key]] = {}

    def put(self, register: Register, key: Key, when: Stamp, *values: Any) -> None:
        """Write the register's columns unless a newer write of it is here."""
        rows = self._writes.setdefault(register, {})
        held = rows.get(key)
        if held is None or newer(when, held[0]):
            rows[key] = (when, values)

    def patch(self, register: Register, key: Key, when: Stamp, value: Any) -> None:
        """Write the register's one column, where the event has a value for it."""
        if value is not None:
            self.put(register, key, when, value)

    def make(self, table: Table, key: Key) -> None:
        """Let the row exist."""
        self._present.setdefault(table, set()).add(key)

    def effects(self, order: Sequence[Register]) -> Sequence[Effect]:
        """Return the writes: registers in ``order``, rows by key, so that two writers lock alike."""
        for register, rows in self._writes.items():  # a write makes the row as well
            self._present.get(register.table, set()).difference_update(rows)
        made = [_made(table, keys) for table, keys in self._present.items() if keys]
        return [*made, *(_written(register, self._writes.get(register, {})) for register in order)]


def _made(table: Table, keys: set[Key]) -> Effect:
    names = [column.name for column in table.primary_key.columns]
    return Effect(_making(table), [dict(zip(names, key, strict=True)) for key in sorted(keys)])


@cache
def _making(table: Table) -> Executable:
    return insert(table).on_conflict_do_nothing()


def _written(register: Register, rows: Mapping[Key, tuple[Stamp, tuple[Any, ...]]]) -> Effect:
    return Effect(
        register.statement, [register.row(key, values, when) for key, (when, values) in sorted(rows.items())]
    )
