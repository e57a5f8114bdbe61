"""Runners and databases are killed at any moment, and every record counts exactly once."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from bridge.backoff import Backoff
from bridge.log.base import TopicPartition
from bridge.log.embedded import EmbeddedLog
from bridge.log.memory import MemoryLog
from bridge.log.segments.journal import open_journal
from consumers.runner import Runner
from consumers.store.sql import SqlStore
from schemas.topics import GROUP
from tests.consuming import Counting, counted, joined, new_counter, opened, record, running, until
from tests.parts import PostgresServer

PROJECT = Path(__file__).parents[2]
RECORDS = 3000
CHILD = """
import asyncio, sys
from pathlib import Path
from bridge.log.embedded import EmbeddedLog
from consumers.runner import Runner
from consumers.store.opening import store_for
from tests.consuming import Counting

async def main():
    log = EmbeddedLog(Path(sys.argv[1]))
    store, counting = store_for(sys.argv[2]), Counting()
    await Runner(log, store, counting, dead_letters=log, owner="child", batch_records=3).run()

asyncio.run(main())
"""


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    """A data directory whose journal holds the records; this process keeps it open."""
    held = await asyncio.to_thread(
        open_journal, tmp_path, loop=asyncio.get_running_loop(), segment_bytes=4 << 20, max_bytes=16 << 20
    )
    log = EmbeddedLog(tmp_path, held)
    await log.append([record(joined(number)) for number in range(RECORDS)])
    yield log
    await log.close()
    await held.close(5)


@pytest.fixture(params=[pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, SqlStore]]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_database")
    held = await opened(url)
    new_counter(held, "seen")
    yield url, held
    await held.close()


async def test_a_consumer_process_killed_again_and_again_applies_every_record_once(
    journal: EmbeddedLog, store: tuple[str, SqlStore], tmp_path: Path
) -> None:
    url, held = store
    dice, kills = random.Random(7), 0
    while await counted(held, "seen") < RECORDS:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            tmp_path,
            url,
            cwd=PROJECT,
            stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        target = min(RECORDS, await counted(held, "seen") + dice.randint(300, 900))
        while await counted(held, "seen") < target:
            assert child.returncode is None
            await asyncio.sleep(dice.random() / 100)
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        kills += 1
    assert kills > 3
    assert await counted(held, "seen") == RECORDS
    rows = await held.checkpoints("counting")
    ends = {number: each.end for number, each in (await journal.bounds(GROUP)).items()}
    assert {row.key.partition.partition: row.next_offset or 0 for row in rows} == ends


async def consume(log: MemoryLog, held: SqlStore, batch_records: int) -> Runner:
    await log.append([record(joined(number)) for number in range(RECORDS)])
    options = {"dead_letters": log, "owner": "me", "poll_seconds": 0.01, "batch_records": batch_records}
    return Runner(log, held, Counting(), backoff=Backoff(0.01, 0.2), **options)  # type: ignore[arg-type]


async def test_sessions_cut_at_any_moment_leave_every_record_applied_once(postgres_database: str) -> None:
    log, held = MemoryLog(partitions=1), await opened(postgres_database)
    new_counter(held, "seen")
    consuming = await consume(log, held, batch_records=5)
    cuts = 0
    async with (
        running(consuming, seconds=60),
        await psycopg.AsyncConnection.connect(postgres_database, autocommit=True) as other,
    ):
        reached = asyncio.create_task(consuming.reached(TopicPartition(GROUP, 0), RECORDS))
        while not reached.done():
            await asyncio.sleep(0.02)
            cut = await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            cuts += len(await cut.fetchall())
        await reached
    assert cuts > 3
    assert consuming.status().parked == 0
    assert await counted(held, "seen") == RECORDS
    await held.close()


async def test_a_database_killed_and_started_again_goes_on_where_it_was(own_postgres: PostgresServer) -> None:
    log, held = MemoryLog(partitions=1), await opened(own_postgres.url)
    new_counter(held, "seen")
    consuming = await consume(log, held, batch_records=20)
    partition = TopicPartition(GROUP, 0)
    async with running(consuming, seconds=60):
        await consuming.reached(partition, 400)
        await asyncio.to_thread(own_postgres.stop)
        await until(lambda: consuming.status().state == "retrying")
        assert consuming.status().lag_records > 0
        await asyncio.to_thread(own_postgres.start)
        await consuming.reached(partition, RECORDS)
    assert consuming.status().parked == 0
    assert await counted(held, "seen") == RECORDS
    await held.close()
