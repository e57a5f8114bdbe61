"""JSON that parses without loss, and nothing else: what may stand in ``origin.body`` as a value."""

import json
import math
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from schemas.callback import UNPARSED

_LEAST: Final = -(2**63)
_BEYOND: Final = 2**64
_BODY_DEPTH: Final = 3
_SHALLOW: Final = 480
"""Bytes that cannot nest too deep: every level takes two of them."""


def read_json(body: bytes, *, depth: int = 3) -> Any:
    """Return the JSON value of ``body``, or UNPARSED where writing it again would lose something.

    Lost would be: a key given twice, an integer beyond 64 bits, digits of a fraction, bytes that are not
    UTF-8, half a surrogate pair, nesting too deep to be written ``depth`` levels inside an envelope.
    """
    try:
        value = orjson.loads(body)
        if len(body) <= _SHALLOW and orjson.dumps(value) == body:
            return value
        # As deep as it will stand in an envelope: orjson writes 254 levels, and reads more.
        written = orjson.dumps([[[value]]] if depth == _BODY_DEPTH else _wrapped(value, depth))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return UNPARSED
    if written[depth:-depth] == body.strip():
        return value
    return value if _is_lossless(body) else UNPARSED


def _wrapped(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _is_lossless(body: bytes) -> bool:
    """Return whether a strict second reading agrees: the slow path, for bodies not written compactly."""
    try:
        json.loads(body, object_pairs_hook=_distinct, parse_int=_fits, parse_float=_exact)
    except (ValueError, RecursionError):
        return False
    return True


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is given twice")


def _fits(text: str) -> None:
    if not _LEAST <= int(text) < _BEYOND:
        raise ValueError("an integer beyond 64 bits")


def _exact(text: str) -> None:
    number = float(text)
    try:
        exact = math.isfinite(number) and Decimal(repr(number)) == Decimal(text)
    except InvalidOperation:
        exact = False
    if not exact:
        raise ValueError("a fraction with more digits than a double holds")
