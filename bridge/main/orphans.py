"""Looks after the journals that nobody writes, so that all they hold is read and what is old is forgotten."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from bridge.config import Settings
from bridge.errors import LogError
from bridge.log.segments import Adopted, adopt, journal_directories
from bridge.main.retention import still_needed
from bridge.telemetry import logger

_LOOK_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 600.0
_log = logger("journal")


def adopt_journal(settings: Settings, directory: Path) -> Adopted | None:
    """Recover the journal under its lock, forget what may go, say so; None when somebody writes it.

    Blocks. Raises LogError.
    """
    limits = settings.journal
    adopted = adopt(
        directory,
        segment_bytes=limits.segment_bytes,
        max_bytes=limits.max_bytes,
        keep_ms=round(limits.keep_seconds * 1000),
        still_needed=partial(still_needed, settings),
    )
    if adopted is not None:
        _log.info("journal.adopted", directory=str(directory), **adopted._asdict())
    return adopted


class Orphans:
    """Adopts journals that stay without a writer, half a minute after they were seen first.

    By then a process that starts, or starts again, has taken one into use for itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._due: dict[int, float] = {}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Look until stopped."""
        while not self._stop.is_set():
            with suppress(LogError):  # the directory cannot be listed: others say so
                await asyncio.to_thread(self._look)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_SECONDS)

    def stop(self) -> None:
        """Look no further."""
        self._stop.set()

    def _look(self) -> None:
        now = time.monotonic()
        for number, directory in journal_directories(self._settings.data_dir).items():
            if now >= self._due.setdefault(number, now + _PATIENCE_SECONDS):
                self._due[number] = now + self._try(directory)

    def _try(self, directory: Path) -> float:
        """Adopt the journal, if it is an orphan; return after how many seconds to look at it again."""
        try:
            adopted = adopt_journal(self._settings, directory)
        except LogError as error:
            _log.warning("journal.not_adopted", directory=str(directory), reason=str(error))
            return _AGAIN_SECONDS
        return _PATIENCE_SECONDS if adopted is None else _AGAIN_SECONDS
