"""Acknowledging: ours beside a bare handler and beside the usual way to Kafka, taking turns.

(a) bare aiohttp + uvloop, (b1) ours with the relay held back, (b2) ours relaying to a real broker, (c)
aiohttp + aiokafka ``send_and_wait``. Each server has one core, the generator and the broker the others.
"""

import asyncio
import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from tests.bench import direct, servers
from tests.bench.backlog import Backlog, flat_rate, watched
from tests.bench.cores import other_cores, pinned, server_core
from tests.bench.generator import generate, generator
from tests.bench.load import Figures, Load
from tests.bench.report import Report, Table, sync_us
from tests.bench.servers import BARE, BURST, DIRECT, SUSTAINED, Target, wait_until_relayed
from tests.parts import PartMissing, start_kafka

CONNECTIONS = (2, 64)
_COLUMNS = ("variant @connections", "answers/s", "p50 ms", "p99 ms", "cpu us/answer", "failed")
PAIRS = ((BURST, BARE), (SUSTAINED, BARE), (SUSTAINED, DIRECT))


@dataclass(frozen=True)
class Run:
    """One variant measured once. ``rate``: what it was held to, for the backlog to stay flat.

    ``cpu_us`` is processor time per answer, of all threads and, with the relay, of both processes.
    ``sync_us`` is what one write of 1 KiB and its fdatasync took just before, on the server's core.
    """

    round: int
    variant: str
    connections: int
    figures: Figures
    cpu_us: float = 0.0
    backlog: Backlog | None = None
    rate: float | None = None
    sync_us: int = 0


def measure(rounds: int = 5, seconds: float = 2.0) -> Report:
    """Measure all variants in interleaved rounds; those that need Kafka are left out where there is none."""
    notes = [_how()]
    with ExitStack() as running:
        targets = [running.enter_context(servers.bare()), running.enter_context(servers.burst())]
        try:
            targets += _with_kafka(running)
        except PartMissing as reason:
            notes.append(f"NOT MEASURED: {SUSTAINED} and {DIRECT}, for want of Kafka ({reason})")
        for target in targets:
            target.check()
        rates = _warm(targets, seconds)
        runs = [run for number in range(rounds) for run in _round(number, targets, seconds, rates)]
        notes += [_kept(target, runs) for target in targets if target.ops]
    return Report("ack", tables(runs), notes + _backlogs(runs), {"runs": [asdict(run) for run in runs]})


def _how() -> str:
    said = f"servers on core {min(server_core())}, generator and broker on {sorted(other_cores())}; "
    if generator() == "wrk":
        return said + "wrk's p99 counts what a stalled connection kept from being sent"
    return said + "closed loops by tests/bench/load.py"


def _with_kafka(running: ExitStack) -> list[Target]:
    with pinned(other_cores()):
        broker = running.enter_context(start_kafka())
    asyncio.run(direct.make_topic(broker.bootstrap_servers))
    return [
        running.enter_context(servers.sustained(broker.bootstrap_servers)),
        running.enter_context(servers.direct(broker.bootstrap_servers)),
    ]


def _warm(targets: Sequence[Target], seconds: float) -> dict[int, float | None]:
    """Load every server once, and find the rates at which the relay keeps up."""
    rates: dict[int, float | None] = {}
    for target in targets:
        for connections in CONNECTIONS:
            generate(target.port, next(target.runs), Load(connections, 1.0))
            if target.name == SUSTAINED:
                rates[connections] = flat_rate(target, connections, seconds)
    return rates


def _round(
    number: int, targets: Sequence[Target], seconds: float, rates: dict[int, float | None]
) -> list[Run]:
    """Measure every variant once; each round begins with another one, so that none always comes first."""
    turn = number % len(targets)
    return [
        _run(number, target, Load(connections, seconds, rate=rates.get(connections)))
        for connections in CONNECTIONS
        for target in [*targets[turn:], *targets[:turn]]
    ]


def _run(number: int, target: Target, load: Load) -> Run:
    with pinned(server_core()):
        one_sync_us = sync_us()
    before, backlog = target.cpu_seconds(), None
    if target.name == SUSTAINED:
        figures, backlog = watched(target, load)
    else:
        full = Load(load.connections, load.seconds)
        # What is compared with a load held to a rate is measured by the same generator.
        ours = target.name == DIRECT and load.rate is not None
        figures = generate(target.port, next(target.runs), full, ours=ours)
    cpu_us = (target.cpu_seconds() - before) * 1e6 / max(1, figures.requests)
    return Run(number, target.name, load.connections, figures, cpu_us, backlog, load.rate, one_sync_us)


def tables(runs: Sequence[Run]) -> list[Table]:
    """Return the medians per variant, and the ratios per round with their medians."""
    variants = list(dict.fromkeys(run.variant for run in sorted(runs, key=lambda run: run.variant)))
    rows = [_medians(runs, variant, connections) for connections in CONNECTIONS for variant in variants]
    return [
        Table("Acknowledging, medians", _COLUMNS, rows),
        _ratios(runs, variants, "answers/s", lambda run: run.figures.per_second),
        _beside_a_sync(runs, variants),
        _ratios(runs, variants, "p99", lambda run: float(run.figures.p99_us)),
        _ratios(runs, variants, "processor time per answer", lambda run: run.cpu_us),
    ]


def _medians(runs: Sequence[Run], variant: str, connections: int) -> list[str]:
    mine = [run for run in runs if (run.variant, run.connections) == (variant, connections)]
    figures = [run.figures for run in mine]
    return [
        f"{variant} @{connections}",
        f"{statistics.median(one.per_second for one in figures):.0f}",
        f"{statistics.median(one.p50_us for one in figures) / 1000:.2f}",
        f"{statistics.median(one.p99_us for one in figures) / 1000:.2f}",
        f"{statistics.median(run.cpu_us for run in mine):.0f}",
        str(sum(one.failed for one in figures)),
    ]


def _ratios(runs: Sequence[Run], variants: Sequence[str], what: str, figure: Callable[[Run], float]) -> Table:
    found = {(run.variant, run.connections, run.round): figure(run) for run in runs}
    rounds = sorted({run.round for run in runs})
    rows = []
    for ours, other in PAIRS:
        if {ours, other} <= set(variants):
            for connections in CONNECTIONS:
                values = [
                    found[ours, connections, n] / (found[other, connections, n] or math.nan) for n in rounds
                ]
                cells = [f"{value:.2f}" for value in [*values, statistics.median(values)]]
                rows.append([f"{ours} / {other} @{connections}", *cells])
    return Table(f"Ratios of {what}", ["ratio", *[f"round {n + 1}" for n in rounds], "median"], rows)


def _beside_a_sync(runs: Sequence[Run], variants: Sequence[str]) -> Table:
    """What few callers feel: the median beside what no durable answer could do without."""
    found = {(run.variant, run.connections, run.round): run for run in runs}
    rounds = sorted({run.round for run in runs})
    few, rows = min(CONNECTIONS), []
    for ours in (BURST, SUSTAINED):
        if {ours, BARE} <= set(variants):
            pairs = [(found[ours, few, n], found[BARE, few, n]) for n in rounds]
            values = [one.figures.p50_us / (one.sync_us + bare.figures.p50_us) for one, bare in pairs]
            cells = [f"{value:.2f}" for value in [*values, statistics.median(values)]]
            rows.append([f"{ours} / (one fdatasync + {BARE}) @{few}", *cells])
    return Table("Ratios of p50", ["ratio", *[f"round {n + 1}" for n in rounds], "median"], rows)


def _kept(target: Target, runs: Sequence[Run]) -> str:
    """Say that all that was acknowledged is on disk, and relayed. Raises RuntimeError when it is not."""
    acknowledged = sum(
        run.figures.requests - run.figures.failed for run in runs if run.variant == target.name
    )
    durable = int(target.metric("ingress", "journal_records_total"))
    said = f"{target.name}: {acknowledged} acknowledged while measuring, {durable} on disk, warm-up included"
    if (
        durable < acknowledged
        or target.metric("ingress", "callbacks_total", 'outcome="acked"') < acknowledged
    ):
        raise RuntimeError(f"{said}: not all are there, or not all were recognized")
    if target.name != SUSTAINED:
        return said
    wait_until_relayed(target)
    relayed = int(target.metric("relay", "relay_records_total"))
    if relayed < durable:
        raise RuntimeError(f"{said}, and only {relayed} relayed")
    return f"{said}, {relayed} relayed"


def _backlogs(runs: Sequence[Run]) -> list[str]:
    notes = []
    for connections in CONNECTIONS:
        mine = [run for run in runs if run.backlog and run.connections == connections]
        if mine:
            grown = statistics.median(run.backlog.growth_per_second for run in mine if run.backlog)
            highest = max(run.backlog.highest for run in mine if run.backlog)
            held = f"held to {mine[0].rate:.0f}/s" if mine[0].rate else "at full speed"
            notes.append(
                f"{SUSTAINED} @{connections} {held}: backlog at most {highest} records, grew by {grown:.0f}/s"
            )
    return notes
