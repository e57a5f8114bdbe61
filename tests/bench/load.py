"""Our own load generator, a process of its own: raw sockets, keep-alive, prebuilt requests.

Closed loop (every connection asks again as soon as it was answered) or at a rate, where a request that found
no free connection counts from the moment it was due.
"""

import argparse
import asyncio
import json
import re
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import cast

from tests.bench.traffic import Traffic

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
_TICK_SECONDS = 0.001
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Load:
    """What to send: over how many connections, for how long, and at most how many in all or a second."""

    connections: int
    seconds: float
    requests: int | None = None
    rate: float | None = None


@dataclass(frozen=True)
class Figures:
    """What came back. ``failed`` counts answers other than 200 and connections that broke."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    max_us: int
    failed: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


class _Caller(asyncio.Protocol):
    """One connection: writes a request, waits for the whole answer, reports it."""

    def __init__(self, sender: "Sender") -> None:
        self._sender = sender
        self._answer = b""
        self._since = 0.0
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's are no subclass

    def ask(self, request: bytes, since: float) -> None:
        assert self.transport is not None
        self._since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        head = answer.find(b"\r\n\r\n")
        length = _LENGTH.search(answer, 0, head) if head >= 0 else None
        if length is None or len(answer) < head + 4 + int(length[1]):
            return
        self._answer = b""
        self._sender.answered(self, time.perf_counter() - self._since, answer.startswith(b"HTTP/1.1 200 "))

    def connection_lost(self, _: Exception | None) -> None:
        self._sender.lost(self)


class Sender:
    """Sends one load and counts latencies in whole microseconds."""

    def __init__(self, traffic: Traffic, load: Load) -> None:
        self._traffic = traffic
        self._load = load
        self._latencies: Counter[int] = Counter()
        self._failed = 0
        self._sent = 0
        self._waiting = 0
        self._start = 0.0
        self._idle: deque[_Caller] = deque()
        self._drained = asyncio.Event()

    async def run(self, host: str, port: int) -> Figures:
        """Send the load and return what came back once the last answer is in, or five seconds later."""
        loop = asyncio.get_running_loop()
        callers = [
            (await loop.create_connection(lambda: _Caller(self), host, port))[1]
            for _ in range(self._load.connections)
        ]
        self._idle.extend(callers)
        self._start = time.perf_counter()
        try:
            await self._send()
            seconds = time.perf_counter() - self._start
        finally:
            for caller in callers:
                if caller.transport is not None:
                    caller.transport.abort()
        return self._figures(seconds)

    async def _send(self) -> None:
        while self._is_open():
            self._fill(time.perf_counter())
            await asyncio.sleep(_TICK_SECONDS)
        if self._waiting:
            self._drained.clear()
            try:
                await asyncio.wait_for(self._drained.wait(), _PATIENCE_SECONDS)
            except TimeoutError:
                self._failed += self._waiting

    def _is_open(self) -> bool:
        most = self._load.requests
        if (most is not None and self._sent >= most) or not (self._idle or self._waiting):
            return False
        return time.perf_counter() - self._start < self._load.seconds

    def _fill(self, now: float) -> None:
        while self._idle and self._is_open() and self._due(now) is not None:
            self._ask(self._idle.popleft(), now)

    def _due(self, now: float) -> float | None:
        """When the next request is due; None while that lies ahead."""
        if self._load.rate is None:
            return now
        due = self._start + self._sent / self._load.rate
        return due if due <= now else None

    def _ask(self, caller: _Caller, since: float) -> None:
        request = self._traffic.request(self._sent)
        self._sent += 1
        self._waiting += 1
        caller.ask(request, since)

    def answered(self, caller: _Caller, latency: float, is_ok: bool) -> None:
        """Count one answer and let the connection go on."""
        self._waiting -= 1
        self._latencies[int(latency * 1e6)] += 1
        self._failed += not is_ok
        now = time.perf_counter()
        if self._is_open() and (due := self._due(now)) is not None:
            self._ask(caller, now if self._idle else due)
            return
        self._idle.append(caller)
        if not self._waiting:
            self._drained.set()

    def lost(self, caller: _Caller) -> None:
        """Count what a broken connection still owed."""
        if caller in self._idle:
            self._idle.remove(caller)
            return
        self._waiting -= 1
        self._failed += 1
        if not self._waiting:
            self._drained.set()

    def _figures(self, seconds: float) -> Figures:
        return Figures(
            requests=self._latencies.total(),
            seconds=seconds,
            p50_us=percentile(self._latencies, 50),
            p99_us=percentile(self._latencies, 99),
            max_us=max(self._latencies, default=0),
            failed=self._failed,
        )


def percentile(counted: Counter[int], percent: float) -> int:
    """Return the smallest value that ``percent`` of all counted values do not exceed; 0 of none."""
    left = counted.total() * percent / 100
    for value in sorted(counted):
        left -= counted[value]
        if left <= 0:
            return value
    return 0


def main() -> None:
    """Send the load described on the command line and print the figures as one line of JSON."""
    options = argparse.ArgumentParser()
    options.add_argument("port", type=int)
    options.add_argument("--run", type=int, default=0)
    options.add_argument("--kind", choices=("joined", "invited"), default="joined")
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rate", type=float)
    options.add_argument("--requests", type=int)
    given = options.parse_args()
    load = Load(given.connections, given.seconds, given.requests, given.rate)
    sender = Sender(Traffic(given.port, given.run, given.kind), load)
    with runner() as loop:
        figures = loop.run(sender.run("127.0.0.1", given.port))
    print(json.dumps(asdict(figures)), flush=True)


def runner() -> asyncio.Runner:
    """Return a runner on uvloop where it is installed, as the bridge itself runs."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
