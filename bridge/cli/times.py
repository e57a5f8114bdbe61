"""Times as operators write them: RFC 3339, or how long ago (``2h``, ``30m``, ``7d``)."""

import re

from bridge.errors import UsageError
from bridge.log.clock import wall_ms
from schemas.envelope import parse_time

_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(\d+)([smhd])")


def when(text: str | None) -> int | None:
    """Return the moment meant, in milliseconds since the epoch. Raises UsageError."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago:
        return wall_ms() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time: write 2026-01-31T12:00:00Z, or 90s, 30m, 2h, 7d for how long ago"
        ) from error
