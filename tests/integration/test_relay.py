"""The relay from a real journal to a real broker: nothing lost, order kept, whatever stops in between."""

import asyncio
import sys
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bridge.log.base import Position, Record, TopicPartition
from bridge.log.clock import wall_ms
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import KafkaLog
from bridge.log.segments import LogView, SegmentLog, open_journal
from bridge.relay import JournalSource, Relay
from bridge.telemetry import REGISTRY
from schemas.topics import DLQ, GROUP, TOPICS
from tests.parts import KafkaServer

pytestmark = pytest.mark.kafka
TOPIC = TOPICS[GROUP]._replace(partitions=3)
KEYS = 7
SECONDS = 60
ROOT = Path(__file__).parents[2]


def record(number: int, size: int = 300) -> Record:
    key = f"g{number % KEYS}"
    return Record(GROUP, key, b"x" * size, {"ce_id": str(number)}, wall_ms())


@asynccontextmanager
async def opened_journal(place: Path) -> AsyncIterator[SegmentLog]:
    journal = await asyncio.to_thread(
        open_journal, place, loop=asyncio.get_running_loop(), segment_bytes=1 << 20, max_bytes=64 << 20
    )
    try:
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def opened_kafka(server: KafkaServer, prefix: str = "", **options: Any) -> AsyncIterator[KafkaLog]:
    options = {"topics": (TOPIC,), "request_seconds": 3.0, "append_seconds": 3.0, **options}
    log = KafkaLog(server.bootstrap_servers, topic_prefix=prefix, **options)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def relaying(journal: SegmentLog, target: Any, place: Path, **options: Any) -> AsyncIterator[Relay]:
    """Relay the journal; what the target refuses goes to the control log of the same data directory."""
    view, park = LogView(journal.directory), EmbeddedLog(place)
    relay = Relay(JournalSource(view, journal.bell), target, park, **options)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
        relay.stop()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await park.close()
        view.close()


async def until(is_so: Callable[[], object], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110 anything may change it
            await asyncio.sleep(0.02)


async def relayed(log: KafkaLog) -> dict[str, list[int]]:
    """Return the ids that stand in Kafka, by key, in the order in which they stand."""
    bounds = await log.bounds(GROUP)
    left = {partition for partition, held in bounds.items() if held.end}
    found: dict[str, list[int]] = defaultdict(list)
    async with asyncio.timeout(SECONDS), log.reader({TopicPartition(GROUP, p): 0 for p in bounds}) as reader:
        while left:
            if (batch := await reader.read(1000, 1.0)) is not None:
                for stored in batch.records:
                    found[stored.record.key or ""].append(int(stored.record.headers["ce_id"]))
                if batch.next_offset >= bounds[batch.partition.partition].end:
                    left.discard(batch.partition.partition)
    return found


def assert_all_in_order(found: dict[str, list[int]], total: int, without: Sequence[int] = ()) -> None:
    """Nothing is missing, and taking each id at its first occurrence the order is that of acceptance."""
    for key in range(KEYS):
        accepted = [number for number in range(key, total, KEYS) if number not in without]
        assert list(dict.fromkeys(found[f"g{key}"])) == accepted


class Load:
    """Appends to the journal, batch after batch, for as long as it is entered."""

    def __init__(self, journal: SegmentLog, per_second: int = 2000) -> None:
        self._journal = journal
        self._pause = 50 / per_second
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self.accepted = 0

    async def _run(self) -> None:
        while not self._ending:
            await self._journal.append([record(self.accepted + place) for place in range(50)])
            self.accepted += 50
            await asyncio.sleep(self._pause)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        assert not self._task.done(), "the outage reached whoever appends to the journal"
        self._ending = True
        await self._task


@pytest.fixture
def prefix() -> str:
    return f"r{uuid.uuid4().hex[:10]}."


async def test_a_broker_killed_under_load_loses_nothing_and_keeps_the_order(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    async with opened_journal(tmp_path) as journal, opened_kafka(own_kafka) as log:
        async with relaying(journal, log, tmp_path) as relay:
            async with Load(journal) as load:
                await until(lambda: relay.status().next_offset > 500)
                await asyncio.to_thread(own_kafka.stop)
                down_at = load.accepted
                await until(lambda: load.accepted > down_at + 2000)
                assert relay.status().lag_records > 1000
                await until(lambda: relay.status().state == "stalled")
                await asyncio.to_thread(own_kafka.start)
                await until(lambda: relay.status().next_offset > down_at + 2000)
            await until(lambda: relay.status().lag_records == 0)
        assert_all_in_order(await relayed(log), load.accepted)


async def test_kafka_absent_at_start_is_waited_for(absent_kafka: KafkaServer, tmp_path: Path) -> None:
    async with opened_journal(tmp_path) as journal, opened_kafka(absent_kafka) as log:
        await journal.append([record(number) for number in range(1000)])
        async with relaying(journal, log, tmp_path) as relay:
            await until(lambda: relay.status().state == "stalled")
            assert absent_kafka.bootstrap_servers in relay.status().reason
            await asyncio.to_thread(absent_kafka.start)
            await until(lambda: relay.status().lag_records == 0)
            assert relay.status().state == "relaying"
        assert_all_in_order(await relayed(log), 1000)


async def test_records_the_broker_refuses_are_set_aside_and_the_others_go_on(
    kafka: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    large = (105, 340, 341)
    await create(kafka, prefix + GROUP, max_message_bytes="20000")
    async with opened_journal(tmp_path) as journal, opened_kafka(kafka, prefix) as log:
        for start in range(0, 500, 100):
            sizes = {number: 50_000 if number in large else 300 for number in range(start, start + 100)}
            await journal.append([record(number, size) for number, size in sizes.items()])
        async with relaying(journal, log, tmp_path) as relay:
            await until(lambda: relay.status().lag_records == 0)
        assert_all_in_order(await relayed(log), 500, without=large)
        assert await set_aside(tmp_path) == [
            (str(number), GROUP, str(number), journal.log_id, 50_000) for number in large
        ]


async def create(server: KafkaServer, topic: str, **config: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap_servers)
    await admin.start()
    try:
        settings = {name.replace("_", "."): value for name, value in config.items()}
        await admin.create_topics([NewTopic(topic, TOPIC.partitions, 1, topic_configs=settings)])
    finally:
        await admin.close()


async def set_aside(place: Path) -> list[tuple[str, str, str, str, int]]:
    park = EmbeddedLog(place)
    try:
        bounds = await park.bounds(DLQ)
        starts = {TopicPartition(DLQ, partition): held.begin for partition, held in bounds.items()}
        letters: list[Record] = []
        async with asyncio.timeout(SECONDS), park.reader(starts) as reader:
            while (batch := await reader.read(100, 0.3)) is not None:
                letters += [stored.record for stored in batch.records]
    finally:
        await park.close()
    return [
        (
            letter.headers["ce_id"],
            letter.headers["im-dlq-topic"],
            letter.headers["im-dlq-offset"],
            letter.headers["im-dlq-log"],
            len(letter.value or b""),
        )
        for letter in letters
    ]


async def test_a_producer_that_failed_for_good_is_replaced_and_nothing_is_lost(
    kafka: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """The broker fences our producer by its sequence numbers; aiokafka's sender ends with that."""
    before = retries()
    async with opened_journal(tmp_path) as journal, opened_kafka(kafka, prefix) as log:
        async with relaying(journal, log, tmp_path, batch_records=100) as relay:
            async with Load(journal) as load:
                for times, aim in enumerate((500, 1000, 1500), 1):
                    await passed(relay, aim)
                    await until(lambda: spoil(log))
                    await until(partial(has_retried, before + times))
            await until(lambda: relay.status().lag_records == 0)
        assert_all_in_order(await relayed(log), load.accepted)


def has_retried(times: float) -> bool:
    return retries() >= times


def retries() -> float:
    return REGISTRY.get_sample_value("imbridge_relay_retries_total", {"reason": "unavailable"}) or 0.0


async def passed(relay: Relay, offset: int) -> None:
    await until(lambda: relay.status().next_offset > offset)


async def marked(source: JournalSource, offset: int) -> None:
    await until(lambda: (source.mark() or 0) > offset)


def spoil(log: KafkaLog) -> bool:
    """Make the producer's next batches carry sequence numbers far ahead: out of order for the broker."""
    if log._producer is None:
        return False
    manager = log._producer._driver._txn_manager
    for place in list(manager._sequence_numbers):
        manager._sequence_numbers[place] += 1000
    return bool(manager._sequence_numbers)


class Forgetful:
    """A target whose relay dies between publishing and marking: its answers never arrive."""

    def __init__(self, log: KafkaLog, at: int) -> None:
        self._log = log
        self._left = count(at, -1)
        self.died = asyncio.Event()

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        positions = await self._log.append(records)
        if next(self._left) == 0:
            self.died.set()
            await asyncio.Event().wait()
        return positions


async def test_a_relay_killed_between_publishing_and_marking_repeats_the_same_ids(
    kafka: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    async with opened_journal(tmp_path) as journal, opened_kafka(kafka, prefix) as log:
        await journal.append([record(number) for number in range(1000)])
        dying = Forgetful(log, at=4)
        view = LogView(journal.directory)
        first = asyncio.create_task(Relay(JournalSource(view), dying, log, batch_records=100).run())
        async with asyncio.timeout(SECONDS):
            await dying.died.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        view.close()
        async with relaying(journal, log, tmp_path) as relay:
            await until(lambda: relay.status().lag_records == 0)
        found = await relayed(log)
        assert_all_in_order(found, 1000)
        repeated = sorted(number for ids in found.values() for number in set(ids) if ids.count(number) > 1)
        assert repeated == list(range(400, 500))


RELAY_PROCESS = """
import asyncio, sys
from pathlib import Path
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import KafkaLog
from bridge.log.segments import LogView
from bridge.relay import JournalSource, Relay
from bridge.telemetry import REGISTRY
from schemas.topics import GROUP, TOPICS

async def main(directory, place, servers, prefix):
    log = KafkaLog(servers, topic_prefix=prefix, topics=(TOPICS[GROUP]._replace(partitions=3),))
    source, park = JournalSource(LogView(Path(directory))), EmbeddedLog(Path(place))
    await Relay(source, log, park, batch_records=50).run()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_relay_processes_killed_again_and_again_lose_nothing(
    kafka: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    async with opened_journal(tmp_path) as journal, opened_kafka(kafka, prefix) as log:
        source = JournalSource(LogView(journal.directory))
        places = [str(journal.directory), str(tmp_path), kafka.bootstrap_servers, prefix]
        command = [sys.executable, "-c", RELAY_PROCESS, *places]
        async with Load(journal) as load:
            for _ in range(3):
                process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
                try:
                    await marked(source, (source.mark() or 0) + 100)
                finally:
                    process.kill()
                    await process.wait()
        async with relaying(journal, log, tmp_path) as relay:
            await until(lambda: relay.status().lag_records == 0)
        assert_all_in_order(await relayed(log), load.accepted)
