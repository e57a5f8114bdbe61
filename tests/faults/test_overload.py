"""Overload, open loop: whoever asks is answered in time, what cannot be kept is refused unparsed.

Latencies are compared within one run, on cores that others use as well: of three attempts one has to hold.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.bench.cores import other_cores, pinned, server_core
from tests.faults.kit import Simulator, assert_kept, calling, metric, percentile
from tests.faults.scale import scaled
from tests.faults.shim import Shim
from tests.process_kit import Bridge, running, until

ATTEMPTS = 3
SYNC_MS = 50
IN_FLIGHT = 16
ASKED_PER_SECOND = 40.0
CONNECTIONS = 600
WRONG = ("refused", "illegal", "late", "failed", "lost")
MEMORY_MB = 96.0
"""How much more a bridge may take while more is sent than it can do."""


def memory_mb(bridge: Bridge) -> float:
    """Return the most memory the process has taken so far (VmHWM)."""
    lines = Path(f"/proc/{bridge.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def asking(url: str, place: Path, seconds: float) -> Iterator[Simulator]:
    """Yield a caller that only asks; it is gone afterwards."""
    options = ("--before", "1.0", "--connections", "200")
    simulator = Simulator("tencent", url, place, *options, rate=ASKED_PER_SECOND, seconds=seconds)
    try:
        yield simulator
    finally:
        simulator.process.end()


def asked(url: str, place: Path, seconds: float) -> dict[str, Any]:
    """Return the report of a caller that only asks, with nobody else there."""
    with asking(url, place, seconds) as simulator:
        return simulator.report()


def p99(report: dict[str, Any]) -> float:
    """Return how long questions took, in milliseconds."""
    return percentile(report, "before", "p99")


def assert_all_answered(report: dict[str, Any]) -> None:
    """Fail if a question was not answered in time, or not with an answer."""
    assert not any(report[name] for name in WRONG), report
    assert report["accepted"] > 0


def once_in(attempts: int, attempt: Callable[[], str]) -> None:
    """Return once an attempt has nothing to complain of. Fails with what each one said."""
    said: list[str] = []
    while complaint := attempt():
        said.append(complaint)
        assert len(said) < attempts, said


def test_slow_syncs_and_five_times_what_they_allow_leave_questions_as_quick_as_ever(
    tmp_path: Path, shim: Shim
) -> None:
    seconds, allowed = scaled(6.0, 120.0), IN_FLIGHT / (SYNC_MS / 1000)
    settings = {"INGRESS__MAX_WAITING": str(IN_FLIGHT)}
    data_dir = tmp_path / "data"
    ledgers: list[Path] = []
    with shim.around():
        stack = ExitStack()
        bridge = stack.enter_context(running("ingress", data_dir=data_dir, **settings))
    with stack:
        shim.slow_down("/journals/", SYNC_MS)

        def attempt() -> str:
            quiet = asked(bridge.ingress, tmp_path, seconds / 2)
            start_mb, refused_before = memory_mb(bridge), overloads(bridge)
            rate = 5 * allowed / 2  # from each of two vendors
            with (
                calling(bridge.ingress, tmp_path, "--before", "0", rate=rate, seconds=seconds + 1) as load,
                asking(bridge.ingress, tmp_path, seconds) as asker,
            ):
                busy = asker.report()
                reports = load.reports()
            ledgers.extend(load.ledgers)
            refused, more_mb = overloads(bridge) - refused_before, memory_mb(bridge) - start_mb
            print(f"quiet {p99(quiet)} ms, busy {p99(busy)} ms, {refused} refused")
            print(f"peak memory {memory_mb(bridge):.0f} MB, {more_mb:.0f} MB of it new; {reports}")
            assert_all_answered(busy)
            assert all(report["illegal"] == 0 for report in reports.values()), reports
            assert refused > sum(report["accepted"] for report in reports.values()), "it was no overload"
            assert more_mb < MEMORY_MB
            if p99(busy) <= 2 * p99(quiet):
                return ""
            return f"p99 {p99(busy)} ms, {p99(quiet)} ms when quiet"

        once_in(ATTEMPTS, attempt)
        shim.heal()
        assert bridge.stop() == 0
    assert_kept(ledgers, data_dir)


def overloads(bridge: Bridge) -> float:
    """Return how many callbacks were refused for want of a place."""
    return metric(bridge, "imbridge_callbacks_total", outcome="overload")


@contextmanager
def spinning() -> Iterator[None]:
    """Keep the server's core busy while the block lasts."""
    with pinned(server_core()):
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


@contextmanager
def flooding(bridge: Bridge, connections: int, rate: float, seconds: float) -> Iterator[Callable[[], Any]]:
    """Send after-callbacks at ``rate``, answered or not, and yield what tells the figures in the end."""
    port = bridge.ingress.rpartition(":")[2]
    options = ["--connections", str(connections), "--rate", str(rate), "--seconds", str(seconds)]
    command = ["nice", "-n", "15", sys.executable, "-m", "tests.bench.load", port, *options]
    with pinned(other_cores()):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        yield lambda: orjson.loads(child.communicate(timeout=seconds + 60)[0])
    finally:
        child.kill()
        child.communicate()


def test_a_saturated_core_answers_questions_in_time_and_refuses_facts_beyond_those_in_flight(
    tmp_path: Path,
) -> None:
    seconds, rate = scaled(7.0, 120.0), 40_000.0
    settings = {"INGRESS__MAX_WAITING": "256"}
    with ExitStack() as stack:
        with pinned(server_core()):
            bridge = stack.enter_context(running("ingress", data_dir=tmp_path / "data", **settings))
        stack.enter_context(spinning())

        def attempt() -> str:
            start_mb, refused_before = memory_mb(bridge), overloads(bridge)
            with flooding(bridge, CONNECTIONS, rate, seconds + 5) as figures:
                until(lambda: overloads(bridge) > refused_before, "facts are refused")
                with pinned(other_cores()), asking(bridge.ingress, tmp_path, seconds) as asker:
                    report = asker.report()
                flood = figures()
            refused, more_mb = overloads(bridge) - refused_before, memory_mb(bridge) - start_mb
            print(f"p99 of questions {p99(report)} ms, {refused} facts refused, {flood}")
            print(f"peak memory {memory_mb(bridge):.0f} MB, {more_mb:.0f} MB of it new")
            assert flood["requests"] < 0.9 * rate * flood["seconds"], "it was no overload"
            assert more_mb < MEMORY_MB
            wrong = {name: report[name] for name in WRONG if report[name]}
            return f"{p99(report)} ms, {wrong}" if wrong or p99(report) >= 250 else ""

        once_in(ATTEMPTS, attempt)
