"""The relay: moves one journal's records to another log, in order, and marks how far.

Append first, mark afterwards: a crash between the two repeats records, with the same ids, and loses none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final, TypeVar

from bridge.backoff import Backoff
from bridge.errors import LogError, LogLocked, LogUnavailable, OffsetGone, RecordRefused
from bridge.log.base import JOURNAL_HEADER, Batch, Position, Record, StoredRecord
from bridge.log.clock import wall_ms
from bridge.log.dead_letters import dead_letter
from bridge.relay.ahead import ReadAhead
from bridge.relay.source import Source, Target
from bridge.relay.status import RelayStatus, State
from bridge.stopping import until_stopped
from bridge.telemetry import (
    DEAD_LETTERS,
    RELAY_LAG_RECORDS,
    RELAY_LAG_SECONDS,
    RELAY_RECORDS,
    RELAY_RETRIES,
    logger,
)

CONSUMER: Final = "relay"
BATCH_RECORDS: Final = 1000
"""Records an append: what a relay with a loop of its own takes at a time."""
SHARED_BATCH_RECORDS: Final = 300
"""What it takes in a loop that answers callers too.

No step of such a batch holds the loop for more than 1 ms (3 ms of a thousand records); a record costs a tenth
more, and a backlog is caught up at two thirds of the speed.
"""
BATCH_BYTES: Final = 4 * 1024 * 1024
# At the end of the journal a moment's rest lets records gather: an append of 30 costs five times the work a
# record of one of 500. The first record after a quiet time does not wait.
LINGER_SECONDS: Final = 0.02
_LOCK_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 3.0
_log = logger("relay")
_EVENTS: Final = {"waiting": "held_back", "relaying": "resumed", "stalled": "stalled"}
Result = TypeVar("Result")


class Relay:
    """Relays one journal until stopped. ``park`` takes the dead letters of records the target refuses.

    Only one relay of a journal works at a time: others wait for its lock, and take over from the mark.
    After ``stop`` what the journal holds is relayed for up to ``drain_seconds``, for which a target that is
    away is tried again; what is left is said.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        park: Target,
        *,
        batch_records: int = BATCH_RECORDS,
        batch_bytes: int = BATCH_BYTES,
        drain_seconds: float = 5.0,
        linger_seconds: float = LINGER_SECONDS,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._source, self._target, self._park = source, target, park
        self._batch_records, self._batch_bytes = batch_records, batch_bytes
        self._drain_seconds, self._linger_seconds = drain_seconds, linger_seconds
        self._now_ms = now_ms
        self._stopping = asyncio.Event()
        self._state: State = "waiting"
        self._reason = ""
        self._since = time.monotonic()
        self._next = self._end = 0
        self._oldest_ms: int | None = None  # no record that is left is older, as far as is known

    def stop(self) -> None:
        """Make ``run`` return once the journal is relayed to its end, or ``drain_seconds`` are over."""
        self._stopping.set()

    def status(self) -> RelayStatus:
        """Return how the relay stands now; sets the lag metrics too."""
        with suppress(LogError):
            self._end = self._source.end()
        return self._measure()

    def _measure(self) -> RelayStatus:
        self._end = max(self._end, self._next)
        behind = self._end > self._next and self._oldest_ms is not None
        lag_seconds = max(0.0, (self._now_ms() - (self._oldest_ms or 0)) / 1000) if behind else 0.0
        status = RelayStatus(
            self._source.number, self._state, self._reason, self._next, self._end, lag_seconds
        )
        RELAY_LAG_RECORDS.labels(str(status.journal)).set(status.lag_records)
        RELAY_LAG_SECONDS.labels(str(status.journal)).set(lag_seconds)
        return status

    async def run(self) -> None:
        """Relay until ``stop``; cancel to end at once. Raises LogCorrupt, FormatTooNew."""
        lock = await self._obtain_lock()
        if lock is not None:
            with lock:
                await until_stopped(self._relay(), self._stopping, self._drain_seconds)
        self._state, self._reason = "stopped", ""
        status = self.status()
        say = _log.warning if status.lag_records and lock is not None else _log.info
        say("relay.stopped", journal=status.journal, next_offset=status.next_offset, left=status.lag_records)

    async def _obtain_lock(self) -> AbstractContextManager[object] | None:
        """Wait for the journal's relay lock; None when stopped before."""
        while not self._stopping.is_set():
            try:
                return self._source.lock()
            except (LogLocked, LogUnavailable) as error:
                self._turn("waiting", str(error))
            with suppress(LogUnavailable):  # how far the one that works has got
                self._next = await self._find_start()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOCK_SECONDS)
        return None

    async def _relay(self) -> None:
        """Relay to the end, again and again, while nobody says stop; then until nothing is left."""
        self._next = await self._persist(self._find_start)
        self._turn("relaying", "")
        while not self._is_drained():
            reader = ReadAhead(self._source.reader(self._next), self._batch_records)
            try:
                await self._relay_from(reader)
            except OffsetGone as gone:
                await self._pass_gap(gone)
            finally:
                await reader.close()

    async def _relay_from(self, reader: ReadAhead) -> None:
        while not self._is_drained():
            batch = await self._persist(reader.read)
            read_ms = self._now_ms()
            if batch is None:
                self._oldest_ms = read_ms
                continue
            self._end = max(self._end, batch.end_offset)
            is_last = batch.next_offset >= batch.end_offset
            if not is_last:
                reader.begin()
            await self._move(batch)
            if is_last:
                self._oldest_ms = read_ms
            self._measure()
            if is_last and not self._stopping.is_set():
                await asyncio.sleep(self._linger_seconds)

    def _is_drained(self) -> bool:
        """Say whether to end: told to stop, and nothing left. While a batch is read ahead something is."""
        return self._stopping.is_set() and self.status().lag_records == 0

    async def _find_start(self) -> int:
        mark = await asyncio.to_thread(self._source.mark)
        return self._source.bounds().begin if mark is None else mark

    async def _move(self, batch: Batch) -> None:
        for records in self._portions(batch.records):
            self._oldest_ms = records[0].record.timestamp
            await self._publish(records)
            await self._mark(records[-1].offset + 1)
        if batch.next_offset > self._next:
            await self._mark(batch.next_offset)

    def _portions(self, records: Sequence[StoredRecord]) -> Iterator[Sequence[StoredRecord]]:
        """Cut the batch so that no append carries much more than ``batch_bytes``."""
        begin = size = 0
        for index, stored in enumerate(records):
            weight = len(stored.record.value or b"")
            if index > begin and size + weight > self._batch_bytes:
                yield records[begin:index]
                begin, size = index, 0
            size += weight
        if begin < len(records):
            yield records[begin:]

    async def _publish(self, records: Sequence[StoredRecord]) -> None:
        """Return once every record stands in the target or is set aside, in order.

        A refusal of several is narrowed down by halves; nothing goes before what stands in front of it.
        """
        attempts = 0
        backoff = Backoff(cap=_PAUSE_SECONDS)
        while (refusal := await self._append(records)) is not None:
            attempts += 1
            if len(records) > 1:
                middle = len(records) // 2
                await self._publish(records[:middle])
                await self._publish(records[middle:])
                return
            if await self._set_aside(records[0], refusal, attempts):
                return
            await self._pause(backoff)

    async def _append(self, records: Sequence[StoredRecord]) -> RecordRefused | None:
        """Append, for as long as it takes; return the refusal, if that was the answer."""

        async def append() -> RecordRefused | None:
            try:
                await self._target.append(self._from_here(records))
            except RecordRefused as refusal:
                return refusal
            RELAY_RECORDS.labels("relayed").inc(len(records))
            return None

        return await self._persist(append)

    def _from_here(self, records: Sequence[StoredRecord]) -> Sequence[Record]:
        """Return the records with the journal named that fixed their order."""
        journal = {JOURNAL_HEADER: self._source.log_id}
        return [
            Record(topic, key, value, {**headers, **journal}, timestamp)
            for _, (topic, key, value, headers, timestamp) in records
        ]

    async def _set_aside(self, stored: StoredRecord, refusal: RecordRefused, attempts: int) -> bool:
        place = Position(stored.record.topic, self._source.number, stored.offset)
        letter = dead_letter(
            stored.record,
            place,
            consumer=CONSUMER,
            log_id=self._source.log_id,
            reason=str(refusal),
            attempts=attempts,
            disposition="refused",
            now_ms=self._now_ms(),
        )
        try:
            await self._park.append([letter])
        except LogError as error:
            RELAY_RETRIES.labels("park").inc()
            self._turn("stalled", f"a refused record cannot be set aside: {error}")
            return False
        DEAD_LETTERS.labels(CONSUMER, "refused").inc()
        RELAY_RECORDS.labels("parked").inc()
        said = {"topic": place.topic, "journal": place.partition, "offset": place.offset}
        _log.error("record.parked", id=stored.record.headers.get("ce_id"), reason=str(refusal), **said)
        self._turn("relaying", "")
        return True

    async def _mark(self, next_offset: int) -> None:
        """Move the mark; where that fails the next one may succeed, and until then a crash repeats more."""
        self._next = next_offset
        try:
            await asyncio.to_thread(self._source.set_mark, next_offset)
        except LogUnavailable as error:
            RELAY_RETRIES.labels("mark").inc()
            _log.warning("mark.not_moved", journal=self._source.number, reason=str(error))

    async def _pass_gap(self, gone: OffsetGone) -> None:
        """Go on where the journal does: an incident, since it forgets nothing the mark still needs."""
        lost = max(0, gone.begin - gone.offset)
        RELAY_RECORDS.labels("lost").inc(lost)
        _log.error("relay.gap_passed", journal=self._source.number, lost=lost, reason=str(gone))
        await self._mark(gone.begin if lost else gone.end)

    async def _persist(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Return what the attempt does, trying again with pauses while the log is unavailable."""
        backoff = Backoff(cap=_PAUSE_SECONDS)
        while True:
            try:
                result = await attempt()
            except LogUnavailable as error:
                RELAY_RETRIES.labels("unavailable").inc()
                self._turn("stalled", str(error))
            else:
                if self._state == "stalled":
                    self._turn("relaying", "")
                return result
            await self._pause(backoff)

    async def _pause(self, backoff: Backoff) -> None:
        self.status()
        await backoff.pause(None if self._stopping.is_set() else self._stopping)

    def _turn(self, state: State, reason: str) -> None:
        """Enter a state; a change is one line in the log."""
        before, self._state, self._reason = self._state, state, reason
        if before != state:
            seconds = round(time.monotonic() - self._since, 3)
            self._since = time.monotonic()
            say = _log.warning if state == "stalled" else _log.info
            say(f"relay.{_EVENTS[state]}", journal=self._source.number, after_seconds=seconds, reason=reason)
