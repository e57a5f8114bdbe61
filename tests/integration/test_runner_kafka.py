"""Runners that share a real topic: rebalances while batches are in hand, and every record counts once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.backoff import Backoff
from bridge.log.base import TopicPartition
from bridge.log.kafka import KafkaLog
from consumers.runner import Runner
from consumers.store.sql import SqlStore
from schemas.topics import DLQ, GROUP, TOPICS
from tests.consuming import Counting, counted, joined, new_counter, opened, record, running, until
from tests.parts import KafkaServer

PARTITIONS = 4
RECORDS = 2000


@pytest.fixture
async def logs(kafka: KafkaServer) -> AsyncIterator[Callable[[], KafkaLog]]:
    """Make clients of topics that are this test's alone."""
    prefix, made = f"r{uuid.uuid4().hex[:10]}.", []

    def make() -> KafkaLog:
        topics = [TOPICS[GROUP]._replace(partitions=PARTITIONS), TOPICS[DLQ]._replace(partitions=1)]
        made.append(
            KafkaLog(kafka.bootstrap_servers, topic_prefix=prefix, topics=topics, session_seconds=6.0)
        )
        return made[-1]

    await make().ensure_topics()
    yield make
    for log in made:
        await log.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    held = await opened(f"sqlite:///{tmp_path / 'store.db'}")
    new_counter(held, "seen")
    yield held
    await held.close()


def runner(log: KafkaLog, store: SqlStore, owner: str) -> Runner:
    backoff = Backoff(0.05, 0.5)
    return Runner(log, store, Counting(), dead_letters=log, owner=owner, batch_records=20, backoff=backoff)


async def appended(log: KafkaLog, first: int, count: int) -> None:
    await log.append(
        [record(joined(number, group=f"g{number % 50}")) for number in range(first, first + count)]
    )


async def all_applied(log: KafkaLog, store: SqlStore, seconds: float = 40) -> None:
    """Return once every partition's checkpoint stands at its end."""
    ends = {number: held.end for number, held in (await log.bounds(GROUP)).items()}
    found: dict[int, int | None] = {}
    async with asyncio.timeout(seconds):
        while found != ends:
            await asyncio.sleep(0.05)
            rows = await store.checkpoints("counting")
            found = {row.key.partition.partition: row.next_offset for row in rows}


async def test_runners_that_come_and_go_apply_every_record_once(
    logs: Callable[[], KafkaLog], store: SqlStore
) -> None:
    log = logs()
    first, second = runner(logs(), store, "first"), runner(logs(), store, "second")
    async with running(first, seconds=90):
        for at in range(0, RECORDS // 2, 100):
            await appended(log, at, 100)
        async with running(second, seconds=90):
            await until(lambda: len(second.status().partitions) == PARTITIONS // 2, seconds=40)
            for at in range(RECORDS // 2, RECORDS, 100):
                await appended(log, at, 100)
            await until(
                lambda: second.status().lag_records == 0 < len(second.status().partitions), seconds=20
            )
        await all_applied(log, store)
    assert await counted(store, "seen") == RECORDS
    assert (first.status().parked, second.status().parked) == (0, 0)


async def test_a_rewound_partition_is_applied_again_from_there(
    logs: Callable[[], KafkaLog], store: SqlStore
) -> None:
    log = logs()
    await appended(log, 0, 200)
    consuming = runner(log, store, "me")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(consuming, seconds=60))
        await until(lambda: len(consuming.status().partitions) == PARTITIONS, seconds=30)
        ends = {number: held.end for number, held in (await log.bounds(GROUP)).items()}
        for number, end in ends.items():
            await consuming.reached(TopicPartition(GROUP, number), end)
        row = next(row for row in await store.checkpoints() if (row.next_offset or 0) > 10)
        await store.rewind(row.key, 3, "operator")
        again = (row.next_offset or 0) - 3
        await appended(log, 200, 200)
        await all_applied(log, store)
    assert await counted(store, "seen") == 400 + again
