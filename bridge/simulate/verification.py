"""Whether everything acknowledged stands in a log: ledgers against topics, read once to their present end."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from bridge.errors import LogUnavailable
from bridge.log.base import JOURNAL_HEADER, Bounds, Log, TopicPartition
from bridge.log.scan import scan
from bridge.simulate.claims import Claims
from bridge.simulate.findings import findings
from bridge.simulate.sightings import Sightings
from schemas.topics import GROUP, MESSAGE, UNRECOGNIZED, USER

TOPICS: Final = (GROUP, USER, MESSAGE, UNRECOGNIZED)
"""Where events of after-callbacks stand. Decisions are answered first, so nobody was promised their event."""

_LOOK_SECONDS: Final = 0.25
_JOURNAL_ID: Final = "journal:"

Progress = Callable[[int, int], object]
"""Told how many records were looked at, and of how many."""


class Verification:
    """Reads a log for what ledgers claim. It holds some 50 bytes a claim, and none of the records."""

    def __init__(self, log: Log, claims: Claims, progress: Progress) -> None:
        self._log, self._claims, self._progress = log, claims, progress
        self._sightings = Sightings(claims)
        self._next: dict[TopicPartition, int] = {}
        self._journals: dict[TopicPartition, str | None] = {}
        self._looked_at = 0

    async def run(self, wait_seconds: float) -> dict[str, Any]:
        """Return what was found; while something is missing, look again for up to ``wait_seconds``.

        Raises LogUnavailable when the log cannot be read and no time is left.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                await self._read_to_end()
            except LogUnavailable:
                if time.monotonic() >= deadline:
                    raise
            else:
                if time.monotonic() >= deadline or next(self._sightings.missing(), None) is None:
                    return findings(self._claims, self._sightings)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _read_to_end(self) -> None:
        for topic in TOPICS:
            await self._read(await self._ranges(topic))

    async def _ranges(self, topic: str) -> dict[TopicPartition, Bounds]:
        """Return what has not been read yet of each partition, and learn whose journal it is."""
        ranges = {}
        for number, held in (await self._log.bounds(topic)).items():
            place = TopicPartition(topic, number)
            ranges[place] = Bounds(max(held.begin, self._next.get(place, 0)), held.end)
            if place not in self._journals:
                log_id = await self._log.log_id(place)
                self._journals[place] = log_id if log_id.startswith(_JOURNAL_ID) else None
        return ranges

    async def _read(self, ranges: dict[TopicPartition, Bounds]) -> None:
        total = self._looked_at + sum(max(0, held.end - held.begin) for held in ranges.values())
        async for place, stored in scan(self._log, ranges, lambda _: True):
            record = stored.record
            self._sightings.take(record, record.headers.get(JOURNAL_HEADER) or self._journals[place])
            self._next[place] = stored.offset + 1
            self._looked_at += 1
            self._progress(self._looked_at, total)
        self._next |= {place: max(held.end, self._next.get(place, 0)) for place, held in ranges.items()}
