"""Relaying: how fast a backlog is caught up, beside aiokafka's own producer with the same records.

Three ways take turns: (raw) the driver's ``send``, tuned, records ready in memory; (append) the bridge's
append, records ready in memory; (relay) the whole relay, from the journal on disk, marks included. One
process, one broker on the same machine, acks=all, idempotent. Each round is a set of topics of its own, and
counted there afterwards.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from bridge.log.base import Record
from bridge.log.clock import wall_ms
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import KafkaLog
from bridge.log.segments import LogView, journal_directories, open_journal
from bridge.relay import BATCH_RECORDS, JournalSource, Relay
from schemas.topics import GROUP
from tests.bench import raw_producer
from tests.bench.events import bytes_of, joined
from tests.bench.load import runner
from tests.bench.report import Report, Table, disk
from tests.parts import start_kafka

RAW, APPEND, RELAY = "raw producer", "append", "relay"
_APPENDED: Final = 50  # records an append while the journal is filled: what the ingress gathers under load
_numbers = count()


@dataclass(frozen=True)
class Spent:
    """One way of one round: seconds on the clock, and of processor time of this process."""

    way: str
    round: int
    records: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Records a second on the clock."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time a record."""
        return self.cpu_seconds / self.records * 1e6


def measure(rounds: int = 5, records: int = 30_000) -> Report:
    """Measure the three ways in interleaved rounds; the first round warms the broker up."""
    sent = joined(records)
    gc.collect()
    gc.freeze()  # the records stand for a log: walking them is no part of sending
    with start_kafka() as server, runner() as loop:
        spent = [
            loop.run(_measured(way, number, server.bootstrap_servers, sent))
            for number in range(-1, rounds)
            for way in (RAW, APPEND, RELAY)
        ]
    counted = [one for one in spent if one.round >= 0]
    notes = [
        f"{records} records of {bytes_of(sent)} bytes a round, all counted in Kafka afterwards",
        f"raw: {raw_producer.LINGER_MS} ms of linger, {raw_producer.WINDOW} sends a wait",
        f"append and relay: {BATCH_RECORDS} records an append",
        f"Kafka: {server.how}",
    ]
    raw = {"spent": [vars(one) for one in counted]}
    return Report("relay", tables(counted), notes, raw)


def tables(spent: Sequence[Spent]) -> list[Table]:
    """Return the medians of each way, and the relay's share of the raw producer round by round."""
    rows = []
    for way in dict.fromkeys(one.way for one in spent):
        mine = [one for one in spent if one.way == way]
        rates, cpu = [one.per_second for one in mine], [one.cpu_us for one in mine]
        rows.append(
            (way, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}", f"{statistics.median(cpu):.1f}")
        )
    columns = ("way", "records/s, median", "least", "cpu us/record")
    return [Table("Catching up", columns, rows), _ratios(spent)]


def _ratios(spent: Sequence[Spent]) -> Table:
    rates = {(one.way, one.round): one.per_second for one in spent}
    rounds = sorted({one.round for one in spent})
    rows = []
    for way in (APPEND, RELAY):
        values = [rates[way, number] / rates[RAW, number] for number in rounds]
        rows.append([f"{way} / {RAW}", *(f"{value:.2f}" for value in [*values, statistics.median(values)])])
    return Table("Ratios of records/s", ["ratio", *[f"round {n + 1}" for n in rounds], "median"], rows)


class _Watch:
    """Takes the time from its making to ``stop``, of the clock and of this process."""

    def __init__(self) -> None:
        self._since, self._cpu_since = time.perf_counter(), time.process_time()

    def stop(self) -> tuple[float, float]:
        """Return the seconds on the clock and of processor time."""
        return time.perf_counter() - self._since, time.process_time() - self._cpu_since


async def _measured(way: str, number: int, servers: str, records: Sequence[Record]) -> Spent:
    """Send all records one way into new topics. Raises RuntimeError unless each stands there once."""
    prefix = f"bench{next(_numbers)}.{wall_ms()}."
    log = KafkaLog(servers, topic_prefix=prefix)
    try:
        await log.ensure_topics()
        if way == RAW:
            took = await _raw(servers, prefix + GROUP, records)
        else:
            took = await (_append(log, records) if way == APPEND else _relay(log, records))
        stand = sum(held.end for held in (await log.bounds(GROUP)).values())
        if stand != len(records):
            raise RuntimeError(f"{way}: {stand} records stand in Kafka instead of {len(records)}")
        return Spent(way, number, len(records), *took)
    finally:
        await log.close()


async def _raw(servers: str, topic: str, records: Sequence[Record]) -> tuple[float, float]:
    sent = raw_producer.messages(records)
    async with raw_producer.producer(servers) as driver:
        await driver.partitions_for(topic)
        watch = _Watch()
        await raw_producer.send(driver, topic, sent)
        return watch.stop()


async def _append(log: KafkaLog, records: Sequence[Record]) -> tuple[float, float]:
    watch = _Watch()
    for start in range(0, len(records), BATCH_RECORDS):
        await log.append(records[start : start + BATCH_RECORDS])
    return watch.stop()


async def _relay(log: KafkaLog, records: Sequence[Record]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="imbridge-bench-", dir=disk()) as folder:
        place = Path(folder)
        await _fill(place, records)
        park, view = EmbeddedLog(place), LogView(next(iter(journal_directories(place).values())))
        try:
            relay = Relay(JournalSource(view), log, park, drain_seconds=600.0)
            watch = _Watch()
            async with asyncio.TaskGroup() as running:
                running.create_task(relay.run())
                while relay.status().state != "relaying":  # noqa: ASYNC110 a turn of the loop or two
                    await asyncio.sleep(0)
                relay.stop()  # it returns once the journal is relayed
            return watch.stop()
        finally:
            await park.close()
            view.close()


async def _fill(place: Path, records: Sequence[Record]) -> None:
    journal = await asyncio.to_thread(open_journal, place, loop=asyncio.get_running_loop())
    try:
        for start in range(0, len(records), _APPENDED):
            await journal.append(records[start : start + _APPENDED])
    finally:
        await journal.close()
