"""Relays for every journal of the data directory, as journals appear; idle without Kafka."""

import asyncio
from collections.abc import Mapping

from bridge.config import Settings
from bridge.log.base import Log
from bridge.ops.server import Part


class Relaying:
    def __init__(self, settings: Settings, log: Log) -> None:
        self._stop = asyncio.Event()

    async def run(self) -> None:
        await self._stop.wait()

    def stop(self) -> None:
        self._stop.set()

    def parts(self) -> Mapping[str, Part]:
        return {}
