"""The journal alone: appends a second, by how many wait at once, beside a bare write and sync."""

import asyncio
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from bridge.log.base import Record
from bridge.log.segments import SegmentLog, open_journal
from schemas.topics import GROUP
from tests.bench.cores import pinned, server_core
from tests.bench.load import percentile, runner
from tests.bench.report import Report, Table, disk

WAITING = (1, 64, 512)
VALUE_BYTES = 700
_HEADERS = {"content-type": "application/json", **{f"ce_attribute{n}": "x" * 24 for n in range(9)}}


def measure(rounds: int = 3, seconds: float = 1.0) -> Report:
    """Measure each number of waiting appends in interleaved rounds."""
    rates: dict[str, list[float]] = {}
    p99s: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="imbridge-bench-", dir=disk()) as place, pinned(server_core()):
        for _ in range(rounds):
            rates.setdefault("bare write + fdatasync", []).append(_bare(Path(place), seconds))
            for waiting in WAITING:
                with runner() as loop:
                    rate, p99 = loop.run(_append(Path(place), waiting, seconds))
                rates.setdefault(f"{waiting} waiting", []).append(rate)
                p99s.setdefault(f"{waiting} waiting", []).append(p99)
    rows = [_row(name, every, p99s.get(name)) for name, every in rates.items()]
    table = Table("Journal: appends of one record", ("how", "appends/s, median", "p99 ms"), rows)
    return Report(
        "journal", [table], [f"values of {VALUE_BYTES} bytes"], {"appends_per_second": rates, "p99_us": p99s}
    )


def _row(name: str, rates: list[float], p99s: list[int] | None) -> list[str]:
    p99 = f"{statistics.median(p99s) / 1000:.2f}" if p99s else ""
    return [name, f"{statistics.median(rates):,.0f}", p99]


def _bare(place: Path, seconds: float) -> float:
    """Return how often a kibibyte can be written into an allocated file and synced, one after the other."""
    size, count = 64 << 20, 0
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(size >> 20):
            os.write(file.fileno(), bytes(1 << 20))
        os.fsync(file.fileno())
        since = time.perf_counter()
        while time.perf_counter() - since < seconds:
            os.pwrite(file.fileno(), bytes(1024), count * 1024 % size)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - since)


async def _append(place: Path, waiting: int, seconds: float) -> tuple[float, int]:
    journal = await asyncio.to_thread(open_journal, place, loop=asyncio.get_running_loop())
    latencies: Counter[int] = Counter()
    try:
        await _appending(journal, 64, 0.2, Counter())  # the first segments are allocated, the code is warm
        since = time.perf_counter()
        await _appending(journal, waiting, seconds, latencies)
        return latencies.total() / (time.perf_counter() - since), percentile(latencies, 99)
    finally:
        await journal.close()


async def _appending(journal: SegmentLog, waiting: int, seconds: float, latencies: Counter[int]) -> None:
    end = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        while (since := time.perf_counter()) < end:
            await journal.append([_record(number)])
            latencies[int((time.perf_counter() - since) * 1e6)] += 1

    await asyncio.gather(*(caller(number) for number in range(waiting)))


def _record(number: int) -> Record:
    return Record(GROUP, f"@TGS#{number:06d}", b"v" * VALUE_BYTES, _HEADERS, time.time_ns() // 1_000_000)
