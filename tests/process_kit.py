"""Runs ``imbridge`` as child processes, as an operator would: started, asked over HTTP, signalled.

A child dies with the tests, however they end: the kernel kills it with its parent.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

Found = TypeVar("Found")
START_SECONDS = 40.0
STOP_SECONDS = 30.0
_KILLED_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
)
_SMALL = {
    "INGRESS__PORT": "0",
    "OPS__PORT": "0",
    "JOURNAL__SEGMENT_BYTES": str(1 << 20),
    "LOG__STYLE": "json",
}


def until(look: Callable[[], Found], what: str, seconds: float = 20.0, every: float = 0.03) -> Found:
    """Return what ``look`` finds once it is true. Fails, saying what was waited for and seen last."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}; last seen: {found!r}"
        time.sleep(every)
    return found


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a child with these settings, ``INGRESS__PORT="0"`` style, and no others."""
    ours = {"DATA_DIR": str(data_dir), **_SMALL, **settings}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("IMBRIDGE_")}
    return plain | {f"IMBRIDGE_{name}": value for name, value in ours.items()}


class Bridge:
    """One ``imbridge`` process and what it said. ``prelude`` is Python that breaks something first."""

    def __init__(self, *words: str, data_dir: Path, prelude: str = "", **settings: str) -> None:
        self._begun = time.monotonic()
        place = data_dir.parent
        place.mkdir(parents=True, exist_ok=True)
        name = f"{words[0]}-{time.monotonic_ns()}"
        self._out, self._err = place / f"{name}.out", place / f"{name}.err"
        self._events: list[dict[str, Any]] = []
        self._events_end = 0  # of what was taken from standard error so far, in bytes
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _KILLED_WITH_PARENT, *command(*words, prelude=prelude)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(data_dir, **settings),
                cwd=place,
            )
        self.pid = self._child.pid

    @property
    def out(self) -> str:
        """What it printed on standard output."""
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it printed on standard error: log lines, complaints."""
        return self._err.read_text(errors="replace")

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines so far, or those of one event."""
        with self._err.open("rb") as err:  # from where the last look ended: a busy process says much
            err.seek(self._events_end)
            whole, end, _ = err.read().rpartition(b"\n")
        self._events_end += len(whole + end)
        self._events += [orjson.loads(line) for line in whole.split(b"\n") if line.startswith(b"{")]
        return [event for event in self._events if name in (None, event["event"])]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def until_event(self, name: str, seconds: float = 20.0) -> dict[str, Any]:
        """Return the latest log line of this event, once there is one."""
        return until(lambda: self.events(name), f"{name} is logged", seconds)[-1]

    def until_started(self) -> "Bridge":
        """Return once it said that it started. Fails with what it said when it ended instead."""

        def started() -> bool:
            assert self._child.poll() is None, f"it ended with {self._child.returncode}: {self.err}"
            return bool(self.events("service.started"))

        until(started, "the service starts", START_SECONDS)
        return self

    @property
    def ingress(self) -> str:
        """Where callbacks arrive, as it said."""
        return str(self.events("service.started")[-1]["ingress"])

    @property
    def ops(self) -> str:
        """Where operators look, as it said."""
        return str(self.events("service.started")[-1]["ops"])

    def readyz(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the content of /readyz."""
        status, body = get(f"{self.ops}/readyz")
        return status, orjson.loads(body)

    def metrics(self) -> str:
        """Return what /metrics tells."""
        return get(f"{self.ops}/metrics")[1].decode()

    def part(self, name: str) -> dict[str, Any]:
        """Return one part of /readyz, empty when it is not there."""
        parts: dict[str, dict[str, Any]] = self.readyz()[1]["parts"]
        return parts.get(name, {})

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """End it without warning (kill -9) and wait for that."""
        self._child.kill()
        self._child.wait(STOP_SECONDS)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Return its exit code once it ended by itself."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds:g} s: {self.err[-3000:]}") from None

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM)."""
        self.signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        self.terminate()
        return self.wait()

    def end(self) -> None:
        """Make sure it is gone."""
        if self._child.poll() is None:
            self.kill()


def command(*words: str, prelude: str = "") -> list[str]:
    """Return the command line: the installed script, or Python with a prelude before its main."""
    if not prelude:
        return [str(Path(sys.executable).with_name("imbridge")), *words]
    return [sys.executable, "-c", f"{prelude}\nfrom bridge.cli import main\nmain()", *words]


@contextmanager
def running(*words: str, data_dir: Path, prelude: str = "", **settings: str) -> Iterator[Bridge]:
    """Yield a started ``imbridge run`` (or another role) and make sure afterwards that it is gone."""
    bridge = Bridge(*words, data_dir=data_dir, prelude=prelude, **settings)
    try:
        yield bridge.until_started()
    finally:
        bridge.end()


def get(url: str) -> tuple[int, bytes]:
    """Return the status and the body of an answer, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def post(url: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Send a callback and return the status and the JSON of its answer."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    request = urllib.request.Request(url, data, dict(headers or {}), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, orjson.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, orjson.loads(error.read())
