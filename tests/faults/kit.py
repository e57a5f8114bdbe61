"""The vendors' senders as child processes, what they counted, and what the logs hold of it afterwards."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from tests.faults.scale import SEED
from tests.parts import KafkaServer
from tests.process_kit import Bridge, until

Provider = Literal["tencent", "openim"]
Phase = Literal["after", "before"]
START_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 0.25
_seeds = itertools.count(SEED)


class Simulator:
    """One ``imbridge simulate``: calls at ``rate`` a second for ``seconds``, and keeps a ledger in ``place``.

    ``options`` are its further options, as words. Every simulator has a seed of its own, made from SEED.
    """

    def __init__(
        self, provider: Provider, url: str, place: Path, *options: str, rate: float, seconds: float
    ) -> None:
        self._seconds = seconds
        seed = next(_seeds)
        self.ledger = place / f"{provider}-{seed}.ledger"
        bounds = ("--rate", f"{rate:g}", "--seconds", f"{seconds:g}", "--seed", str(seed))
        words = (provider, "--url", url, *bounds, "--ledger", str(self.ledger), "--json", *options)
        self.process = Bridge("simulate", *words, data_dir=place / "none")

    def acknowledged(self) -> int:
        """Return how many acknowledgements stand in the ledger now."""
        try:
            with self.ledger.open("rb") as lines:
                return sum(1 for _ in lines)
        except FileNotFoundError:  # it is starting
            return 0

    def stop(self) -> dict[str, Any]:
        """Let it end now (SIGTERM) and return its report."""
        self.terminate()
        return self.report()

    def terminate(self) -> None:
        """Ask it to end now: not before it has begun, or it would end without a report."""
        until(lambda: self.ledger.exists() or not self.process.is_running, "it has begun", START_SECONDS)
        if self.process.is_running:
            self.process.terminate()

    def report(self) -> dict[str, Any]:
        """Return its report once it ended by itself."""
        code = self.process.wait(self._seconds + START_SECONDS)
        assert code == 0, f"simulate ended with {code}: {self.process.err[-2000:]}"
        found: dict[str, Any] = orjson.loads(self.process.out)
        return found


class Load:
    """Both vendors' senders side by side, as ``calling`` starts them."""

    def __init__(self, simulators: Sequence[Simulator]) -> None:
        self.simulators = simulators

    @property
    def ledgers(self) -> list[Path]:
        """Where the acknowledgements stand."""
        return [simulator.ledger for simulator in self.simulators]

    def acknowledged(self) -> int:
        """Return how many acknowledgements stand in the ledgers now."""
        return sum(simulator.acknowledged() for simulator in self.simulators)

    def until_acknowledged(self, more: int, seconds: float = 30.0) -> None:
        """Return once so many more acknowledgements than now stand in the ledgers."""
        wanted = self.acknowledged() + more
        until(lambda: self.acknowledged() >= wanted, f"{more} more callbacks are acknowledged", seconds)

    def stop(self) -> dict[Provider, dict[str, Any]]:
        """Let every simulator end now; return the reports, by provider."""
        for simulator in self.simulators:
            simulator.terminate()
        return self.reports()

    def reports(self) -> dict[Provider, dict[str, Any]]:
        """Return the reports, by provider, once every simulator ended by itself."""
        found = [simulator.report() for simulator in self.simulators]
        return {report["provider"]: report for report in found}


@contextmanager
def calling(
    url: str,
    place: Path,
    *options: str,
    rate: float,
    seconds: float,
    providers: Sequence[Provider] = ("tencent", "openim"),
) -> Iterator[Load]:
    """Yield both vendors' senders at work, ``rate`` calls a second each; none is left behind."""
    load = Load(
        [Simulator(provider, url, place, *options, rate=rate, seconds=seconds) for provider in providers]
    )
    try:
        yield load
    finally:
        for simulator in load.simulators:
            simulator.process.end()


def verify(ledgers: Sequence[Path], data_dir: Path, *options: str, **settings: str) -> dict[str, Any]:
    """Return what ``imbridge verify`` says of these ledgers, and whether it found every promise kept.

    ``settings`` are those of the bridge that was called: they say where the events should stand.
    """
    words = [word for ledger in ledgers for word in ("--ledger", str(ledger))]
    process = Bridge("verify", *words, "--json", *options, data_dir=data_dir, **settings)
    try:
        code = process.wait(120)
        assert process.out.strip(), f"verify ended with {code}: {process.err[-2000:]}"
        return {**orjson.loads(process.out), "exit": code}
    finally:
        process.end()


def assert_kept(ledgers: Sequence[Path], data_dir: Path, *options: str, **settings: str) -> dict[str, Any]:
    """Fail unless everything acknowledged is there, in order, repeats under one id; return what was found."""
    found = verify(ledgers, data_dir, *options, **settings)
    assert found["acknowledged"] > 0, found
    assert (found["missing"], found["inversions"], found["exit"]) == (0, 0, 0), found
    return found


def assert_legal(reports: Mapping[Provider, Mapping[str, Any]]) -> None:
    """Fail if a simulator was given an answer its vendor cannot read."""
    for provider, report in reports.items():
        assert report["illegal"] == 0, f"{provider}: {report['examples']}"


def percentile(report: Mapping[str, Any], phase: Phase, name: Literal["p50", "p95", "p99", "max"]) -> float:
    """Return how long a simulator's answers took, in milliseconds from when each callback fell due."""
    return float(report["latency_ms"][phase][name])


def p99(report: Mapping[str, Any], phase: Phase = "after") -> float:
    """Return a simulator's 99th percentile in milliseconds."""
    return percentile(report, phase, "p99")


def over(kafka: KafkaServer, prefix: str = "") -> dict[str, str]:
    """Return the settings of a bridge over this broker."""
    return {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}


def drained(bridge: Bridge, journal: int = 1, seconds: float = 60.0) -> None:
    """Return once the relay of this journal, at work in this process, has moved everything."""

    def nothing_left() -> bool:
        part = bridge.part(f"relay of journal {journal}")
        return bool(part) and part["ok"] and part["says"].startswith("relaying") and part["lag_records"] == 0

    until(nothing_left, f"the relay of journal {journal} has moved everything", seconds)


def caught_up(bridge: Bridge, part: str, seconds: float = 60.0) -> None:
    """Return once this relay or projection is no further behind than callers at work keep it.

    Looks now and then only: the looking takes of the same cores.
    """

    def is_close() -> bool:
        said = bridge.part(part)
        return bool(said["ok"] and said["lag_seconds"] < CLOSE_SECONDS)

    until(is_close, f"the {part} has caught up", seconds, LOOK_SECONDS)


def metric(bridge: Bridge, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels, 0 where there is none."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    samples = [line for line in bridge.metrics().splitlines() if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rpartition(" ")[2]) for line in samples if all(part in line for part in wanted))
