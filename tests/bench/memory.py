"""Memory: what the processes hold after 100 000 callbacks and after twice as many, and through an outage.

First the whole bridge in one process (``imbridge run``, embedded, projecting into SQLite). Then ingress and
relay, a process each, while Kafka is away: 300 000 records wait on disk, the broker comes, they are relayed.
Memory is the resident set; disk is what the records take and what is allocated for them.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain, pairwise
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench import servers
from tests.bench.cores import other_cores, pinned
from tests.bench.generator import generate
from tests.bench.load import Load
from tests.bench.report import Report, Table
from tests.bench.servers import Target, wait_until_relayed
from tests.parts import KafkaServer, PartMissing, start_kafka

STEP: Final = 100_000
_CONNECTIONS: Final = 64
_PATIENCE_SECONDS: Final = 180.0
_MIB: Final = 1 << 20


class Held(NamedTuple):
    """The resident set of one process, in bytes, ``when`` the bridge had taken so many callbacks."""

    process: str
    when: str
    bytes: int


class Outage(NamedTuple):
    """What an outage of ``records`` took: bytes on disk, and the seconds until all was relayed afterwards."""

    records: int
    written_bytes: int
    allocated_bytes: int
    seconds: float


def measure(step: int = STEP) -> Report:
    """Measure the whole bridge, then an outage; the latter is left out where there is no Kafka."""
    with servers.whole() as target:
        held = _grown(target, step, 2, lambda: _wait_until_projected(target))
    notes, outages = [_kept(target.name, 2 * step)], list[Outage]()
    try:
        more, outage = _outage(step)
    except PartMissing as reason:
        notes.append(f"NOT MEASURED: an outage, for want of Kafka ({reason})")
    else:
        held += more
        outages.append(outage)
        notes.append(_kept("ingress and relay", outage.records))
    raw = {"held": [one._asdict() for one in held], "outages": [one._asdict() for one in outages]}
    return Report("memory", tables(held, outages), notes, raw)


def _kept(name: str, callbacks: int) -> str:
    return f"{name}: all {callbacks} callbacks were answered 200 and stand on disk"


def _outage(step: int) -> tuple[list[Held], Outage]:
    with ExitStack() as running:
        with pinned(other_cores()):
            broker = running.enter_context(start_kafka(own=True, running=False))
        target = running.enter_context(servers.sustained(broker.bootstrap_servers))
        held = _grown(target, step, 3, lambda: None)
        written = int(target.metric("ingress", "journal_bytes_total"))
        allocated = _allocated(target.data)
        seconds = _drain(broker, target, 3 * step)
        held += [Held(name, "all relayed", _resident(pid)) for name, pid in target.roles.items()]
        return held, Outage(3 * step, written, allocated, seconds)


def _drain(broker: KafkaServer, target: Target, records: int) -> float:
    """Start the broker; return the seconds from then on until all is relayed. Raises RuntimeError."""
    with pinned(other_cores()):
        broker.start()
    since = time.monotonic()
    wait_until_relayed(target, _PATIENCE_SECONDS)
    seconds = time.monotonic() - since
    relayed = int(target.metric("relay", "relay_records_total"))
    if relayed < records:
        raise RuntimeError(f"{relayed} of {records} records were relayed")
    return seconds


def _grown(target: Target, step: int, steps: int, settle: Callable[[], None]) -> list[Held]:
    """Send ``steps`` times ``step`` callbacks; return what is held after each. Raises RuntimeError."""
    held, first = [], next(iter(target.roles))
    for number in range(1, steps + 1):
        load = Load(_CONNECTIONS, _PATIENCE_SECONDS, requests=step)
        figures = generate(target.port, number, load, ours=True)
        durable = int(target.metric(first, "journal_records_total"))
        if figures.failed or figures.requests != step or durable < number * step:
            raise RuntimeError(f"{figures} and {durable} records on disk: not all were taken")
        settle()
        held += [
            Held(name, f"{number * step:,} callbacks", _resident(pid)) for name, pid in target.roles.items()
        ]
    return held


def _wait_until_projected(target: Target) -> None:
    """Return once no projection lags. Raises RuntimeError when that takes too long."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while target.metric("run", "consumer_lag_records") > 0:
        if time.monotonic() > deadline:
            raise RuntimeError("the projections still lag")
        time.sleep(0.2)


def _resident(pid: int) -> int:
    """Return the resident set of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no resident set")


def _allocated(data: Path) -> int:
    """Return what the journals take on disk, the segment kept ahead included."""
    files = [path for path in (data / "journals").rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in files)


def tables(held: Sequence[Held], outages: Sequence[Outage]) -> list[Table]:
    """Return the resident sets with their growth, and the outages."""
    processes = dict.fromkeys(one.process for one in held)
    rows = [_growth([one for one in held if one.process == process]) for process in processes]
    grown = Table("Resident set", ("process", "when", "MiB", "growth"), list(chain.from_iterable(rows)))
    columns = ("records", "written bytes a record", "allocated bytes a record", "drained in s", "records/s")
    outage = Table("An outage of Kafka", columns, [_row(one) for one in outages])
    return [grown, outage] if outages else [grown]


def _growth(held: Sequence[Held]) -> list[tuple[str, ...]]:
    """Return what one process held, each time with the growth since the time before."""
    grown = ["", *(f"{(after.bytes - before.bytes) / _MIB:+.1f}" for before, after in pairwise(held))]
    return [
        (one.process, one.when, f"{one.bytes / _MIB:.1f}", more)
        for one, more in zip(held, grown, strict=True)
    ]


def _row(outage: Outage) -> tuple[str, ...]:
    return (
        f"{outage.records:,}",
        f"{outage.written_bytes / outage.records:.0f}",
        f"{outage.allocated_bytes / outage.records:.0f}",
        f"{outage.seconds:.1f}",
        f"{outage.records / outage.seconds:,.0f}",
    )
