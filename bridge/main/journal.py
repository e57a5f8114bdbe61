"""Keeps the journal: opens it, with back-off if need be; forgets; watches for failure."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from bridge.backoff import Backoff
from bridge.config import Settings
from bridge.errors import ConfigurationError, FormatTooNew, JournalFailed, LogError
from bridge.log.clock import HybridClock, wall_ms
from bridge.log.segments import ControlLog, SegmentLog, open_journal
from bridge.log.segments.identity import read_identity
from bridge.log.segments.marks import read_marks
from bridge.main.retention import still_needed
from bridge.telemetry import JOURNAL_FULL, logger
from schemas.topics import TOPICS

_FORGET_SECONDS: Final = 5.0
_PRESSED_SECONDS: Final = 0.5
_CONTROL_KEEP_MS: Final = max(topic.retention_ms for topic in TOPICS.values() if topic.home == "control")
_CONTROL_EVERY_SECONDS: Final = 3600.0
_log = logger("journal")


class JournalKeeper:
    """Opens the journal and hands it to ``accept``; then forgets what may be forgotten.

    ``run`` raises JournalFailed when a write or sync failed: the process must end and start anew.
    """

    def __init__(self, settings: Settings, clock: HybridClock, accept: Callable[[SegmentLog], None]) -> None:
        self._settings, self._clock, self._accept = settings, clock, accept
        self._control = ControlLog(settings.data_dir)
        self._control_due = 0.0
        self._stop = asyncio.Event()
        self.journal: SegmentLog | None = None
        self.reason = "not opened yet"

    async def try_open(self) -> bool:
        """Open and recover the journal; False, with ``reason`` set, when it cannot be used now.

        Raises ConfigurationError and FormatTooNew, which waiting does not mend.
        """
        limits = self._settings.journal
        try:
            opened = await asyncio.to_thread(
                open_journal,
                self._settings.data_dir,
                loop=asyncio.get_running_loop(),
                segment_bytes=limits.segment_bytes,
                max_bytes=limits.max_bytes,
                queue_records=limits.queue_records,
                queue_bytes=limits.queue_bytes,
            )
        except (ConfigurationError, FormatTooNew):
            raise
        except LogError as error:
            self.reason = str(error)
            return False
        self.journal = opened
        self._clock.raise_floor(opened.floor_ms)
        self._accept(opened)
        _log.info(
            "journal.opened",
            log=opened.log_id,
            number=opened.number,
            begin=opened.begin_offset,
            end=opened.end_offset,
            lost=opened.lost_records,
        )
        return True

    async def run(self) -> None:
        """Open if not open, then forget from time to time, until stopped. Raises JournalFailed."""
        backoff = Backoff(0.5, 10.0)
        while self.journal is None and not self._stop.is_set():
            if not backoff.waiting:
                _log.error("journal.unusable", reason=self.reason)
            await backoff.pause(self._stop)
            if not self._stop.is_set():
                await self.try_open()
        while self.journal is not None and not self._stop.is_set():
            await self._look_after(self.journal)

    def stop(self) -> None:
        """Stop looking after it; the journal itself is closed by ``close``."""
        self._stop.set()

    async def close(self, timeout: float) -> None:
        """Commit what is queued and give the journal back."""
        if self.journal is not None:
            await self.journal.close(timeout)

    async def _look_after(self, journal: SegmentLog) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._stop, journal.failed)]
        pause = _PRESSED_SECONDS if journal.is_full() else _FORGET_SECONDS
        await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if journal.failed.is_set():
            raise JournalFailed(
                f"journal {journal.directory} can no longer be written; restart tries it again"
            )
        JOURNAL_FULL.set(journal.is_full())
        try:
            await asyncio.to_thread(self._forget, journal)
        except (LogError, OSError) as error:
            _log.warning("journal.not_forgotten", reason=str(error))

    def _forget(self, journal: SegmentLog) -> None:
        marks = read_marks(journal.directory, read_identity(journal.directory).uuid)
        needed = still_needed(self._settings, marks, journal.begin_offset)
        journal.forget(wall_ms(), round(self._settings.journal.keep_seconds * 1000), needed)
        if time.monotonic() >= self._control_due:
            self._control_due = time.monotonic() + _CONTROL_EVERY_SECONDS
            self._control.forget(wall_ms(), _CONTROL_KEEP_MS)
