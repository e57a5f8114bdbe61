"""What more workers bring: answers a second, processor time per answer, memory per process.

Workers, supervisor and load generator share all cores of this machine: on few cores the rate says as much of
the generator as of the workers; processor time per answer and memory say what each further worker costs.
"""

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.bench.cores import cpu_seconds
from tests.bench.generator import generate, generator
from tests.bench.load import Figures, Load
from tests.bench.report import Report, Table, disk
from tests.process_kit import Bridge, running
from tests.workers_kit import pids_of, service

COUNTS: Final = (1, 2)
CONNECTIONS: Final = 64
_SEGMENT_BYTES: Final = str(64 << 20)
_runs = itertools.count(700)


@dataclass(frozen=True)
class Run:
    """One load over so many workers. ``cpu_us`` is processor time per answer, of all workers together."""

    round: int
    workers: int
    figures: Figures
    cpu_us: float


@dataclass(frozen=True)
class Memory:
    """What a process takes, in MiB: ``resident`` counts shared pages whole, ``proportional`` its share."""

    process: str
    resident: float
    proportional: float


def measure(rounds: int = 3, seconds: float = 4.0) -> Report:
    """Measure each number of workers in interleaved rounds, then what their processes take."""
    with ExitStack() as stack:
        started = {count: stack.enter_context(_started(count)) for count in COUNTS}
        for count in COUNTS:
            _load(0, count, started[count], 1.0)
        runs = [_load(number, count, started[count], seconds) for number in range(rounds) for count in COUNTS]
        memory = [found for count in COUNTS for found in _memory(count, started[count])]
    notes = [f"{CONNECTIONS} connections by {generator()} on the same cores; embedded, no consumers"]
    raw = {"runs": [asdict(run) for run in runs], "memory": [asdict(found) for found in memory]}
    return Report("workers", [_speed(runs), _sizes(memory)], notes, raw)


@contextmanager
def _started(count: int) -> Iterator[Bridge]:
    with tempfile.TemporaryDirectory(prefix="imbridge-bench-", dir=disk()) as place:
        data_dir, settings = Path(place) / "data", {"JOURNAL__SEGMENT_BYTES": _SEGMENT_BYTES}
        starting = (
            running("ingress", data_dir=data_dir, LOG__LEVEL="info", **settings)
            if count == 1
            else service("ingress", workers=count, data_dir=data_dir, **settings)
        )
        with starting as bridge:
            yield bridge


def _pids(count: int, bridge: Bridge) -> dict[str, int]:
    if count == 1:
        return {"one process": bridge.pid}
    return {f"worker {number} of {count}": pid for number, pid in sorted(pids_of(bridge).items())}


def _load(number: int, count: int, bridge: Bridge, seconds: float) -> Run:
    pids = _pids(count, bridge).values()
    before = sum(map(cpu_seconds, pids))
    port = int(bridge.ingress.rpartition(":")[2])
    figures = generate(port, next(_runs), Load(CONNECTIONS, seconds))
    spent = sum(map(cpu_seconds, pids)) - before
    return Run(number, count, figures, spent * 1e6 / max(1, figures.requests))


def _memory(count: int, bridge: Bridge) -> Iterator[Memory]:
    pids = _pids(count, bridge)
    for process, pid in pids.items() if count == 1 else {**pids, "supervisor": bridge.pid}.items():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kib = {line.split()[0]: int(line.split()[1]) for line in lines}
        yield Memory(process, kib["Rss:"] / 1024, kib["Pss:"] / 1024)


def _speed(runs: list[Run]) -> Table:
    rows = []
    for count in COUNTS:
        mine = [run for run in runs if run.workers == count]
        rows.append(
            [
                str(count),
                f"{statistics.median(run.figures.per_second for run in mine):.0f}",
                f"{statistics.median(run.figures.p99_us for run in mine) / 1000:.1f}",
                f"{statistics.median(run.cpu_us for run in mine):.0f}",
                str(sum(run.figures.failed for run in mine)),
            ]
        )
    return Table("Workers", ("workers", "answers/s", "p99 ms", "cpu us/answer", "failed"), rows)


def _sizes(memory: list[Memory]) -> Table:
    rows = [[each.process, f"{each.resident:.0f}", f"{each.proportional:.0f}"] for each in memory]
    return Table("Memory", ("process", "resident MiB", "its share MiB"), rows)
