"""How long to wait before trying again: capped, growing, jittered."""

import asyncio
import random
from contextlib import suppress


class Backoff:
    """Delays in seconds that double up to ``cap``, drawn from the upper half: many do not march."""

    def __init__(self, first: float = 0.1, cap: float = 10.0) -> None:
        self._first, self._cap = first, cap
        self._next = first

    @property
    def waiting(self) -> bool:
        """Whether there has been a failure since the last success."""
        return self._next > self._first

    def next_delay(self) -> float:
        """Return the delay after one more failure."""
        delay, self._next = self._next, min(self._next * 2, self._cap)
        return random.uniform(delay / 2, delay)  # noqa: S311 jitter is no secret

    def reset(self) -> None:
        """Begin anew after a success."""
        self._next = self._first

    async def pause(self, stop: asyncio.Event | None = None) -> None:
        """Wait the next delay, or until ``stop`` is set."""
        delay = self.next_delay()
        if stop is None:
            await asyncio.sleep(delay)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
