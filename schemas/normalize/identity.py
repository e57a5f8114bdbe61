"""Event ids: a repeat of one callback has the same id, two genuine callbacks never do."""

from hashlib import blake2b
from secrets import token_bytes
from typing import Any, Final

import orjson

from schemas.callback import Callback
from schemas.normalize.conversions import is_silent
from schemas.normalize.generate import Source

BYTES: Final = 20
_unhashed = blake2b(digest_size=BYTES)
_DIGITS: Final = b"abcdefghijklmnopqrstuvwxyz234567" * 8
TIME: Final = "time"
OPERATION: Final = "operation_id"
BODY: Final = "body"
SPECIAL: Final = (TIME, OPERATION, BODY)
"""What an identity may name besides normalized fields: the vendor's time, operation id, the whole body."""

_BESIDES: Final = {TIME: "event_ms", OPERATION: "operation_id"}
Identity = tuple[str, ...]


def write_identity(command: str, identities: tuple[Identity, ...], source: Source) -> None:
    """Write the lines that make ``event_id`` out of ``callback`` and its parts, ``data`` and ``event_ms``.

    ``command`` is the canonical name. The first identity counts of which no part is missing, null or empty;
    where there is none, the id is that of ``body_id``.
    """
    hashed, silent, indent = source.name(_hash), source.name(is_silent), ""
    for place, parts in enumerate(identities):
        kind = f"identity{place}" if place else "identity"
        named = [f"data.get({part!r})" for part in parts if part not in SPECIAL]
        besides = [told for part, told in _BESIDES.items() if part in parts]
        whole = "raw" if BODY in parts else "b''"
        source.add(f"{indent}identity = [{', '.join(named + besides)}]")
        source.add(f"{indent}if all(identity) or not any(map({silent}, identity)):")
        source.add(
            f"{indent}    event_id = {hashed}(provider, app, {command!r}, {kind!r}, identity, {whole})"
        )
        source.add(f"{indent}else:")
        indent += "    "
    source.add(f"{indent}event_id = {source.name(body_id)}(callback, {command!r}, event_ms)")


def body_id(callback: Callback, command: str, event_ms: int | None) -> str:
    """Return the id of a callback without natural identity: from operation id and body.

    Without an operation id and without a time in the body nothing tells a repeat from a second callback:
    then the moment of acceptance is taken in, so both are kept.
    """
    nothing_else = event_ms is None and not callback.operation_id
    moment = callback.moment if nothing_else else None
    told = [callback.operation_id, moment]
    return _hash(callback.provider, callback.app, command, "body", told, callback.body)


def nth_id(event_id: str, occurrence: int) -> str:
    """Return the id of an event that nothing tells from ``occurrence`` others before it in one batch."""
    provider = event_id.partition("-")[0]
    return _text(provider, _digest(f"{event_id} {occurrence}".encode()))


def new_id(provider: str) -> str:
    """Return an id nothing else has: each question asked is a decision of its own."""
    return _text(provider, token_bytes(BYTES))


def _hash(provider: str, app: str, command: str, kind: str, identity: list[Any], body: bytes) -> str:
    # JSON holds no line break, so the break parts the two without doubt.
    named = orjson.dumps((provider, app, command, kind, identity))
    return _text(provider, _digest(named + b"\n" + body))


def _digest(named: bytes) -> bytes:
    state = _unhashed.copy()  # a third less than a new one with its size given
    state.update(named)
    return state.digest()


def _upper_halves(digits: int) -> int:
    """Return ones where the upper half of every ``2 * digits`` digits of 5 bits stands, a byte for each."""
    ones = (1 << 5 * digits) - 1
    return sum(ones << 5 * digits << 8 * place for place in range(0, 8 * BYTES // 5, 2 * digits))


_MOVES: Final = tuple((_upper_halves(digits), (1 << 3 * digits) - 1) for digits in (16, 8, 4, 2, 1))


def _text(provider: str, digest: bytes) -> str:
    """Return the digest in base32, in a third of the time of ``base64.b32encode``.

    Its digits of 5 bits are moved apart until each has a byte: the upper 16 of them, the upper 8 of each 16,
    and so on. To move some bits up by n is to add them 2^n - 1 times.
    """
    bits = int.from_bytes(digest, "big")
    for upper, times in _MOVES:
        bits += (bits & upper) * times
    return f"{provider}-{bits.to_bytes(8 * BYTES // 5, 'big').translate(_DIGITS).decode()}"
