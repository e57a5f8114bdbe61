"""Wakes the readers of this process when something became durable here. Used on the event loop only."""

import asyncio


class Bell:
    """Counts rings; a waiter who says which ring it has heard never sleeps through the next one."""

    def __init__(self) -> None:
        self.rings = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.rings += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    @property
    def waiters(self) -> int:
        """How many wait for the next ring."""
        return len(self._waiters)

    async def wait(self, heard: int, timeout: float) -> None:
        """Return once it rang after ring number ``heard``, at the latest after ``timeout`` seconds."""
        if self.rings != heard:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=timeout)
        finally:
            self._waiters.discard(waiter)
