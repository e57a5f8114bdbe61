"""Who still needs the records of a journal: what its forgetting stops at."""

from collections.abc import Mapping

from bridge.config import Settings
from bridge.log.segments import RELAY, Mark


def still_needed(settings: Settings, marks: Mapping[str, Mark], begin_offset: int) -> Mapping[str, int]:
    """Return the next offsets of who has yet to read: over Kafka the relay, embedded every consumer."""
    needed = {name: mark.next_offset for name, mark in marks.items() if (name == RELAY) != settings.embedded}
    if not needed and (not settings.embedded or settings.consumers.projections):
        return {RELAY: begin_offset}  # whoever is to read it could not say so yet
    return needed
