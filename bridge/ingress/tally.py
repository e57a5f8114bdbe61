"""Counting callbacks, and log lines that come seldom however often they are due."""

import time
from collections.abc import Callable

from bridge import telemetry

UNKNOWN = "unknown"
"""The label of a command that no row knows: labels must not grow with what callers write."""


class Tally:
    """The ingress's metrics; their labels are bounded by the catalog."""

    def __init__(self) -> None:
        self.callback: Callable[[str, str, str], None] = telemetry.CALLBACKS.inc
        """Counts one callback that was answered, by provider, command and outcome."""
        self.seconds: Callable[[float, str, str], None] = telemetry.CALLBACK_SECONDS.observe
        """Counts the time from the request read to the answer handed over, by provider and phase."""


class Seldom:
    """Says when a line is due again: once per key and ``seconds``. Keys must be few."""

    def __init__(self, seconds: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now = seconds, now
        self._next: dict[tuple[str, ...], float] = {}
        self._counts: dict[tuple[str, ...], int] = {}

    def due(self, *key: str) -> int:
        """Count one, and return how many there were since the last line when one is due, else 0."""
        count = self._counts.get(key, 0) + 1
        now = self._now()
        if now < self._next.get(key, 0.0):
            self._counts[key] = count
            return 0
        self._next[key], self._counts[key] = now + self._seconds, 0
        return count
