"""Markers: what tells every simulated callback from all others, wherever its body is kept."""

import secrets
from typing import Any, Final, NamedTuple

FIELD: Final = "imbridgeMarker"
"""The field of the body that carries the marker.

Both vendors add fields without notice, so a receiver passes over one it does not know. No row maps it: it
changes nothing that is normalized, and an id only where two genuine bodies would differ anyway.
"""

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_RUN_LENGTH: Final = 8
_MOST: Final = 10**9


class Marker(NamedTuple):
    """One callback of one run: the run's random name and the callback's number in it."""

    run: str
    number: int

    def __str__(self) -> str:
        return f"{self.run}-{self.number}"


def new_run() -> str:
    """Return a name that no other run has: runs of one seed differ in this and in their times alone."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RUN_LENGTH))


def read_marker(text: Any) -> Marker | None:
    """Return the marker this text is, None where it is none."""
    if not isinstance(text, str):
        return None
    run, dash, number = text.rpartition("-")
    if not (dash and run and number.isascii() and number.isdigit()) or int(number) >= _MOST:
        return None
    return Marker(run, int(number))
