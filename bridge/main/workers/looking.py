"""Asks worker processes how they are, over Unix sockets that only their supervisor knows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import orjson

from bridge.ops.server import Part

_PATIENCE_SECONDS: Final = 3.0
_ANSWERS: Final = (200, 503)
_TOLD: Final = ("ok", "says", "gates")


class Look(NamedTuple):
    """How a process said it was. ``started`` tells one that is unwell from one that has not begun."""

    ready: bool
    parts: Mapping[str, Part]

    @property
    def started(self) -> bool:
        """Whether its parts have all been started, and none is being stopped."""
        return "process" not in self.parts


class Window:
    """One process seen from outside. Raises nothing: no answer is None."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def look(self) -> Look | None:
        """Return how the process is, None when it does not say."""
        told = await self._ask("/readyz")
        if told is None:
            return None
        content = orjson.loads(told)
        return Look(content["ready"], {name: _part(part) for name, part in content["parts"].items()})

    async def metrics(self) -> str | None:
        """Return its metrics as it exposes them, None when it does not say."""
        told = await self._ask("/metrics")
        return None if told is None else told.decode()

    async def _ask(self, path: str) -> bytes | None:
        """Ask over a connection of its own: one kept from a predecessor would answer nothing."""
        patience = aiohttp.ClientTimeout(_PATIENCE_SECONDS)
        connector = aiohttp.UnixConnector(str(self._path))
        try:
            async with (
                aiohttp.ClientSession("http://worker", connector=connector, timeout=patience) as session,
                session.get(path) as response,
            ):
                return await response.read() if response.status in _ANSWERS else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


def _part(told: Mapping[str, Any]) -> Part:
    details = {name: value for name, value in told.items() if name not in _TOLD}
    return Part(told["ok"], told["says"], gates=told["gates"], details=details)
