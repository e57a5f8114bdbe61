"""When it happened: the vendor's time where there is a believable one, else when it was received."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from schemas.envelope import format_time
from schemas.normalize.conversions import read_integer
from schemas.normalize.misfit import Misfit
from schemas.normalize.paths import compile_path

UNITS: Final = {"ms": 1, "s": 1000}
"""Units a vendor gives times in, as milliseconds."""

EARLIEST_MS: Final = 1_262_304_000_000
"""2010-01-01: no vendor existed before."""

AHEAD_MS: Final = 300_000
"""How far a vendor's clock may run ahead of ours."""

RECEIVED: Final = "received"
_MILLISECONDS: Final = 2**48
_COUNTER_BITS: Final = 16

TimeReader = Callable[[Mapping[str, Any]], int | None]


def compile_time(path: str, unit: str) -> TimeReader:
    """Return a function from a body to the vendor's time in milliseconds, None where none can be read.

    Vendors write it as a number or in quotes. What cannot be read counts as no time: the fact still stands.
    """
    get, factor = compile_path(path), UNITS[unit]

    def read(body: Mapping[str, Any]) -> int | None:
        try:
            value = read_integer(get(body) or "")
        except Misfit:
            return None
        if value is None:
            return None
        moment = value * factor
        return moment if 0 < moment < _MILLISECONDS else None

    return read


def first_time(readers: Sequence[TimeReader]) -> TimeReader:
    """Return a function to the first of several times that can be read."""
    if not readers:
        return no_time
    if len(readers) == 1:
        return readers[0]

    def read(body: Mapping[str, Any]) -> int | None:
        for reader in readers:
            value = reader(body)
            if value is not None:
                return value
        return None

    return read


def no_time(_: Mapping[str, Any]) -> None:
    """Return None: the body of this row carries no time."""


def place(event_ms: int | None, moment: int) -> tuple[str, str, str, str | None]:
    """Return ``time``, ``recordedtime``, ``sequence`` and ``timebasis``.

    Given are the vendor's time and the moment of acceptance. Timed by the vendor, the sequence is a function
    of the body alone, so a repeat carries the same one.
    """
    received_ms = moment >> _COUNTER_BITS
    recorded = format_time(received_ms)
    if event_ms is not None and EARLIEST_MS <= event_ms <= received_ms + AHEAD_MS:
        return format_time(event_ms), recorded, _in_hex(event_ms << _COUNTER_BITS), None
    return recorded, recorded, _in_hex(moment), RECEIVED


def _in_hex(moment: int) -> str:
    return moment.to_bytes(8, "big").hex()  # a quarter of the time of a format
