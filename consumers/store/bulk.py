"""Executing one statement for many rows, the quick way of each driver.

SQLAlchemy's own way builds a parameter set per row; compiled once, the same SQL takes rows as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Executable, Insert, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.sql.compiler import SQLCompiler

from consumers.store.base import Row

Names = tuple[str, ...]


class _Positional(NamedTuple):
    """SQL with the names of its parameters in order, and those whose value the statement itself holds."""

    sql: str
    pick: Callable[[Row], Any]
    constants: Mapping[str, Any]


def execute_positional(connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
    """Execute the statement once for each row, parameters handed over as tuples."""
    sql, pick, constants = _positional(statement, connection.dialect, tuple(rows[0]))
    if constants:
        rows = [{**constants, **row} for row in rows]
    connection.exec_driver_sql(sql, [pick(row) for row in rows])


def execute_arrays(connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
    """Execute an insert of distinct rows as one statement over arrays, anything else row by row."""
    names = tuple(rows[0])
    sql = _arrays(statement, connection.dialect, names) if isinstance(statement, Insert) else None
    if sql is not None and _are_distinct(statement, names, rows):
        connection.exec_driver_sql(sql, {name: [row[name] for row in rows] for name in names})
    else:
        connection.execute(statement, list(rows))


@lru_cache(maxsize=256)
def _positional(statement: Executable, dialect: Dialect, names: Names) -> _Positional:
    compiled = _compiled(statement, dialect, names)
    order = compiled.positiontup or []
    constants = {name: value for name, value in compiled.params.items() if name not in names}
    pick = itemgetter(*order) if len(order) > 1 else lambda row: tuple(row[name] for name in order)
    return _Positional(compiled.string, pick, constants)


@lru_cache(maxsize=256)
def _arrays(statement: Insert, dialect: Dialect, names: Names) -> str | None:
    """Return the insert as one from arrays, None where it holds values of its own."""
    columns = statement.table.c
    arrays = (bindparam(name, type_=ARRAY(columns[name].type)) for name in names)
    rows = func.unnest(*arrays).table_valued(*names).render_derived()
    try:
        from_arrays = statement.from_select(names, select(*rows.c))
    except InvalidRequestError:
        return None
    return _compiled(from_arrays, dialect, names).string


def _compiled(statement: Executable, dialect: Dialect, names: Names) -> SQLCompiler:
    compiled = statement.compile(dialect=dialect, column_keys=list(names))  # type: ignore[attr-defined]
    if not isinstance(compiled, SQLCompiler):
        raise TypeError(f"an effect is an SQL statement, got {type(statement).__name__}")
    return compiled


def _are_distinct(statement: Executable, names: Names, rows: Sequence[Row]) -> bool:
    """Return whether no two rows have one key: a single insert may not touch a row twice."""
    key = [column.name for column in statement.table.primary_key.columns]  # type: ignore[attr-defined]
    return set(key) <= set(names) and len({tuple(row[name] for name in key) for row in rows}) == len(rows)
