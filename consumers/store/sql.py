"""What both stores share: transactions in a bounded number of threads, and errors of our own."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import CompileError, InvalidRequestError, SQLAlchemyError, StatementError

from bridge.errors import StoreError, StoreRefused, StoreUnavailable
from bridge.log.clock import wall_ms
from bridge.telemetry import logger
from consumers.store import checkpoints
from consumers.store.base import Checkpoint, CheckpointKey, Claim, Effect, Move, Row, Store
from consumers.store.migrate import migrate

T = TypeVar("T")
READ_ONLY = "imbridge_read_only"
# Rows that the statement cannot take: a lone surrogate, 2**64, a column that is missing or one too many.
_ROWS_WRONG = (ValueError, TypeError, OverflowError, LookupError, CompileError, InvalidRequestError)
_log = logger("store")


class SqlStore(Store):
    """A store over a synchronous driver. Its twins say how to connect, lock, and read the driver's errors.

    ``place`` names the database in messages, without secrets. ``writers`` threads write and ``readers``
    threads read, so neither waits for the other's.
    """

    def __init__(
        self, engine: Engine, place: str, *, writers: int, readers: int, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        self.place = place
        self._engine = engine
        self._reading = engine.execution_options(**{READ_ONLY: True, "postgresql_readonly": True})
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        self._now_ms = now_ms
        self._opened = False
        self._closed = False

    async def open(self) -> None:
        """Connect and migrate to this program's tables, under a lock; opening twice is opening once."""
        if self._opened:
            return
        if await self._write(self._migrate):
            _log.info("store.migrated", place=self.place)
        self._opened = True

    async def claim(self, key: CheckpointKey, owner: str) -> Claim:
        """Raise the epoch of the checkpoint (made if missing) and return the claim on it."""
        return await self._write(partial(checkpoints.claim, key=key, owner=owner, now_ms=self._now_ms()))

    async def commit(self, moves: Sequence[Move], effects: Sequence[Effect]) -> Sequence[Claim]:
        """Execute the effects and move the checkpoints forward, each another one, in one transaction."""
        checkpoints.check(moves)
        now = self._now_ms()

        def work(connection: Connection) -> None:
            if checkpoints.move(connection, moves, now):
                for statement, rows in effects:
                    if rows:
                        self._execute(connection, statement, rows)

        await self._write(work)
        return [move.claim._replace(next_offset=move.next_offset) for move in moves]

    async def checkpoints(self, consumer: str | None = None) -> Sequence[Checkpoint]:
        """Return the checkpoints of one consumer, or of all."""
        return await self._read(partial(checkpoints.listed, consumer=consumer))

    async def rewind(self, key: CheckpointKey, next_offset: int, owner: str) -> Claim:
        """Set the checkpoint to ``next_offset`` and raise its epoch, so a running consumer is fenced."""
        now = self._now_ms()
        work = partial(checkpoints.rewind, key=key, next_offset=next_offset, owner=owner, now_ms=now)
        return await self._write(work)

    async def drop(self, consumer: str) -> int:
        """Forget every checkpoint of the consumer and return how many there were; its tables stay."""
        return await self._write(partial(checkpoints.drop, consumer=consumer))

    async def select(self, statement: Executable) -> Sequence[Row]:
        """Return the rows of a read-only statement."""
        return await self._read(lambda connection: _rows(connection, statement))

    async def close(self) -> None:
        """Close every connection; what is under way is finished first."""
        self._closed = True
        for executor in (self._writers, self._readers):
            await asyncio.to_thread(executor.shutdown)
        self._engine.dispose()

    def _migrate(self, connection: Connection) -> bool:
        self._lock_schema(connection)
        return migrate(connection, self.place)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._writers, self._engine, work)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._readers, self._reading, work)

    async def _run(self, executor: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailable(f"{self.place} is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, _transaction, engine, work)
        except (SQLAlchemyError, *_ROWS_WRONG) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> StoreError:
        cause = (error.orig if isinstance(error, StatementError) else None) or error
        said = f"{type(cause).__name__}: {str(cause).strip()}"
        if isinstance(cause, _ROWS_WRONG) or self._refuses(cause):
            return StoreRefused(f"{self.place} refuses the rows: {said}")
        return StoreUnavailable(f"{self.place} cannot be used now: {said}")

    @abstractmethod
    def _lock_schema(self, connection: Connection) -> None:
        """Let nobody else migrate until this transaction ends."""

    @abstractmethod
    def _execute(self, connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
        """Execute the statement for every row, as if one after the other."""

    @abstractmethod
    def _refuses(self, error: BaseException) -> bool:
        """Return whether the driver's error is about the rows themselves, so that trying again is in vain."""


def _transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _rows(connection: Connection, statement: Executable) -> Sequence[Row]:
    return [dict(row) for row in connection.execute(statement).mappings()]
