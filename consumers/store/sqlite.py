"""The store in one SQLite file; several processes may use it at once."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, Executable, create_engine, event
from sqlalchemy.engine import make_url

from bridge.errors import ConfigurationError
from bridge.log.clock import wall_ms
from consumers.store.base import Row
from consumers.store.bulk import execute_positional
from consumers.store.opening import LOG_BYTES
from consumers.store.sql import READ_ONLY, SqlStore

_WRITERS = 1  # SQLite has one writer at a time: ours queue here, not in its busy loop
_READERS = 2
_PAGE_BYTES = 4096
_CACHE_KIB = 65536
_SWITCH_SECONDS = 0.01
_PRIMARY_CODE = 0xFF
_REFUSED = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class SqliteStore(SqlStore):
    """A SQLite file in WAL mode, synced at every commit. ``lock_seconds`` bounds the wait for its lock.

    What is committed is written back to the file whenever its log holds ``log_bytes``: more is quicker, and
    takes that much more of the disk.
    """

    def __init__(
        self,
        url: str,
        *,
        lock_seconds: float = 10,
        log_bytes: int = LOG_BYTES,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        path = make_url(url).database
        if not path or path == ":memory:":
            raise ConfigurationError(f"store.url {url!r} names no file: write sqlite:///path/to/store.db")
        engine = _engine(url, lock_seconds, log_bytes)
        super().__init__(engine, f"SQLite file {path}", writers=_WRITERS, readers=_READERS, now_ms=now_ms)

    def _lock_schema(self, connection: Connection) -> None:
        """Do nothing more: BEGIN IMMEDIATE holds the only write lock there is."""

    def _execute(self, connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
        execute_positional(connection, statement, rows)

    def _refuses(self, error: BaseException) -> bool:
        return isinstance(error, _REFUSED)


def _engine(url: str, lock_seconds: float, log_bytes: int) -> Engine:
    arguments = {"timeout": lock_seconds, "check_same_thread": False, "isolation_level": None}
    size = _WRITERS + _READERS
    engine = create_engine(
        url, connect_args=arguments, pool_size=size, max_overflow=0, pool_timeout=30, hide_parameters=True
    )
    event.listen(engine, "connect", lambda connection, _: _prepare(connection, lock_seconds, log_bytes))
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _give_up_read_only)
    return engine


def _prepare(connection: Any, lock_seconds: float, log_bytes: int) -> None:
    """Make every commit reach the disk, and let readers go on beside the writer."""
    _use_wal(connection, lock_seconds)
    pages = max(1, log_bytes // _PAGE_BYTES)
    for setting in ("synchronous=FULL", f"cache_size=-{_CACHE_KIB}", f"wal_autocheckpoint={pages}"):
        connection.execute(f"PRAGMA {setting}").close()


def _use_wal(connection: Any, lock_seconds: float) -> None:
    """Switch a new file to WAL, where it stays. The switch alone does not wait for the lock of another."""
    deadline = time.monotonic() + lock_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_SECONDS)
        else:
            return


def _give_up_read_only(context: ExceptionContext) -> None:
    """Have every connection opened anew: one opened on a disk that was read-only would stay so for life."""
    if _code(context.original_exception) == sqlite3.SQLITE_READONLY:
        context.is_disconnect = True


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code, OK for an error that is not SQLite's."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & _PRIMARY_CODE


def _begin(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first could not take it later."""
    reading = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql(f"PRAGMA query_only={int(reading)}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
