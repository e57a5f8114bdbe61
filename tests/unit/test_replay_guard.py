"""What the replay guard remembers, and for how long."""

from bridge.errors import JournalFailed, LogError
from bridge.ingress.replay_guard import ReplayGuard, fingerprint


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Told:
    """Somebody who waits for an append."""

    def __init__(self) -> None:
        self.told: list[tuple[int, LogError | None]] = []

    def __call__(self, first_offset: int, error: LogError | None) -> None:
        self.told.append((first_offset, error))


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


def test_a_repeat_waits_for_the_first_copy_until_that_is_on_disk() -> None:
    guard, first, second, third = ReplayGuard(seconds=600), Told(), Told(), Told()
    assert not guard.knows(b"k")
    ended = guard.remember(b"k", first)
    assert guard.knows(b"k")
    assert guard.join(b"k", second)
    assert not second.told
    ended(7, None)
    assert first.told == second.told == [(7, None)]
    assert guard.knows(b"k")
    assert not guard.join(b"k", third)


def test_what_could_not_be_stored_is_forgotten_and_a_repeat_is_told_the_same() -> None:
    guard, first, second = ReplayGuard(seconds=600), Told(), Told()
    ended, error = guard.remember(b"failed", first), JournalFailed("no disk")
    guard.join(b"failed", second)
    guard.remember(b"refused", Told())
    guard.forget(b"refused")
    ended(0, error)
    assert first.told == second.told == [(0, error)]
    assert not guard.knows(b"failed")
    assert not guard.knows(b"refused")
    assert len(guard) == 0


def test_memory_is_bounded_by_age() -> None:
    clock = Clock()
    guard = ReplayGuard(seconds=600, now=clock)
    guard.remember(b"old", Told())
    clock.now = 300
    guard.remember(b"new", Told())
    clock.now = 601
    assert not guard.knows(b"old")
    assert guard.knows(b"new")
    assert len(guard) == 1


def test_memory_is_bounded_by_entries_and_the_oldest_goes_first() -> None:
    guard, first = ReplayGuard(seconds=600, entries=3), Told()
    ended = guard.remember(b"0", first)
    for number in range(1, 6):
        guard.remember(str(number).encode(), Told())
    assert [guard.knows(str(number).encode()) for number in range(6)] == [False] * 3 + [True] * 3
    ended(0, JournalFailed("no disk"))
    assert first.told
    assert len(guard) == 3
