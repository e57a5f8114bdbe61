"""The store in a PostgreSQL database; the one module that knows its driver."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, Executable, create_engine, event, text
from sqlalchemy.engine import make_url

from bridge.log.clock import wall_ms
from consumers.store.base import Row
from consumers.store.bulk import execute_arrays
from consumers.store.sql import SqlStore

_WRITERS = 4
_READERS = 2
_SCHEMA_LOCK = 0x696D_6272_6964_6765  # "imbridge"
_MIGRATION_SECONDS = 60
_REWRITE_SECONDS = 3600  # a revision may write every row of a large table
# SQLSTATE classes about the rows themselves: data exception, constraint violated, limit (a key too long).
_REFUSED = ("22", "23", "54")


class PostgresStore(SqlStore):
    """A PostgreSQL database. The times bound waiting for a lock, an idle transaction, a statement."""

    def __init__(
        self,
        url: str,
        *,
        lock_seconds: float = 10,
        idle_seconds: float = 30,
        statement_seconds: float = 60,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        address = make_url(url).set(drivername="postgresql+psycopg")
        bounds = {
            "lock_timeout": lock_seconds,
            "idle_in_transaction_session_timeout": idle_seconds,
            "statement_timeout": statement_seconds,
        }
        place = f"PostgreSQL at {address.host}:{address.port or 5432}/{address.database}"
        super().__init__(_engine(address, bounds), place, writers=_WRITERS, readers=_READERS, now_ms=now_ms)

    def _lock_schema(self, connection: Connection) -> None:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_MIGRATION_SECONDS}s'"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{_REWRITE_SECONDS}s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})"))

    def _execute(self, connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
        execute_arrays(connection, statement, rows)

    def _refuses(self, error: BaseException) -> bool:
        if not isinstance(error, psycopg.Error):
            return False
        if (
            error.sqlstate is None
        ):  # said by the client, before anything was sent: a NUL, a type it cannot send
            return isinstance(error, (psycopg.DataError, psycopg.ProgrammingError))
        return error.sqlstate[:2] in _REFUSED


def _engine(address: URL, bounds: dict[str, float]) -> Engine:
    defaults = {"connect_timeout": "10", "tcp_user_timeout": "30000", "application_name": "imbridge"}
    engine = create_engine(
        address.update_query_dict({**defaults, **address.query}),
        pool_size=_WRITERS + _READERS,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=True,
        hide_parameters=True,
    )

    def prepare(connection: Any, _: object) -> None:
        for name, seconds in bounds.items():
            connection.execute(f"SET {name} = {round(seconds * 1000)}")
        connection.commit()

    event.listen(engine, "connect", prepare)
    return engine
