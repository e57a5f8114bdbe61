"""Retention: up to where a log may forget. Segments go whole, oldest first."""

from bridge.log.segments.listing import Listing
from bridge.telemetry import logger

_log = logger("segments")


def forgettable_until(listing: Listing, older_than_ms: int, needed_from: int, under_pressure: bool) -> int:
    """Return the offset before which whole segments may go; 0 when none may.

    They hold nothing at or behind ``needed_from`` and were sealed at ``older_than_ms`` or before. Under
    pressure, when none is old enough, the oldest may go all the same, and that is logged. Raises OSError.
    """
    may_go = [until for _, until in listing.sealed() if until <= needed_from]
    limit = 0
    for until in may_go:
        if listing.written_until_ms(until) > older_than_ms:
            break
        limit = until
    if not limit and under_pressure and may_go:
        limit = may_go[0]
        _log.warning("segment.forgotten_early", directory=str(listing.directory), until_offset=limit)
    return limit
