"""The journal: a segment log that one process writes and holds for life. An acknowledgement rests on it."""

import asyncio
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final

from bridge.errors import (
    JournalBusy,
    JournalFailed,
    JournalFull,
    LogError,
    LogUnavailable,
    RecordRefused,
)
from bridge.log.base import Done, Position, Record
from bridge.log.bell import Bell
from bridge.log.segments.allocator import Allocator
from bridge.log.segments.files import SegmentFiles
from bridge.log.segments.format import BATCH_BYTES
from bridge.log.segments.frames import encode
from bridge.log.segments.locks import OsLock
from bridge.log.segments.writer import Append, Writer, Written
from bridge.telemetry import JOURNAL_BYTES, JOURNAL_RECORDS, JOURNAL_SYNC_SECONDS, logger

PATIENCE_SECONDS: Final = 0.002
"""How long what nobody waits for lets others gather: a sync costs the loop more than a question does."""

_log = logger("segments")


class SegmentLog:
    """A journal, open for writing: implements ``Journal``. Made by ``open_journal``; used on one event loop.

    Public facts: ``number`` (its partition in every topic), ``directory``, ``log_id``, ``lost_records``
    (found missing in recovery), ``failed`` (set once a write or sync failed), ``bell`` (rings when
    records became durable).
    """

    def __init__(
        self,
        files: SegmentFiles,
        lock: OsLock,
        loop: asyncio.AbstractEventLoop,
        queue_records: int,
        queue_bytes: int,
    ) -> None:
        self.number = files.identity.number
        self.directory = files.directory
        self.log_id = files.identity.log_id
        self.lost_records = files.lost_records
        self.failed = asyncio.Event()
        self.bell = Bell()
        self._files, self._lock, self._loop = files, lock, loop
        self._queue_records, self._queue_bytes = queue_records, queue_bytes
        self._queued_records = self._queued_bytes = 0
        self._gathered: list[Append] = []
        self._hurrying = False
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._forgetting = Lock()
        self._needed_from = 0
        self._allocator = Allocator(files, self._make_room)
        self._allocator.start()
        self._writer = Writer(files, self._written, self._allocator.want)

    # What it holds

    @property
    def floor_ms(self) -> int:
        """The greatest time the log holds; moments given from now on must lie above it."""
        return self._files.floor_ms

    @property
    def begin_offset(self) -> int:
        """The first offset not forgotten."""
        return self._files.bounds.begin

    @property
    def end_offset(self) -> int:
        """One past the last record on disk."""
        return self._files.end_offset

    @property
    def max_record_bytes(self) -> int:
        """The largest append that is taken, in bytes as encoded."""
        return min(self._files.capacity, self._queue_bytes) - BATCH_BYTES

    def is_full(self) -> bool:
        """Say whether appends are refused since no further segment could be allocated."""
        return self._allocator.is_full and not self._files.reserve_room

    def is_writable(self) -> bool:
        """Say whether an append would be taken, were the queue empty."""
        return self._writer.failure is None and not self._closed and not self.is_full()

    # Appending

    def submit(self, records: Sequence[Record], done: Done, *, patient: bool = False) -> None:
        """Enter the records into the queue, in this order; ``done`` is told once they are on disk.

        Those that are ``patient`` let others gather for ``PATIENCE_SECONDS``, unless one comes that is not.
        Raises at once, with nothing entered: JournalBusy, JournalFull, JournalFailed, RecordRefused (one
        record too large, or all of them together), LogUnavailable (closed).
        """
        count = len(records)
        if count == 1:
            data, newest_ms = encode(records[0]), records[0].timestamp
        elif count:
            data = b"".join(map(encode, records))
            newest_ms = max(record.timestamp for record in records)
        else:
            self._loop.call_soon(done, self.end_offset, None)
            return
        files = self._files
        queued = self._queued_bytes + len(data) + BATCH_BYTES
        if (
            self._closed
            or self._writer.failure is not None
            or queued > self._queue_bytes
            or queued > (files.reserve_room or (0 if self._allocator.is_full else files.room))
            or self._queued_records + count > self._queue_records
        ):
            raise self._refusal(len(data), count, queued)
        self._queued_bytes = queued
        self._queued_records += count
        if not (patient or self._hurrying):
            self._hurrying = True
            self._loop.call_soon(self._gather_on)
        elif not self._gathered:
            self._loop.call_later(PATIENCE_SECONDS, self._hand_over)
        self._gathered.append(Append(done, count, data, newest_ms))

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Make the records durable and return where each stands. Raises as ``submit``.

        Records that do not fit into one append go in several; then some may stand when a later one fails.
        """
        try:
            return await self._appended(records)
        except RecordRefused:
            if any(len(encode(record)) > self.max_record_bytes for record in records):
                raise
        half = len(records) // 2
        return [*await self.append(records[:half]), *await self.append(records[half:])]

    async def _appended(self, records: Sequence[Record]) -> Sequence[Position]:
        answer: asyncio.Future[int] = self._loop.create_future()

        def done(first_offset: int, error: LogError | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(first_offset)
            else:
                answer.set_exception(type(error)(str(error)))  # its own: others are told the same one

        self.submit(records, done)
        return [
            Position(record.topic, self.number, place) for place, record in enumerate(records, await answer)
        ]

    def _refusal(self, data_bytes: int, count: int, queued_bytes: int) -> LogError:
        if self._closed:
            return LogUnavailable(f"journal {self.directory} is closed")
        if self._writer.failure is not None:
            return JournalFailed(self._writer.failure)
        if data_bytes > self.max_record_bytes:
            return RecordRefused(
                f"{count} record(s) of {data_bytes} bytes: journal {self.directory} takes "
                f"{self.max_record_bytes} bytes in one append"
            )
        if self.is_full():
            return JournalFull(f"journal {self.directory} takes no more: {self._allocator.reason}")
        if queued_bytes <= self._queue_bytes and self._queued_records + count <= self._queue_records:
            return JournalBusy(f"journal {self.directory} is allocating its next segment: try again")
        return JournalBusy(
            f"{self._queued_records} records of {self._queued_bytes} bytes wait for journal "
            f"{self.directory}: try again"
        )

    def _gather_on(self) -> None:
        """Let the loop look at its sockets once more: what arrived while the first was parsed comes along."""
        self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Give the writer all that was gathered: one wake-up, one batch."""
        gathered, self._gathered, self._hurrying = self._gathered, [], False
        if gathered:
            self._writer.put(gathered)

    def _written(self, written: Written) -> None:
        try:
            self._loop.call_soon_threadsafe(self._answer, written)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _log.warning("append.unanswered", directory=str(self.directory), appends=len(written.appends))

    def _answer(self, written: Written) -> None:
        appends, offset, error, seconds = written
        records = size = 0
        for done, count, data, _ in appends:
            records += count
            size += len(data)
            self._queued_bytes -= len(data) + BATCH_BYTES
            self._queued_records -= count
            try:
                done(offset, error)
            except Exception:  # noqa: BLE001 one who is told must not keep the others from being told
                _log.exception("append.answer_failed", directory=str(self.directory))
            offset += count
        if error is None:  # counted behind the answers: nobody waits for that
            JOURNAL_RECORDS.inc(records)
            JOURNAL_BYTES.inc(size)
            JOURNAL_SYNC_SECONDS.observe(seconds)
        if self._writer.failure is not None:
            self.failed.set()
        self.bell.ring()

    # Retention and end

    def forget(self, now_ms: int, keep_ms: int, marks: Mapping[str, int]) -> int:
        """Unlink whole segments older than ``keep_ms`` and below every one of ``marks``; return how many.

        ``marks`` are the next offsets of those who still need records; without one, nothing holds a segment
        back but its age. Below them younger segments go too, from now on, whenever the next one finds no
        room; that is logged. Blocks. Raises LogUnavailable.
        """
        self._needed_from = min(marks.values(), default=self.end_offset)
        try:
            gone = self._forget(now_ms - keep_ms, under_pressure=False)
        except OSError as error:
            raise LogUnavailable(f"segments of {self.directory} cannot be unlinked: {error}") from error
        if self._allocator.is_full:
            self._allocator.want()
        return gone

    def _make_room(self) -> bool:
        """Forget the oldest segment that nobody needs, however young; False when there is none."""
        try:
            return bool(self._forget(0, under_pressure=True))
        except OSError as error:
            _log.warning("segment.not_forgotten", directory=str(self.directory), error=str(error))
            return False

    def _forget(self, older_than_ms: int, *, under_pressure: bool) -> int:
        with self._forgetting:
            limit = self._files.forgettable_until(older_than_ms, self._needed_from, under_pressure)
            return self._files.forget(limit)

    async def close(self, timeout: float = 10.0) -> None:
        """Commit what is queued, stop the threads, give the journal back; appends from now on are refused.

        A disk that does not answer within ``timeout`` seconds is left behind, and the lock with it.
        """
        if self._closing is None:
            self._closed = True
            self._hand_over()
            self._closing = asyncio.create_task(self._close(timeout))
        await asyncio.shield(self._closing)

    async def _close(self, timeout: float) -> None:
        if await asyncio.to_thread(self._stop, timeout):
            await asyncio.to_thread(self._files.close)
            self._lock.release()
        else:
            _log.error("journal.not_closed", directory=str(self.directory), seconds=timeout)

    def _stop(self, timeout: float) -> bool:
        stopped = self._writer.stop(timeout)
        return self._allocator.stop(timeout) and stopped
