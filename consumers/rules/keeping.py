"""Keeping the last good set on disk, without ever letting the disk stop the rules."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from bridge.errors import LogError
from bridge.telemetry import logger
from consumers.rules import snapshots
from consumers.rules.snapshots import Snapshot

SEEN_EVERY_SECONDS: Final = 30.0
Result = TypeVar("Result")
_log = logger("rules")


class Keeper:
    """The snapshot of one set in one directory.

    ``problem`` says why the set is not kept, or what was kept is not used; None when all is well.
    """

    def __init__(self, directory: Path, set_name: str) -> None:
        self._directory, self._set_name = directory, set_name
        self._noted_at = time.monotonic()
        self._unsaved = False
        self.problem: str | None = None

    async def load(self) -> Snapshot | None:
        """Return what is kept; None where nothing usable is, and ``problem`` says why."""
        return await self._try(lambda: snapshots.load(self._directory, self._set_name))

    async def save(self, snapshot: Snapshot) -> None:
        """Keep this set, durably; where the disk refuses, ``note_seen`` tries again."""
        self._unsaved = not await self._try(lambda: snapshots.save(self._directory, snapshot))

    async def remove(self) -> None:
        """Keep nothing."""
        self._unsaved = False
        await self._try(lambda: snapshots.remove(self._directory, self._set_name))

    async def note_seen(self, snapshot: Snapshot, *, now: bool = False) -> None:
        """Note how fresh the kept set is, at most every 30 s unless ``now``."""
        if not now and time.monotonic() - self._noted_at < SEEN_EVERY_SECONDS:
            return
        self._noted_at = time.monotonic()
        if self._unsaved:
            await self.save(snapshot)
        else:
            await self._try(lambda: snapshots.note_seen(self._directory, snapshot))

    def complain(self, problem: str) -> None:
        """Take down, once, why the kept set cannot be used."""
        if problem != self.problem:
            self.problem = problem
            _log.error("rules.snapshot_failed", set=self._set_name, error=problem)

    async def _try(self, work: Callable[[], Result]) -> Result | None:
        try:
            result = await asyncio.to_thread(work)
        except (LogError, OSError) as error:
            self.complain(str(error))
            return None
        self.problem = None
        return result
