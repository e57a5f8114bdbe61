"""Relaying: records per second from a journal on disk to the real broker, and appended without one.

Values of 600 bytes with the headers of an event, 500 keys over 12 partitions, one process, one broker on the
same machine, acks=all. The journal is filled beforehand, so this is how fast a backlog is caught up.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from bridge.log.base import Record
from bridge.log.clock import wall_ms
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import KafkaLog
from bridge.log.segments import LogView, open_journal
from bridge.relay import BATCH_RECORDS, JournalSource, Relay
from schemas.topics import GROUP
from tests.bench.report import Report, Table
from tests.parts import start_kafka

VALUE_BYTES = 600
KEYS = 500
_numbers = count()


def measure(rounds: int = 3, records: int = 60_000) -> Report:
    """Measure both ways in interleaved rounds."""
    rates: dict[str, list[float]] = {"append to Kafka": [], "relay from the journal": []}
    with start_kafka() as server:
        for _ in range(rounds + 1):
            rates["append to Kafka"].append(records / asyncio.run(_append(server.bootstrap_servers, records)))
            rates["relay from the journal"].append(
                records / asyncio.run(_relay(server.bootstrap_servers, records))
            )
        notes = [
            f"{records} records of {VALUE_BYTES} bytes a round, {BATCH_RECORDS} an append",
            "the first round warms the broker up and is not counted",
            f"Kafka: {server.how}",
        ]
    counted = {name: all_[1:] for name, all_ in rates.items()}
    rows = [(name, f"{statistics.median(all_):,.0f}", f"{min(all_):,.0f}") for name, all_ in counted.items()]
    table = Table("Relay", ("way", "records/s, median", "least"), tuple(rows))
    return Report("relay", (table,), tuple(notes), {"records_per_second": counted})


def _records(amount: int) -> Sequence[Record]:
    now = wall_ms()
    headers = {
        f"ce_{name}": "x" * 24 for name in ("source", "type", "subject", "time", "sequence", "partitionkey")
    }
    value = b"x" * VALUE_BYTES
    return [
        Record(GROUP, f"group-{number % KEYS}", value, {"ce_id": f"id-{number}", **headers}, now)
        for number in range(amount)
    ]


def _log(servers: str) -> KafkaLog:
    return KafkaLog(servers, topic_prefix=f"bench{next(_numbers)}.{wall_ms()}.")


async def _append(servers: str, amount: int) -> float:
    log = _log(servers)
    try:
        await log.ensure_topics()
        records = _records(amount)
        since = time.perf_counter()
        for start in range(0, amount, BATCH_RECORDS):
            await log.append(records[start : start + BATCH_RECORDS])
        return time.perf_counter() - since
    finally:
        await log.close()


async def _relay(servers: str, amount: int) -> float:
    log = _log(servers)
    with tempfile.TemporaryDirectory(prefix="imbridge-bench-") as place:
        journal = await asyncio.to_thread(open_journal, Path(place), loop=asyncio.get_running_loop())
        park, view = EmbeddedLog(Path(place)), LogView(journal.directory)
        try:
            await log.ensure_topics()
            records = _records(amount)
            for start in range(0, amount, BATCH_RECORDS):
                await journal.append(records[start : start + BATCH_RECORDS])
            relay = Relay(JournalSource(view, journal.bell), log, park, drain_seconds=600.0)
            since = time.perf_counter()
            async with asyncio.TaskGroup() as running:
                running.create_task(relay.run())
                while relay.status().state != "relaying":  # noqa: ASYNC110 a turn of the loop or two
                    await asyncio.sleep(0)
                relay.stop()  # it returns once the journal is relayed
            return time.perf_counter() - since
        finally:
            await park.close()
            view.close()
            await journal.close()
            await log.close()
