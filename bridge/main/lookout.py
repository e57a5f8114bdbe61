"""Looks at what stands outside the process, from time to time, so that readiness can name it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from bridge.errors import ImbridgeError
from bridge.ops.server import Part

_EVERY_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 5.0

Probe = Callable[[], Awaitable[object]]


class Lookout:
    """Asks each probe every five seconds. What it finds is named in readiness and never turns it."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self._parts = {name: Part(True, "not looked at yet") for name in probes}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Look until stopped."""
        while not self._stop.is_set():
            await asyncio.gather(*map(self._look, self._probes))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _EVERY_SECONDS)

    def stop(self) -> None:
        """Look no further."""
        self._stop.set()

    def parts(self) -> Mapping[str, Part]:
        """Return what was found last."""
        return self._parts

    async def _look(self, name: str) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._probes[name]()
        except TimeoutError:
            self._parts[name] = Part(False, f"no answer within {_PATIENCE_SECONDS:g} s")
        except ImbridgeError as error:
            self._parts[name] = Part(False, str(error))
        else:
            self._parts[name] = Part(True, f"answers within {1000 * (time.monotonic() - began):.0f} ms")
