"""Fault 2: the broker is suspended, killed, or swallowed by its network, under load, and comes back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.kit import (
    Load,
    Phase,
    Provider,
    assert_kept,
    assert_legal,
    calling,
    caught_up,
    drained,
    over,
    p99,
)
from tests.faults.scale import SOAK, scaled
from tests.integration.callers import Call, tencent_invite
from tests.parts import KafkaServer
from tests.parts.proxy import Proxy
from tests.process_kit import Bridge, post, running, until
from tests.published import publish_not_mallory

OUTAGE_SECONDS = scaled(15.0, 300.0)
QUIET_SECONDS = scaled(6.0, 60.0)
CATCH_UP_SECONDS = scaled(60.0, 300.0)
RATE = 150.0
ATTEMPTS = 3
TIMES_QUIET = 2.0
PHASES: tuple[Phase, ...] = ("after", "before")
FLOORS_MS = {"roles apart": 5.0, "a worker": 5.0, "one process": scaled(15.0, 30.0)}
"""What a quiet run is taken to need at least: below twice this the machine decides.

Callers and all of the bridge share two cores: who waits for one waits for some milliseconds. Within one
process an answer waits for relay and projections as well, for their turns of the loop and for their threads,
several times: it took 11 to 20 ms with 4,500 records to catch up with, 35 to 54 with 80,000.
"""
FAULTS = ("suspended", "killed", "black hole")
LAID_OUT = [("suspended", "a worker"), ("killed", "roles apart"), ("black hole", "one process")]
"""Every fault meets every way to run the bridge in the long form, and each of them one here."""

Reports = dict[Provider, dict[str, Any]]


class Fault(NamedTuple):
    """What happens to the broker, what mends it unseen by the bridge, and what ends it at once."""

    begin: Callable[[], None]
    mend: Callable[[], None]
    end: Callable[[], None]


def faults(server: KafkaServer, proxy: Proxy) -> dict[str, Fault]:
    def start_unseen() -> None:
        proxy.black_hole()
        server.start()

    return {
        "suspended": Fault(server.suspend, lambda: None, server.resume),
        "killed": Fault(lambda: server.stop(kill=True), start_unseen, proxy.heal),
        "black hole": Fault(proxy.black_hole, lambda: None, proxy.heal),
    }


class Processes(NamedTuple):
    """The processes of one bridge, by what they do; of ``run`` it is always the same."""

    ingress: Bridge
    relay: Bridge
    consume: Bridge

    def caught_up(self) -> None:
        """Return once nobody is further behind than callers at work keep it."""
        caught_up(self.relay, "relay of journal 1", CATCH_UP_SECONDS)
        caught_up(self.consume, "projection groups", CATCH_UP_SECONDS)

    def stop(self) -> None:
        """Stop in order: who takes in first."""
        for process in dict.fromkeys(self):
            assert process.stop() == 0


@contextmanager
def laid_out(layout: str, data_dir: Path, **settings: str) -> Iterator[Processes]:
    """Yield a bridge in one process, with a worker, or its roles apart, as deploy/systemd has them."""
    with ExitStack() as stack:

        def start(*words: str, prelude: str = "") -> Bridge:
            return stack.enter_context(running(*words, data_dir=data_dir, prelude=prelude, **settings))

        if layout == "roles apart":
            yielding = "import os; os.nice(10)"
            others = [start(role, prelude=yielding) for role in ("relay", "consume")]
            yield Processes(start("ingress"), *others)
        else:
            bridge = start("run", *([] if layout == "a worker" else ["--workers", "0"]))
            yield Processes(bridge, bridge, bridge)


class Trial:
    """One bridge, its callers, and all that was acknowledged and reported so far."""

    def __init__(self, processes: Processes, place: Path) -> None:
        self._processes, self._place = processes, place
        self.ledgers: list[Path] = []
        self.reports: list[Reports] = []

    @contextmanager
    def load(self, seconds: float) -> Iterator[Load]:
        with calling(
            self._processes.ingress.ingress, self._place, "--before", "0.5", rate=RATE, seconds=seconds
        ) as load:
            self.ledgers += load.ledgers
            yield load

    def called(self, seconds: float) -> Reports:
        """Call for so long and return the reports."""
        with self.load(seconds) as load:
            return self._noted(load.reports())

    def called_until_caught_up(self, end: Callable[[], None]) -> Reports:
        """End the fault while callers call, who go on until all has caught up and two seconds longer."""
        with self.load(CATCH_UP_SECONDS + 60) as load:
            load.until_acknowledged(1)
            end()
            self._processes.caught_up()
            load.until_acknowledged(round(2 * RATE))
            return self._noted(load.stop())

    def _noted(self, reports: Reports) -> Reports:
        self.reports.append(reports)
        return reports


def decides(bridge: Bridge, asked: Call) -> bool:
    return post(bridge.ingress + asked.path, asked.body) == (200, asked.wanted)


class Figures(NamedTuple):
    """How long answers took: the 99th percentile in milliseconds, by provider and phase."""

    quiet: dict[str, float]
    away: dict[str, float]
    back: dict[str, float]

    def hold(self, floor_ms: float) -> bool:
        """Say whether neither the outage nor the catching up slowed the answers."""
        bounds = {name: TIMES_QUIET * max(taken, floor_ms) for name, taken in self.quiet.items()}
        return all(taken[name] <= bound for taken in (self.away, self.back) for name, bound in bounds.items())


def figures(reports: Reports) -> dict[str, float]:
    return {
        f"{provider} {phase}": p99(report, phase) for provider, report in reports.items() for phase in PHASES
    }


def through(trial: Trial, fault: Fault, decides: Callable[[], bool]) -> Figures:
    """Call without a broker and while relay and projections catch up, right after calling in quiet."""
    quiet = trial.called(QUIET_SECONDS)
    fault.begin()
    away = trial.called(OUTAGE_SECONDS)
    assert decides()
    fault.mend()
    back = trial.called_until_caught_up(fault.end)
    return Figures(figures(quiet), figures(away), figures(back))


@pytest.mark.parametrize(("name", "layout"), [*product(FAULTS, FLOORS_MS)] if SOAK else LAID_OUT)
@pytest.mark.timeout(240)
def test_a_broker_that_is_away_changes_no_answer_slows_none_and_loses_nothing(
    tmp_path: Path, yielding_kafka: tuple[KafkaServer, Proxy], prefix: str, name: str, layout: str
) -> None:
    fault = faults(*yielding_kafka)[name]
    data_dir, settings = tmp_path / "data", over(yielding_kafka[0], prefix)
    asked = tencent_invite("g", "ada", "mallory", refused="mallory")
    measured: list[Figures] = []

    def held() -> bool:
        return any(taken.hold(FLOORS_MS[layout]) for taken in measured)

    with laid_out(layout, data_dir, **settings) as processes:
        drained(processes.relay)
        publish_not_mallory(data_dir, **settings)
        until(lambda: decides(processes.ingress, asked), "the rule decides")
        trial = Trial(processes, tmp_path)
        while len(measured) < ATTEMPTS and not held():
            measured.append(through(trial, fault, lambda: decides(processes.ingress, asked)))
            print(measured[-1])
        drained(processes.relay)
        processes.stop()
    assert_kept(trial.ledgers, data_dir, **settings)
    assert_all_accepted(trial.reports)
    assert held(), measured


def assert_all_accepted(reports: list[Reports]) -> None:
    """Fail if a caller was told anything else than it is told in quiet, or too late."""
    for each in reports:
        assert_legal(each)
        for report in each.values():
            assert report["accepted"] == report["sent"] > 0, report
            assert (report["lost"], report["late"]) == (0, 0), report
