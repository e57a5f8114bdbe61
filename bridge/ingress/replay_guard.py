"""The replay guard: a signed after-callback that comes again, word for word, is one event.

What comes again after a restart, or once it was forgotten, has the same id as the first time.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from typing import Final

from bridge.errors import LogError
from bridge.log.base import Done

ENTRIES: Final = 65_536
"""How many callbacks are remembered at most, about 250 bytes each: 16 MB, a minute of a thousand a second."""

_DIGEST_BYTES: Final = 16


def fingerprint(signed: str, body: bytes, ids: Iterable[str]) -> bytes:
    """Return what a repeat has in common with the first copy: what was signed, body, ids of its events.

    A callback in which nothing tells a repeat from a second one (no time, no natural identity, no RequestID)
    gets new ids each time, so it is never taken for a repeat.
    """
    digest = blake2b(body, digest_size=_DIGEST_BYTES)
    digest.update("\n".join(("", signed, *ids)).encode(errors="surrogatepass"))
    return digest.digest()


class _Known:
    """One callback that is remembered; ``told`` are who waits for its append, None once that has ended."""

    __slots__ = ("since", "told")

    def __init__(self, since: float, first: Done) -> None:
        self.since = since
        self.told: list[Done] | None = [first]


class ReplayGuard:
    """Remembers callbacks by fingerprint, the latest ``entries`` of them, for ``seconds`` each."""

    def __init__(
        self, *, seconds: float, entries: int = ENTRIES, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._entries, self._now = seconds, entries, now
        self._seen: OrderedDict[bytes, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def knows(self, key: bytes) -> bool:
        """Return whether a callback of this fingerprint is stored or on its way to the disk."""
        before = self._now() - self._seconds
        while self._seen and next(iter(self._seen.values())).since < before:
            self._seen.popitem(last=False)
        return key in self._seen

    def remember(self, key: bytes, done: Done) -> Done:
        """Remember a callback that is about to be appended; return who is to be told how that ends.

        It tells ``done`` and all who joined, and a callback whose append failed is forgotten again.
        """
        known = self._seen[key] = _Known(self._now(), done)
        while len(self._seen) > self._entries:
            self._seen.popitem(last=False)
        return partial(self._settle, key, known)

    def forget(self, key: bytes) -> None:
        """Forget a callback that was not appended after all."""
        self._seen.pop(key, None)

    def join(self, key: bytes, done: Done) -> bool:
        """Have ``done`` told with the first copy of a known callback; False where that is on disk already."""
        told = self._seen[key].told
        if told is not None:
            told.append(done)
        return told is not None

    def _settle(self, key: bytes, known: _Known, first_offset: int, error: LogError | None) -> None:
        told, known.told = known.told, None
        if error is not None and self._seen.get(key) is known:
            del self._seen[key]
        for done in told or ():
            done(first_offset, error)
