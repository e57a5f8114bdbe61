"""Looks at a service of several processes from outside: who works, who holds which connection."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests.command_line import imbridge
from tests.process_kit import Bridge, running, until


@contextmanager
def service(
    *words: str, workers: int, data_dir: Path, prelude: str = "", **settings: str
) -> Iterator[Bridge]:
    """Yield a started service of so many workers, and make sure afterwards that none of them is left."""
    with running(*words, "--workers", str(workers), data_dir=data_dir, prelude=prelude, **settings) as bridge:
        pids: set[int] = set()
        try:
            until(lambda: len(pids_of(bridge)) == workers, "every worker runs")
            pids |= set(pids_of(bridge).values())
            yield bridge
        finally:
            if bridge.is_running:
                pids |= set(pids_of(bridge).values())
                bridge.end()
            until(lambda: not any(map(is_running, pids)), "every worker is gone", 30)


def pids_of(bridge: Bridge) -> dict[int, int]:
    """Return the process of each worker that runs, by number."""
    return {
        int(name.removeprefix("worker ")): part["pid"]
        for name, part in bridge.readyz()[1]["parts"].items()
        if name.startswith("worker ") and ":" not in name and part["pid"]
    }


def is_ready(bridge: Bridge, worker: int) -> bool:
    """Say whether this worker is ready."""
    return bool(bridge.part(f"worker {worker}")["ok"])


def journal_of(bridge: Bridge, worker: int) -> int:
    """Return the number of the journal this worker writes."""
    return int(bridge.part(f"worker {worker}: journal")["number"])


def is_running(pid: int) -> bool:
    """Say whether the process is there and has not ended."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a process a signal."""
    os.kill(pid, number)


def callers_of(pid: int) -> set[int]:
    """Return the callers' ports of the connections that a process has accepted."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if row[9] in inodes and row[3] == "01"}


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not yet taken leave of."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def counted(bridge: Bridge, name: str, **labels: str) -> float:
    """Return the sum of a counter's samples that carry these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(bridge.metrics())
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def is_listened_on(url: str) -> bool:
    """Say whether a connection to the address is taken."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, int(port))) == 0


def users_in(bridge_env: dict[str, str]) -> set[str]:
    """Return every user that joined, as the journals tell."""
    read = imbridge("topics", "read", "im.group.v1", "--json", env=bridge_env)
    assert read.code == 0, read.err
    return {
        member["user_id"]
        for line in read.out.splitlines()
        for member in orjson.loads(line)["data"].get("members", ())
    }
