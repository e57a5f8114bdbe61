"""The listening sockets of all workers, which the supervisor opens once and keeps for life.

One socket a worker, all on one port (SO_REUSEPORT): the kernel deals new connections among them by a hash of
the addresses. A socket stays in that group, and goes on completing handshakes into its queue, as long as any
process has it open. So while a worker is dead its share of the connections is neither refused nor reset: it
waits in the queue for whoever accepts from that socket next.
"""

import socket
from collections.abc import Iterator, Sequence
from typing import Any

from bridge.errors import ConfigurationError
from bridge.ingress.server import BACKLOG

Listener = tuple[socket.socket, ...]  # one socket for each address the host stands for
_Address = tuple[int, tuple[Any, ...]]  # family, and host and port first


def open_listeners(host: str, port: int, count: int, *, shared: bool) -> tuple[list[Listener], str, int]:
    """Return ``count`` listeners on one port and the address as bound (port 0 takes a free one).

    Unless ``shared``, a port on which somebody listens already is refused: the kernel itself would let a
    second service of the same user in and deal it half of the connections. Raises ConfigurationError.
    """
    opened: list[Listener] = []
    try:
        addresses = _addresses(host, port)
        if port and not shared:
            for family, address in addresses:
                _bound(family, address, reuse=False).close()
        for _ in range(count):
            opened.append(tuple(_listening(addresses)))
            addresses = [(sock.family, sock.getsockname()) for sock in opened[0]]
    except OSError as error:
        close_listeners(opened)
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}: is another process there?"
        ) from error
    bound = opened[0][0].getsockname()
    return opened, str(bound[0]), int(bound[1])


def close_listeners(listeners: Sequence[Listener]) -> None:
    """Close every socket in this process."""
    for listener in listeners:
        for sock in listener:
            sock.close()


def _addresses(host: str, port: int) -> list[_Address]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), address) for family, *_, address in found))


def _listening(addresses: Sequence[_Address]) -> Iterator[socket.socket]:
    """Yield one listening socket an address; where the port is free to choose, the first one chooses."""
    chosen = 0
    for family, (host, port, *rest) in addresses:
        sock = _bound(family, (host, port or chosen, *rest), reuse=True)
        chosen = sock.getsockname()[1]
        sock.listen(BACKLOG)
        yield sock


def _bound(family: int, address: tuple[Any, ...], *, reuse: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def deal(count: int, ready: Sequence[int]) -> dict[int, frozenset[int]]:
    """Return which listeners each worker accepts from, both numbered from 1.

    Every worker that is ready accepts from its own; those of the others are dealt among the ready ones. While
    none is ready everybody keeps to his own: a question is answered even then.
    """
    everybody = range(1, count + 1)
    able = sorted(ready) or everybody
    dealt = {number: {number} if number in able else set[int]() for number in everybody}
    for turn, number in enumerate(number for number in everybody if number not in able):
        dealt[able[turn % len(able)]].add(number)
    return {number: frozenset(listeners) for number, listeners in dealt.items()}
