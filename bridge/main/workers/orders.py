"""What a supervisor tells a process: first its duty, then orders, one a line on its standard input.

The end of the input says that the supervisor is gone.
"""

import pickle
from base64 import b64decode, b64encode
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from bridge.config import Settings
from bridge.main.service import Role

LINE_BYTES: Final = 1 << 20


class Duty(NamedTuple):
    """What a process is there for, and its successor after it.

    ``listeners`` are inherited descriptors by listener number. ``ops_path`` is where the supervisor asks.
    """

    name: str
    roles: frozenset[Role]
    settings: Settings
    ops_path: Path
    listeners: dict[int, tuple[int, ...]]
    accepts: frozenset[int]


class Accept(NamedTuple):
    """Accept from these listeners, and from no other."""

    listeners: Collection[int]


class Stop(NamedTuple):
    """Stop in order, within so many seconds."""

    seconds: float


class Hurry(NamedTuple):
    """Stop now; what is unfinished is cut short."""


Order = Accept | Stop | Hurry


def duty_line(duty: Duty) -> bytes:
    """Return the duty as one line. Secrets are in it: it goes through a pipe and nowhere else."""
    return b64encode(pickle.dumps(duty)) + b"\n"


def read_duty(line: bytes) -> Duty:
    """Return the duty of a line."""
    duty = pickle.loads(b64decode(line))  # noqa: S301 written by the process that started this one
    assert isinstance(duty, Duty)  # noqa: S101
    return duty


def order_line(order: Order) -> bytes:
    """Return the order as one line."""
    match order:
        case Accept(listeners):
            return orjson.dumps({"accept": sorted(listeners)}) + b"\n"
        case Stop(seconds):
            return orjson.dumps({"stop": seconds}) + b"\n"
        case Hurry():
            return b'{"hurry":true}\n'


def read_order(line: bytes) -> Order:
    """Return the order of a line."""
    told = orjson.loads(line)
    if "accept" in told:
        return Accept(frozenset(told["accept"]))
    return Stop(told["stop"]) if "stop" in told else Hurry()
