"""Answering questions over HTTP: 200 rules and 50 invitees, beside a bare handler that gives the same answer.

(a) bare aiohttp + uvloop, which parses the body and answers what ours answers; (d) the bridge's ingress with
200 rules in force, each decision an event in the journal. Closed loops over 2 and 64 connections, and open
loops at one rate that either can keep: there a latency is what a caller feels, and not the other callers.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Final

from tests.bench import servers
from tests.bench.cores import other_cores, server_core
from tests.bench.decide import INVITEES, RULES, documents
from tests.bench.generator import generate
from tests.bench.load import Figures, Load
from tests.bench.report import Report, Table
from tests.bench.servers import BARE, DECIDING, Target

CONNECTIONS: Final = (2, 64)
PER_SECOND: Final = 500.0


@dataclass(frozen=True)
class Run:
    """One target under one load, once. ``loop`` says which load."""

    round: int
    target: str
    loop: str
    figures: Figures
    cpu_us: float


def loads(seconds: float) -> dict[str, Load]:
    """Return the loads by name."""
    closed = {f"closed @{number}": Load(number, seconds) for number in CONNECTIONS}
    opened = {
        f"{PER_SECOND:.0f}/s @{number}": Load(number, seconds, rate=PER_SECOND) for number in CONNECTIONS
    }
    return closed | opened


def measure(rounds: int = 5, seconds: float = 1.5) -> Report:
    """Measure both targets under every load in interleaved rounds."""
    with ExitStack() as running:
        ours = running.enter_context(servers.deciding(documents()))
        answer = ours.check("invited")
        targets = [running.enter_context(servers.bare(answer)), ours]
        for target in targets:
            target.check("invited")
            _run(-1, target, "closed @64", Load(64, 1.0))
        runs = [
            _run(number, target, name, load)
            for number in range(rounds)
            for name, load in loads(seconds).items()
            for target in (targets if number % 2 else targets[::-1])
        ]
        notes = [
            f"servers on core {min(server_core())}, generator on {sorted(other_cores())}",
            f"{RULES} rules, {INVITEES} invitees a question, {len(answer)} bytes of answer",
            _decided(ours, runs),
        ]
    return Report("before", tables(runs), notes, {"runs": [asdict(run) for run in runs]})


def _run(number: int, target: Target, loop: str, load: Load) -> Run:
    before = target.cpu_seconds()
    figures = generate(target.port, next(target.runs), load, kind="invited", ours=True)
    return Run(number, target.name, loop, figures, (target.cpu_seconds() - before) * 1e6 / figures.requests)


def _decided(ours: Target, runs: Sequence[Run]) -> str:
    """Say that every question was decided by the rules and its event is on disk. Raises RuntimeError else."""
    answered = sum(run.figures.requests - run.figures.failed for run in runs if run.target == DECIDING)
    decided = int(
        ours.metric("ingress", "decisions_total") - ours.metric("ingress", "decisions_total", "fallback")
    )
    durable = int(ours.metric("ingress", "journal_records_total"))
    dropped = int(ours.metric("ingress", "decision_events_dropped_total"))
    said = f"{answered} questions answered while measuring, {decided} decided, {durable} events on disk"
    if decided < answered or durable < decided or dropped:
        raise RuntimeError(f"{said}, {dropped} dropped: not all were decided and recorded")
    return f"{said}, warm-up included"


def tables(runs: Sequence[Run]) -> list[Table]:
    """Return the medians, and the ratios of the p99 round by round."""
    loops = list(dict.fromkeys(run.loop for run in runs))
    columns = ("target, load", "answers/s", "p50 ms", "p99 ms", "cpu us/answer", "failed")
    rows = [_medians(runs, target, loop) for loop in loops for target in (BARE, DECIDING)]
    return [
        Table("Answering questions, medians", columns, rows),
        _ratios(runs, loops, "p99", lambda run: float(run.figures.p99_us)),
        _ratios(runs, loops, "p50", lambda run: float(run.figures.p50_us)),
    ]


def _medians(runs: Sequence[Run], target: str, loop: str) -> list[str]:
    mine = [run for run in runs if (run.target, run.loop) == (target, loop)]
    figures = [run.figures for run in mine]
    return [
        f"{target}, {loop}",
        f"{statistics.median(one.per_second for one in figures):.0f}",
        f"{statistics.median(one.p50_us for one in figures) / 1000:.2f}",
        f"{statistics.median(one.p99_us for one in figures) / 1000:.2f}",
        f"{statistics.median(run.cpu_us for run in mine):.0f}",
        str(sum(one.failed for one in figures)),
    ]


def _ratios(runs: Sequence[Run], loops: Sequence[str], what: str, figure: Callable[[Run], float]) -> Table:
    found = {(run.target, run.loop, run.round): figure(run) for run in runs}
    rounds = sorted({run.round for run in runs})
    rows = []
    for loop in loops:
        values = [found[DECIDING, loop, n] / max(found[BARE, loop, n], 1.0) for n in rounds]
        rows.append([loop, *(f"{value:.2f}" for value in [*values, statistics.median(values)])])
    return Table(
        f"Ratios of {what}, ours to bare", ["load", *[f"round {n + 1}" for n in rounds], "median"], rows
    )
