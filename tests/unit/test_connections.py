"""Connections whose callers do not read: they are ended in time, and others make room in their place."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from bridge.ingress.heads import Heads
from bridge.ingress.limits import Limits
from bridge.ingress.places import Places
from bridge.ingress.protocol import CallbackConnection
from bridge.ingress.server import CallbackServer
from bridge.ingress.state import IngressState
from bridge.ingress.turns import Turns

LIMITS = Limits(1024, body_seconds=10.0, journal_seconds=5.0, keepalive_seconds=60.0, buffer_bytes=1 << 20)


class Clogged(asyncio.Transport):
    """What was written is never sent, so that closing does not end it."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = self.aborted = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Scene:
    """A server with two places on a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.loop = cast("asyncio.AbstractEventLoop", SimpleNamespace(time=lambda: self.now))
        self.server = CallbackServer(cast("Any", None), LIMITS, Places(2), Turns(IngressState()), Heads())

    def comes(self) -> tuple[CallbackConnection, Clogged]:
        """Let a caller in that sends nothing."""
        connection = CallbackConnection(self.server, cast("Any", None), self.loop)
        transport = Clogged()
        connection.connection_made(transport)
        self.server.places.look_again()
        return connection, transport


def test_a_connection_that_is_closing_is_cut_off_in_time_however_often_it_is_told_to_end() -> None:
    scene = Scene()
    connection, transport = scene.comes()
    connection.end()
    for scene.now in (4.0, 8.0):
        connection.end()
    connection.sweep(10.0)
    assert transport.aborted


def test_a_connection_that_is_closing_makes_no_room_a_second_time() -> None:
    scene = Scene()
    _, first = scene.comes()
    scene.now = 1.0
    _, second = scene.comes()
    scene.now = 5.0
    scene.comes()
    assert (first.closing, second.closing) == (True, False)
    scene.now = 5.5
    scene.comes()
    assert (first.closing, second.closing) == (True, True)
