"""Arrival times, set ahead: a callback is due when it is due, however slowly those before it are answered."""

import asyncio
from math import ceil


class Schedule:
    """Due times at ``rate`` a second for ``seconds``, or until ``stop``; by the clock of the running loop."""

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate, self._seconds = rate, seconds
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._given = 0
        self._sleeping: set[asyncio.Future[None]] = set()
        self._stopped = False

    @property
    def elapsed(self) -> float:
        """How long the run has been going, in seconds."""
        return self._loop.time() - self._begin

    def stop(self) -> None:
        """Give no more due times; whoever waits for one is told."""
        if not self._stopped:
            self._stopped, self._seconds = True, min(self._seconds, self.elapsed)
        for sleeping in self._sleeping:
            if not sleeping.done():
                sleeping.set_result(None)

    async def next(self) -> float | None:
        """Return the next due time once it has come, None when the run is over."""
        due = self._begin + self._given / self._rate
        if self._stopped or self._given >= self._due_in(self._seconds) or self.elapsed >= self._seconds:
            return None
        self._given += 1
        await self._sleep_until(due)
        return None if self._stopped else due

    async def pause(self, seconds: float) -> bool:
        """Wait so long; return whether it may go on: not once the run was stopped."""
        await self._sleep_until(self._loop.time() + seconds)
        return not self._stopped

    def missed(self) -> int:
        """Return how many due times have passed that nobody took."""
        return max(0, self._due_in(min(self.elapsed, self._seconds)) - self._given)

    def _due_in(self, seconds: float) -> int:
        """Return how many fall due in the first so many seconds, the one at their end not included."""
        return ceil(round(seconds * self._rate, 6))

    async def _sleep_until(self, due: float) -> None:
        if self._stopped or due <= self._loop.time():
            await asyncio.sleep(0)  # behind: the others have their turn all the same
            return
        sleeping: asyncio.Future[None] = self._loop.create_future()
        self._sleeping.add(sleeping)
        handle = self._loop.call_at(due, _wake, sleeping)
        try:
            await sleeping
        finally:
            handle.cancel()
            self._sleeping.discard(sleeping)


def _wake(sleeping: "asyncio.Future[None]") -> None:
    if not sleeping.done():
        sleeping.set_result(None)
