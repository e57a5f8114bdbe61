"""The hybrid clock: moments that never go back within a journal, across clock steps and restarts."""

import time
from collections.abc import Callable

COUNTER_BITS = 16


def wall_ms() -> int:
    """Return the wall clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class HybridClock:
    """Gives moments: 48 bits milliseconds, 16 bits counter, each greater than all before it.

    ``floor_ms`` is the greatest time the journal holds: after a restart with a clock that stepped back,
    moments go on above it.
    """

    def __init__(self, now_ms: Callable[[], int] = wall_ms, floor_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._last = (floor_ms + 1) << COUNTER_BITS if floor_ms else 0

    def tick(self) -> int:
        """Return the next moment."""
        now = self._now_ms() << COUNTER_BITS
        self._last = now if now > self._last else self._last + 1
        return self._last

    def raise_floor(self, floor_ms: int) -> None:
        """Make every later moment greater than ``floor_ms``."""
        self._last = max(self._last, (floor_ms + 1) << COUNTER_BITS)
