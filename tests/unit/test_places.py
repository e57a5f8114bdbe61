"""Places for connections: who loses one, and who is let in without."""

import resource

import pytest

from bridge.ingress.places import Places


class Caller:
    """One connection, idle since a moment or busy."""

    def __init__(self, idle_since: float, *, busy: bool = False) -> None:
        self.idle_since, self.busy, self.ended, self.is_cut_off = idle_since, busy, False, False

    def is_idle(self) -> bool:
        return not self.busy

    def end(self) -> None:
        self.ended = True

    def sweep(self, now: float) -> None:
        pass

    def cut_off(self) -> None:
        self.is_cut_off = True


def test_the_longest_idle_make_room_for_a_new_caller() -> None:
    places = Places(32)
    callers = [Caller(float(since), busy=since < 3) for since in range(32)]
    assert all(places.admit(caller) for caller in callers)
    assert not places.admit(Caller(100.0))
    assert [place for place, caller in enumerate(callers) if caller.ended] == [3, 4, 5]
    for caller in callers[3:6]:
        places.dismiss(caller)
    assert not places.is_crowded()
    assert places.admit(Caller(101.0))


def test_who_has_just_been_answered_or_has_just_come_keeps_the_place() -> None:
    places = Places(2)
    callers = [Caller(99.5), Caller(99.9)]
    assert [places.admit(caller) for caller in callers] == [True, True]
    assert not places.admit(Caller(100.0))
    assert not any(caller.ended for caller in callers)


def test_beyond_a_quarter_more_a_caller_is_cut_off() -> None:
    places = Places(8)
    callers = [Caller(0.0, busy=True) for _ in range(11)]
    assert [places.admit(caller) for caller in callers] == [True] * 8 + [False] * 3
    assert [caller.is_cut_off for caller in callers] == [False] * 10 + [True]


def test_a_search_costs_once_until_the_next_look() -> None:
    places = Places(1)
    first = Caller(0.0, busy=True)
    places.admit(first)
    places.admit(Caller(5.0))
    first.busy = False
    places.admit(Caller(5.0))
    assert not first.ended
    places.look_again()
    places.admit(Caller(5.0))
    assert first.ended


def test_places_fit_the_files_that_may_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (300, 1256))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    places = Places(8000)
    places.fit_files()
    assert (places.most, asked) == (800, [(1256, 1256)])
    places = Places(10)
    places.fit_files()
    assert (places.most, asked[1:]) == (10, [])
