"""Which core the server under test has to itself, which ones everybody else shares, and what they spent."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def server_core() -> set[int]:
    """Return the one core servers under test are pinned to."""
    return {min(_ALL)}


def other_cores() -> set[int]:
    """Return the cores of load generators and brokers; with a single core that is the same one."""
    return _ALL - server_core() or _ALL


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Start processes inside: they and all their threads inherit these cores. Without pinning, no change."""
    if not _ALL:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, _ALL)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process and its ended threads took so far; 0 where only Linux could tell.

    Unlike a rate, this hardly changes when other processes want the same core.
    """
    if sys.platform != "linux":
        return 0.0
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python does not have


_ALL: set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
