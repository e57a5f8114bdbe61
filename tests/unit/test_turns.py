"""How a turn of the event loop is shared: in order, within bounds, and resting where much was read."""

import asyncio
from typing import Any

import pytest

from bridge.ingress import turns as turns_module
from bridge.ingress.state import IngressState
from bridge.ingress.turns import Turns


class Transport:
    """Counts who rests."""

    def __init__(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def read(turns: Turns, transport: Any = None) -> None:
    turns.read(transport)


async def test_a_turn_begins_so_many_and_the_others_follow_in_order() -> None:
    state, begun = IngressState(), list[int]()
    turns = Turns(state, per_turn=2)
    for number in range(7):
        read(turns)
        if turns.admits(1):
            begun.append(number)
        else:
            turns.line_up(lambda number=number: begun.append(number), 1)  # type: ignore[misc]
    assert (begun, state.waiting) == ([0, 1], 5)
    for stop in (4, 6, 7):
        await asyncio.sleep(0)
        assert (begun, state.waiting) == (list(range(stop)), 7 - stop)
    read(turns)
    assert turns.admits(1)


async def test_nobody_overtakes_the_line() -> None:
    turns, begun = Turns(IngressState(), per_turn=1), list[str]()
    read(turns)
    assert turns.admits(1)
    for name in "ab":
        turns.line_up(lambda name=name: begun.append(name), 1)  # type: ignore[misc]
    await asyncio.sleep(0)
    read(turns)
    assert begun == ["a"]
    assert not turns.admits(1), "b is still in line"


async def test_what_lines_up_is_begun_though_nobody_sends_another_request() -> None:
    state, begun = IngressState(), list[int]()
    turns = Turns(state, per_turn=1)
    for _ in range(3):
        read(turns)  # three heads, whose bodies come later
    await asyncio.sleep(0)
    assert turns.admits(1)
    for number in range(2):
        assert not turns.admits(1)
        turns.line_up(lambda number=number: begun.append(number), 1)  # type: ignore[misc]
    for _ in range(2):
        await asyncio.sleep(0)
    assert (begun, state.waiting) == ([0, 1], 0)


async def test_bodies_in_line_are_bounded_in_bytes() -> None:
    turns = Turns(IngressState(), per_turn=0, line_bytes=100)
    turns.line_up(lambda: None, 60)
    assert turns.admits(50), "there is no room in line for it: begun at once"
    assert not turns.admits(40)


async def test_connections_rest_once_a_turn_has_read_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "REQUESTS", 2)
    turns, transports = Turns(IngressState()), [Transport() for _ in range(3)]
    for transport in transports:
        read(turns, transport)
    assert [transport.reading for transport in transports] == [True, True, False]
    await asyncio.sleep(0)
    assert transports[2].reading
