"""Setting records aside that cannot be applied, and noticing when there are too many of them."""

import time
from collections import deque
from collections.abc import Callable

from bridge.errors import ImbridgeError
from bridge.log.base import Log, Position, Record
from bridge.log.dead_letters import Disposition, dead_letter
from bridge.telemetry import DEAD_LETTERS, logger
from consumers.store.base import Claim

_WINDOW_SECONDS = 60.0
_log = logger("consumer")


class TooManyParked(ImbridgeError):
    """So many records cannot be applied that the projection is wrong, not the records."""


class Parking:
    """Appends the dead letters of one consumer; ``parked`` counts them since the start.

    At most ``max_per_minute`` records are parked in any minute.
    """

    def __init__(
        self,
        log: Log,
        consumer: str,
        *,
        max_per_minute: int,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.parked = 0
        self._log = log
        self._consumer = consumer
        self._max_per_minute = max_per_minute
        self._now_ms = now_ms
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=max_per_minute)

    async def park(
        self, record: Record, position: Position, claim: Claim, error: Exception, attempts: int
    ) -> None:
        """Make the record's dead letter durable; parked again it has the same id.

        Raises TooManyParked with nothing appended, and what appending raises.
        """
        self._admit()
        await self._append(record, position, claim, error, attempts, "poison")

    async def park_gap(self, position: Position, claim: Claim, error: Exception) -> None:
        """Record durably that what was asked for at ``position`` is gone."""
        nothing = Record(position.topic, None, b"", {}, self._now_ms())
        await self._append(nothing, position, claim, error, 1, "gap")

    async def _append(
        self,
        record: Record,
        position: Position,
        claim: Claim,
        error: Exception,
        attempts: int,
        disposition: Disposition,
    ) -> None:
        letter = dead_letter(
            record,
            position,
            consumer=self._consumer,
            log_id=claim.key.log_id,
            reason=f"{type(error).__name__}: {error}",
            attempts=attempts,
            disposition=disposition,
            now_ms=self._now_ms(),
        )
        await self._log.append([letter])
        self.parked += 1
        self._recent.append(self._clock())
        DEAD_LETTERS.labels(self._consumer, disposition).inc()
        _log.warning(
            "record.parked",
            consumer=self._consumer,
            **position._asdict(),
            disposition=disposition,
            reason=type(error).__name__,
            id=record.headers.get("ce_id"),
        )

    def _admit(self) -> None:
        full = len(self._recent) == self._max_per_minute
        if full and self._clock() - self._recent[0] < _WINDOW_SECONDS:
            raise TooManyParked(
                f"{self._consumer} would park more than {self._max_per_minute} records within a minute: "
                "that is a fault of the projection or its tables; mend it and start the consumer again"
            )
