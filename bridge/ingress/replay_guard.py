"""The replay guard: a signed after-callback that comes again, word for word, is one event.

What comes again after a restart, or once it was forgotten, has the same id as the first time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from bridge.log.base import Position

ENTRIES: Final = 65_536
"""How many callbacks are remembered at most, about 250 bytes each: 16 MB, a minute of a thousand a second."""

_DIGEST_BYTES: Final = 16

OnDisk = asyncio.Future[Sequence[Position]]


def fingerprint(signed: str, body: bytes, ids: Iterable[str]) -> bytes:
    """Return what a repeat has in common with the first copy: what was signed, body, ids of its events.

    A callback in which nothing tells a repeat from a second one (no time, no natural identity, no RequestID)
    gets new ids each time, so it is never taken for a repeat.
    """
    digest = blake2b(body, digest_size=_DIGEST_BYTES)
    digest.update("\n".join(("", signed, *ids)).encode(errors="surrogatepass"))
    return digest.digest()


class ReplayGuard:
    """Remembers callbacks by fingerprint, the latest ``entries`` of them, for ``seconds`` each."""

    def __init__(
        self, *, seconds: float, entries: int = ENTRIES, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._entries, self._now = seconds, entries, now
        self._seen: OrderedDict[bytes, tuple[float, OnDisk | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def knows(self, key: bytes) -> bool:
        """Return whether a callback of this fingerprint is stored or on its way to the disk."""
        self._forget_old()
        return key in self._seen

    def pending(self, key: bytes) -> OnDisk | None:
        """Return the append of a known callback while it is under way, None once it has committed."""
        return self._seen[key][1]

    def remember(self, key: bytes, on_disk: OnDisk) -> None:
        """Remember a callback that is being appended; it is forgotten again if that fails."""
        self._seen[key] = (self._now(), on_disk)
        while len(self._seen) > self._entries:
            self._seen.popitem(last=False)
        on_disk.add_done_callback(lambda done: self._settle(key, done))

    def _settle(self, key: bytes, on_disk: "asyncio.Future[Any]") -> None:
        since, kept = self._seen.get(key, (0.0, None))
        if kept is not on_disk:
            return
        if on_disk.cancelled() or on_disk.exception() is not None:
            del self._seen[key]
        else:
            self._seen[key] = (since, None)

    def _forget_old(self) -> None:
        before = self._now() - self._seconds
        while self._seen and next(iter(self._seen.values()))[0] < before:
            self._seen.popitem(last=False)
