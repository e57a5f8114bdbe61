"""A worker: one process with one duty, started by the supervisor, which tells it all on its input."""

import asyncio
import os
import socket
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from bridge.errors import ConfigurationError, ImbridgeError
from bridge.main.loops import run_loop
from bridge.main.service import Placement, Role, Service
from bridge.main.workers.orders import LINE_BYTES, Accept, Duty, Hurry, Stop, read_duty, read_order
from bridge.telemetry import configure_logging, logger

MODULE = __name__ if __name__ != "__main__" else "bridge.main.workers.worker"
_YIELDS = 10
"""By how much a process that answers no caller is less urgent than those that do: a backlog can wait."""

_AUTOGROUP = Path("/proc/self/autogroup")
_log = logger("process")


def main() -> None:
    """Work until told to stop. Exit codes as of the command line: 0 in order, 1 it failed, 2 settings."""
    sys.exit(run_loop(_work()))


async def _work() -> int:
    orders = await _input()
    line = await orders.readline()
    if not line:
        return 0  # the supervisor was gone before it said anything
    duty = read_duty(line)
    configure_logging(duty.settings.log.level, duty.settings.log.style)
    structlog.contextvars.bind_contextvars(process=duty.name)
    if Role.INGRESS not in duty.roles:
        _yield_cores()
    try:
        return await _serve(duty, orders)
    except ConfigurationError as error:
        return _complain(duty, error, 2)
    except ImbridgeError as error:
        return _complain(duty, error, 1)


def _yield_cores() -> None:
    """Leave the cores to those who answer callers, where a sandbox does not forbid it.

    Sessions are weighed against each other as groups, where the kernel has such.
    """
    try:
        os.nice(_YIELDS)
    except OSError as error:
        _log.warning("process.not_yielding", reason=str(error))
    with suppress(OSError):
        _AUTOGROUP.write_text(str(_YIELDS))


async def _serve(duty: Duty, orders: asyncio.StreamReader) -> int:
    sockets = {
        number: tuple(socket.socket(fileno=descriptor) for descriptor in descriptors)
        for number, descriptors in duty.listeners.items()
    }
    service = Service(duty.settings, duty.roles, Placement(_of(sockets, duty.accepts), duty.ops_path))
    following = asyncio.create_task(_follow(orders, service, sockets))
    try:
        return await service.run()
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _follow(
    orders: asyncio.StreamReader, service: Service, sockets: Mapping[int, tuple[socket.socket, ...]]
) -> None:
    """Do what the supervisor says. When it is gone stop in order: nobody else would ever end this process."""
    while line := await orders.readline():
        match read_order(line):
            case Accept(listeners):
                await service.accept_from(_of(sockets, listeners))
            case Stop(seconds):
                await _let_go(service, sockets)
                service.stop(seconds)
            case Hurry():
                service.hurry()
    _log.warning("supervisor.gone", remedy="stopping in order; start the service again")
    await _let_go(service, sockets)
    service.stop()


async def _let_go(service: Service, sockets: Mapping[int, tuple[socket.socket, ...]]) -> None:
    """Close the listening sockets, the siblings' too: the port is closed once every process has."""
    await service.accept_from(())
    for sock in _of(sockets, sockets):
        sock.close()


def _of(
    sockets: Mapping[int, tuple[socket.socket, ...]], listeners: Collection[int]
) -> tuple[socket.socket, ...]:
    return tuple(sock for number in listeners for sock in sockets[number])


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _complain(duty: Duty, error: ImbridgeError, code: int) -> int:
    print(f"imbridge: {duty.name}: {error}", file=sys.stderr)  # noqa: T201 read by people, as the command line's
    return code


if __name__ == "__main__":
    main()
