"""What the replay guard remembers, and for how long."""

import asyncio
from collections.abc import Sequence

from bridge.ingress.replay_guard import ReplayGuard, fingerprint
from bridge.log.base import Position


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def append() -> asyncio.Future[Sequence[Position]]:
    return asyncio.get_running_loop().create_future()


async def told(future: asyncio.Future[Sequence[Position]], error: Exception | None = None) -> None:
    if error is None:
        future.set_result([])
    else:
        future.set_exception(error)
    await asyncio.sleep(0)


def test_a_fingerprint_hinges_on_signature_body_and_ids() -> None:
    same = fingerprint("t s", b"body", ["a", "b"])
    assert same == fingerprint("t s", b"body", ["a", "b"])
    others = [
        fingerprint("t x", b"body", ["a", "b"]),
        fingerprint("t s", b"bodY", ["a", "b"]),
        fingerprint("t s", b"body", ["a", "c"]),
        fingerprint("t s", b"body", ["a"]),
    ]
    assert same not in others


async def test_a_repeat_waits_for_the_first_copy_until_that_has_committed() -> None:
    guard, first = ReplayGuard(seconds=600), append()
    assert not guard.knows(b"k")
    guard.remember(b"k", first)
    assert guard.knows(b"k")
    assert guard.pending(b"k") is first
    await told(first)
    assert guard.knows(b"k")
    assert guard.pending(b"k") is None


async def test_what_could_not_be_stored_is_forgotten() -> None:
    guard, failed, cancelled = ReplayGuard(seconds=600), append(), append()
    guard.remember(b"failed", failed)
    guard.remember(b"cancelled", cancelled)
    cancelled.cancel()
    await told(failed, OSError("no disk"))
    assert not guard.knows(b"failed")
    assert not guard.knows(b"cancelled")
    assert len(guard) == 0


async def test_memory_is_bounded_by_age() -> None:
    clock = Clock()
    guard = ReplayGuard(seconds=600, now=clock)
    guard.remember(b"old", append())
    clock.now = 300
    guard.remember(b"new", append())
    clock.now = 601
    assert not guard.knows(b"old")
    assert guard.knows(b"new")
    assert len(guard) == 1


async def test_memory_is_bounded_by_entries_and_the_oldest_goes_first() -> None:
    guard, first = ReplayGuard(seconds=600, entries=3), append()
    guard.remember(b"0", first)
    for number in range(1, 6):
        guard.remember(str(number).encode(), append())
    assert [guard.knows(str(number).encode()) for number in range(6)] == [False] * 3 + [True] * 3
    await told(first)
    assert not guard.knows(b"0")
    assert len(guard) == 3
