"""What a relay reads from, and what it writes to."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from bridge.errors import LogUnavailable
from bridge.log.base import Bounds, Position, Reader, Record
from bridge.log.bell import Bell
from bridge.log.clock import wall_ms
from bridge.log.segments import RELAY, LogView, read_all, relay_lock


class Source(Protocol):
    """One journal, as its relay sees it. Calls other than the reader's may block for a moment."""

    number: int
    log_id: str

    def lock(self) -> AbstractContextManager[object]:
        """Return the right to relay this journal. Raises LogLocked, LogUnavailable."""

    def mark(self) -> int | None:
        """Return the next offset to relay, None when nothing was relayed yet. Raises LogUnavailable."""

    def set_mark(self, next_offset: int) -> None:
        """Say that everything before ``next_offset`` was relayed or set aside. Raises LogUnavailable."""

    def bounds(self) -> Bounds:
        """Return what the journal holds now. Raises LogUnavailable."""

    def end(self) -> int:
        """Return the end of what the journal holds now, for less than ``bounds``. Raises LogUnavailable."""

    def reader(self, start: int) -> Reader:
        """Return a reader of all topics in order of acceptance."""


class Target(Protocol):
    """Where records go: a Log, of which only this is needed."""

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Make the records durable. Raises LogUnavailable, RecordRefused."""


class JournalSource:
    """A segment log as the source of a relay; ``bell`` is the journal's when this process writes it."""

    def __init__(self, view: LogView, bell: Bell | None = None, now_ms: Callable[[], int] = wall_ms) -> None:
        self.number, self.log_id = view.number, view.log_id
        self._view, self._bell, self._now_ms = view, bell, now_ms

    def lock(self) -> AbstractContextManager[object]:
        """Return the right to relay this journal. Raises LogLocked, LogUnavailable."""
        return relay_lock(self._view.directory)

    def mark(self) -> int | None:
        """Return the next offset to relay, None when nothing was relayed yet. Raises LogUnavailable."""
        try:
            mark = self._view.marks().get(RELAY)
        except OSError as error:
            raise LogUnavailable(f"the marks of journal {self.number} cannot be read: {error}") from error
        return None if mark is None else mark.next_offset

    def set_mark(self, next_offset: int) -> None:
        """Say that everything before ``next_offset`` was relayed or set aside. Raises LogUnavailable."""
        try:
            self._view.write_mark(RELAY, next_offset, self._now_ms())
        except OSError as error:
            raise LogUnavailable(f"the mark of journal {self.number} cannot be moved: {error}") from error

    def bounds(self) -> Bounds:
        """Return what the journal holds now. Raises LogUnavailable."""
        return self._view.bounds()

    def end(self) -> int:
        """Return the end of what the journal holds now, for less than ``bounds``. Raises LogUnavailable."""
        return self._view.end()

    def reader(self, start: int) -> Reader:
        """Return a reader of all topics in order of acceptance."""
        return read_all(self._view, start, self._bell)
