"""Keeps one segment allocated and zero-filled ahead of need, in a thread of its own."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Final

from bridge.errors import JournalFull, LogUnavailable
from bridge.log.segments.files import SegmentFiles
from bridge.telemetry import JOURNAL_FULL, logger

RETRY_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.001
"""The rest between two pieces of a quarter MiB, when callers are answered: up to 250 MB/s are filled."""

_log = logger("segments")


class Allocator:
    """Allocates the reserve whenever it was used; when it cannot, ``is_full`` until a later try succeeds.

    ``make_room`` forgets a segment before its time and says whether there was one that nobody needs.
    """

    def __init__(self, files: SegmentFiles, make_room: Callable[[], bool]) -> None:
        self._files, self._make_room = files, make_room
        self._wanted = Event()
        self._stopping = False
        self.reason: str | None = None
        self._thread = Thread(target=self._run, name="segment-allocator", daemon=True)

    @property
    def is_full(self) -> bool:
        """Whether the last try to allocate failed."""
        return self.reason is not None

    def start(self) -> None:
        """Try once before returning, then go on in the thread."""
        self._fill(0.0)
        self._thread.start()

    def want(self) -> None:
        """Wake the thread: the reserve was used, or space was freed."""
        self._wanted.set()

    def stop(self, timeout: float) -> bool:
        """End the thread; False when an allocation under way took longer than ``timeout`` seconds."""
        self._stopping = True
        self._wanted.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            self._wanted.wait(RETRY_SECONDS if self.is_full else None)
            self._wanted.clear()
            if not self._stopping:
                self._fill(REST_SECONDS)

    def _fill(self, rest_seconds: float) -> None:
        while not self._files.reserve_room:
            try:
                self._files.allocate(rest_seconds)
            except LogUnavailable as error:
                if isinstance(error, JournalFull) and not self._stopping and self._make_room():
                    continue
                self._say(str(error))
                return
        self._say(None)

    def _say(self, reason: str | None) -> None:
        if (reason is None) != (self.reason is None):
            JOURNAL_FULL.set(0 if reason is None else 1)
            if reason is None:
                _log.info("journal.room_found", directory=str(self._files.directory))
            else:
                _log.error("journal.filled", directory=str(self._files.directory), reason=reason)
        self.reason = reason
