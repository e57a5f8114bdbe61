"""What a projection is: a pure function from events to effects, under a name."""

from collections.abc import Collection, Sequence
from typing import Protocol

from consumers.store.base import Effect
from schemas.envelope import Envelope


class Projection(Protocol):
    """Turns events into effects on tables of its own.

    ``effects`` is pure, and its effects commute and may repeat: any order, duplication and batching of the
    same events gives the same tables. ``types`` are the event types it applies; others are not shown to it.
    """

    @property
    def name(self) -> str:
        """The consumer's one name: checkpoints, metrics, command line."""

    @property
    def topics(self) -> Sequence[str]:
        """What it reads."""

    @property
    def types(self) -> Collection[str]:
        """The event types it applies."""

    def effects(self, envelopes: Sequence[Envelope]) -> Sequence[Effect]:
        """Return the effects of a batch. Raises PoisonRecord when an event has not the agreed shape."""
