"""What the two paths share and others look at: the journal, draining, how many wait, what was dropped."""

from dataclasses import dataclass
from typing import NamedTuple

from bridge.errors import JournalFailed
from bridge.log.base import Journal


class IngressStatus(NamedTuple):
    """The ingress as operators see it.

    ``waiting`` counts after-callbacks that wait for their turn or the disk, ``decision_events_dropped``
    decisions that were answered and could not be recorded, since the start; ``last_dropped_ms`` is when the
    last was.
    """

    listening: bool
    draining: bool
    journal_usable: bool
    waiting: int
    decision_events_dropped: int
    last_dropped_ms: int | None


@dataclass(slots=True)
class IngressState:
    """The mutable part of the ingress, touched from its event loop alone."""

    journal: Journal | None = None
    journal_failed: bool = False
    draining: bool = False
    listening: bool = False
    waiting: int = 0
    decision_events_dropped: int = 0
    last_dropped_ms: int | None = None

    def use(self, journal: Journal | None) -> None:
        """Take a journal into use, or do without one."""
        self.journal, self.journal_failed = journal, False

    def note(self, error: BaseException) -> None:
        """Remember when the journal said that it must not be appended to again."""
        self.journal_failed |= isinstance(error, JournalFailed)

    def status(self) -> IngressStatus:
        """Return the state as a value."""
        return IngressStatus(
            listening=self.listening,
            draining=self.draining,
            journal_usable=self.journal is not None and not self.journal_failed,
            waiting=self.waiting,
            decision_events_dropped=self.decision_events_dropped,
            last_dropped_ms=self.last_dropped_ms,
        )
