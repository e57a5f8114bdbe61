"""The servers under test: each a child process pinned to one core, its data on a real disk."""

import http.client
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.cores import cpu_seconds, pinned, server_core
from tests.bench.report import disk
from tests.bench.traffic import Kind, Traffic
from tests.parts.process import Command, Server, free_port

BARE, BURST, SUSTAINED, DIRECT = "a bare", "b1 burst", "b2 sustained", "c direct"
DECIDING, WHOLE = "d deciding", "the whole bridge"
_READY_SECONDS = 40.0
_ENV = shutil.which("env") or "/usr/bin/env"
_IMBRIDGE = Path(sys.executable).with_name("imbridge")


class Target:
    """A server that answers at ``port`` with the processes ``pids``; ``ops`` tell its metrics, by role.

    ``place`` is where its processes keep their data directory.
    """

    def __init__(
        self,
        name: str,
        port: int,
        pids: Sequence[int],
        ops: Mapping[str, int] | None = None,
        place: Path = Path(),
    ) -> None:
        self.name = name
        self.port = port
        self.pids = pids
        self.ops = ops or {}
        self.roles = dict(zip(self.ops, pids, strict=False))
        self.data = place / "data"
        self.runs = itertools.count(1)

    def cpu_seconds(self) -> float:
        """Return the processor time all its processes took so far."""
        return sum(map(cpu_seconds, self.pids))

    def check(self, kind: Kind = "joined") -> str:
        """Return the answer to one callback if it is Tencent's success. Raises RuntimeError otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        head, _, body = Traffic(self.port, kind=kind).request(0).partition(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        try:
            connection.request("POST", target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            said = json.loads(text)
        finally:
            connection.close()
        if answer.status != 200 or (said["ActionStatus"], said["ErrorCode"]) != ("OK", 0):
            raise RuntimeError(f"{self.name} answered {answer.status} {said}: nothing to measure")
        return text

    def metric(self, role: str, name: str, label: str = "") -> float:
        """Return the sum of one metric over all labels, or over those holding ``label``; 0 of none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops[role]}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        named = [line for line in lines if line.startswith((f"imbridge_{name} ", f"imbridge_{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in named if label in line)


@contextmanager
def _child(command: Command, name: str, place: Path, is_ready: Callable[[], bool]) -> Iterator[int]:
    """Run a server and give its process id."""
    with pinned(server_core()):
        server = Server(command, place / f"{name}.out")
    try:
        server.wait_until(is_ready, _READY_SECONDS)
        yield _child_of(server._leash.pid)
    finally:
        server.end()


def _child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(children.read_text().split()[0]) if children.exists() else pid


class Ready:
    """Says whether a page answers."""

    def __init__(self, port: int, page: str) -> None:
        self._url = f"http://127.0.0.1:{port}{page}"

    def __call__(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=1):
                return True
        except urllib.error.HTTPError as answer:
            return answer.code == 405  # a callback's route takes only POST
        except OSError:
            return False


@contextmanager
def bare(*answer: str) -> Iterator[Target]:
    """(a) A handler that parses and answers, always the same."""
    port = free_port()
    with _place() as place:
        command: Command = [sys.executable, "-m", "tests.bench.bare", str(port), *answer]
        with _child(command, "bare", place, Ready(port, "/tencent")) as pid:
            yield Target(BARE, port, [pid])


@contextmanager
def direct(bootstrap_servers: str) -> Iterator[Target]:
    """(c) A handler that waits for Kafka."""
    port = free_port()
    with _place() as place:
        command: Command = [sys.executable, "-m", "tests.bench.direct", str(port), bootstrap_servers]
        with _child(command, "direct", place, Ready(port, "/tencent")) as pid:
            yield Target(DIRECT, port, [pid])


@contextmanager
def burst() -> Iterator[Target]:
    """(b1) The bridge's ingress alone: answers after fsync, nothing reads the journal."""
    port, ops = free_port(), free_port()
    with _place() as place, _role("ingress", place, ops, {"INGRESS__PORT": str(port)}) as pid:
        yield Target(BURST, port, [pid], {"ingress": ops})


@contextmanager
def deciding(rules: Sequence[Mapping[str, Any]]) -> Iterator[Target]:
    """The bridge's ingress with these documents published as its set of rules."""
    port, ops = free_port(), free_port()
    with _place() as place:
        file = place / "rules.yaml"
        file.write_text("---\n".join(json.dumps(document) + "\n" for document in rules))
        given = {**os.environ, "IMBRIDGE_DATA_DIR": str(place / "data")}
        subprocess.run([_IMBRIDGE, "rules", "publish", file], env=given, check=True, capture_output=True)
        with _role("ingress", place, ops, {"INGRESS__PORT": str(port)}) as pid:
            yield Target(DECIDING, port, [pid], {"ingress": ops})


@contextmanager
def sustained(bootstrap_servers: str) -> Iterator[Target]:
    """(b2) The bridge's ingress, and beside it on the same core its relay to a real broker."""
    port, ops, relay = free_port(), free_port(), free_port()
    kafka = {"KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers, "KAFKA__TOPIC_PREFIX": f"bench{port}."}
    with (
        _place() as place,
        _role("ingress", place, ops, {"INGRESS__PORT": str(port), **kafka}) as ingress_pid,
        _role("relay", place, relay, kafka) as relay_pid,
    ):
        yield Target(SUSTAINED, port, [ingress_pid, relay_pid], {"ingress": ops, "relay": relay}, place)


@contextmanager
def whole() -> Iterator[Target]:
    """The whole bridge in one process, embedded."""
    port, ops = free_port(), free_port()
    with _place() as place, _role("run", place, ops, {"INGRESS__PORT": str(port)}) as pid:
        yield Target(WHOLE, port, [pid], {"run": ops}, place)


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="imbridge-bench-", dir=disk()) as place:
        yield Path(place)


@contextmanager
def _role(role: str, place: Path, ops: int, settings: Mapping[str, str]) -> Iterator[int]:
    """Run ``imbridge ROLE`` with these settings and no others; give its process id."""
    wanted = {"DATA_DIR": str(place / "data"), "OPS__PORT": str(ops), "LOG__LEVEL": "warning", **settings}
    inherited = [word for name in os.environ if name.startswith("IMBRIDGE_") for word in ("-u", name)]
    given = [f"IMBRIDGE_{name}={value}" for name, value in wanted.items()]
    answering = [Ready(ops, "/readyz")]
    if "INGRESS__PORT" in settings:
        answering.append(Ready(int(settings["INGRESS__PORT"]), "/tencent"))

    def is_ready() -> bool:
        return all(ready() for ready in answering)

    with _child([_ENV, *inherited, *given, _IMBRIDGE, role], role, place, is_ready) as pid:
        yield pid


def wait_until_relayed(target: Target, seconds: float = 60.0) -> None:
    """Return once the relay has nothing left. Raises RuntimeError when that takes longer."""
    deadline = time.monotonic() + seconds
    while target.metric("relay", "relay_lag_records") > 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the relay still lags after {seconds:.0f} s")
        time.sleep(0.1)
