"""The listening sockets of the workers: one port, dealt among those that are ready."""

import socket

import pytest

from bridge.errors import ConfigurationError
from bridge.main.workers.listeners import close_listeners, deal, open_listeners


def test_all_listeners_stand_on_one_port_that_was_free() -> None:
    listeners, host, port = open_listeners("127.0.0.1", 0, 4, shared=False)
    try:
        assert len(listeners) == 4
        assert {sock.getsockname() for listener in listeners for sock in listener} == {(host, port)}
        assert all(not sock.get_inheritable() for listener in listeners for sock in listener)
    finally:
        close_listeners(listeners)


def test_every_address_of_a_name_is_listened_on() -> None:
    listeners, _, port = open_listeners("localhost", 0, 2, shared=False)
    try:
        wanted = {entry[4][0] for entry in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
        for listener in listeners:
            assert {sock.getsockname()[0] for sock in listener} == wanted
            assert {sock.getsockname()[1] for sock in listener} == {port}
    finally:
        close_listeners(listeners)


@pytest.mark.parametrize("theirs_is_shared", [True, False])
def test_a_port_somebody_listens_on_is_refused(theirs_is_shared: bool) -> None:
    with socket.socket() as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, theirs_is_shared)
        theirs.bind(("127.0.0.1", 0))
        theirs.listen()
        port = theirs.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            open_listeners("127.0.0.1", port, 2, shared=False)


def test_a_port_is_shared_with_others_that_share_it_when_that_is_wanted() -> None:
    ours, host, port = open_listeners("127.0.0.1", 0, 2, shared=True)
    theirs, *address = open_listeners("127.0.0.1", port, 2, shared=True)
    assert address == [host, port]
    close_listeners([*ours, *theirs])


def test_what_was_opened_is_closed_again_when_the_rest_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        open_listeners("192.0.2.1", 0, 2, shared=False)


@pytest.mark.parametrize(
    ("ready", "dealt"),
    [
        ([1, 2, 3, 4], [{1}, {2}, {3}, {4}]),
        ([1, 3, 4], [{1, 2}, set(), {3}, {4}]),
        ([3, 1], [{1, 2}, set(), {3, 4}, set()]),
        ([4], [set(), set(), set(), {1, 2, 3, 4}]),
        ([], [{1}, {2}, {3}, {4}]),
    ],
)
def test_those_that_are_ready_accept_for_the_others(ready: list[int], dealt: list[set[int]]) -> None:
    assert deal(4, ready) == dict(enumerate(dealt, 1))
