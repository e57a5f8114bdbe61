"""KafkaLog against a real broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition as Place
from structlog.testing import capture_logs

from bridge.errors import ConfigurationError, LogUnavailable, OffsetGone, RecordRefused, StoreUnavailable
from bridge.log.base import Batch, Bounds, Reader, Record, StoredRecord, TopicPartition
from bridge.log.clock import wall_ms
from bridge.log.kafka import KafkaLog, pull
from bridge.log.kafka import reader as reader_module
from bridge.log.kafka.producer import BATCH_BYTES
from schemas.topics import GROUP, RULES, TOPICS
from tests.parts import KafkaServer

pytestmark = pytest.mark.kafka
GROUP_TOPIC = TOPICS[GROUP]._replace(partitions=3)
RULES_TOPIC = TOPICS[RULES]
SECONDS = 30
BEGAN = wall_ms()  # brokers forget by these times


def record(number: int, key: str = "g1", size: int = 20, **headers: str) -> Record:
    value = str(number).encode().ljust(size, b".")
    return Record(GROUP, key, value, {"ce_id": str(number), **headers}, BEGAN + number)


def numbers(records: Sequence[StoredRecord]) -> list[int]:
    return [int(found.record.headers["ce_id"]) for found in records]


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:10]}."


@asynccontextmanager
async def opened(server: KafkaServer, prefix: str = "", **options: Any) -> AsyncIterator[KafkaLog]:
    options = {"topics": (GROUP_TOPIC,), "request_seconds": 5.0, **server.security, **options}
    log = KafkaLog(server.bootstrap_servers, topic_prefix=prefix, **options)
    try:
        yield log
    finally:
        await log.close()


@pytest.fixture
async def log(kafka: KafkaServer, prefix: str) -> AsyncIterator[KafkaLog]:
    async with opened(kafka, prefix) as log:
        yield log


@pytest.fixture
async def admin(kafka: KafkaServer) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await client.start()
    yield client
    await client.close()


async def create(admin: AIOKafkaAdminClient, topic: str, **config: str) -> None:
    settings = {name.replace("_", "."): value for name, value in config.items()}
    await admin.create_topics([NewTopic(topic, GROUP_TOPIC.partitions, 1, topic_configs=settings)])


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.05)


async def recreate(admin: AIOKafkaAdminClient, topic: str, partitions: int) -> None:
    async def is_made() -> bool:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1)])
        return bool(answer.to_object()["topic_errors"][0]["error_code"] == 0)

    async def is_seen() -> bool:
        return topic in await admin.list_topics()

    async def is_gone() -> bool:
        return topic not in await admin.list_topics()

    await admin.delete_topics([topic])
    await eventually(is_gone)
    await eventually(is_made)
    await eventually(is_seen)


async def whole(log: KafkaLog, topic: str = GROUP) -> dict[int, list[StoredRecord]]:
    """Read a topic from its beginning to its present end."""
    bounds = await log.bounds(topic)
    found: dict[int, list[StoredRecord]] = {partition: [] for partition in bounds}
    left = {partition for partition, held in bounds.items() if held.end > held.begin}
    starts = {TopicPartition(topic, partition): held.begin for partition, held in bounds.items()}
    async with asyncio.timeout(SECONDS), log.reader(starts) as reader:
        while left:
            if (batch := await reader.read(500, 1.0)) is not None:
                found[batch.partition.partition] += batch.records
                if batch.next_offset >= bounds[batch.partition.partition].end:
                    left.discard(batch.partition.partition)
    return found


async def patiently(append: Callable[[], Any]) -> Any:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await append()
            except LogUnavailable:
                await asyncio.sleep(0.1)


async def until(
    reader: Reader, is_enough: Callable[[list[Batch]], object], seconds: float = SECONDS
) -> list[Batch]:
    batches: list[Batch] = []
    async with asyncio.timeout(seconds):
        while not is_enough(batches):
            if (batch := await reader.read(500, 0.5)) is not None:
                batches.append(batch)
    return batches


def count(batches: list[Batch]) -> int:
    return sum(len(batch.records) for batch in batches)


class Owner:
    """An assignee that starts where it is told, and remembers what it was told."""

    def __init__(self, starts: Mapping[TopicPartition, int] | None = None) -> None:
        self.starts = dict(starts or {})
        self.owned: dict[TopicPartition, str] = {}
        self.told: list[tuple[str, TopicPartition, str]] = []
        self.trouble: list[Exception] = []

    async def assigned(self, partition: TopicPartition, log_id: str) -> int | None:
        if self.trouble:
            raise self.trouble.pop()
        self.owned[partition] = log_id
        self.told.append(("assigned", partition, log_id))
        return self.starts.get(partition)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self.told.append(("revoked", partition, self.owned.pop(partition)))


class TestAppend:
    async def test_records_stand_where_said_and_read_back_as_they_were(self, log: KafkaLog) -> None:
        sent = [
            record(1, "group-ä", note="naïve"),
            record(2, "raw \udcff", note="\udc80"),
            Record(GROUP, "g1", None, {}, BEGAN + 3),
            Record(GROUP, None, b"no key", {"empty": ""}, BEGAN + 4),
        ]
        positions = await log.append(sent)
        found = await whole(log)
        for position, written in zip(positions, sent, strict=True):
            assert StoredRecord(position.offset, written) in found[position.partition]

    async def test_order_per_key_holds_over_many_batches(self, log: KafkaLog) -> None:
        size = BATCH_BYTES // 10
        sent = [record(number, f"g{number % 5}", size) for number in range(100)]
        await log.append(sent)
        await log.append([record(number, f"g{number % 5}") for number in range(100, 200)])
        found = [stored for records in (await whole(log)).values() for stored in records]
        for key in range(5):
            of_key = [stored for stored in found if stored.record.key == f"g{key}"]
            assert numbers(of_key) == list(range(key, 200, 5))

    async def test_an_oversized_record_is_refused_before_it_is_sent(
        self, kafka: KafkaServer, prefix: str
    ) -> None:
        async with opened(kafka, prefix, body_bytes=1000) as log:
            with pytest.raises(RecordRefused, match="bytes"):
                await log.append([record(1), record(2, size=20_000)])
            await log.append([record(3)])
            assert numbers([found for held in (await whole(log)).values() for found in held]) == [3]

    async def test_what_the_broker_refuses_is_refused_and_the_next_append_works(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient
    ) -> None:
        await create(admin, prefix + GROUP, max_message_bytes="2000")
        await log.append([record(1)])
        with pytest.raises(RecordRefused, match="maximum"):
            await log.append([record(2, size=5000)])
        await log.append([record(3)])
        assert numbers([found for held in (await whole(log)).values() for found in held]) == [1, 3]

    async def test_nothing_overtakes_what_was_refused(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient
    ) -> None:
        """A later batch of the same partition would stand before what its caller is going to repeat."""
        await create(admin, prefix + GROUP, max_message_bytes=str(BATCH_BYTES + 50_000))
        size = BATCH_BYTES // 3
        chain = [record(1, size=2 * BATCH_BYTES), *(record(number, size=size) for number in range(2, 12))]
        with pytest.raises(RecordRefused):
            await log.append(chain)
        assert numbers([found for records in (await whole(log)).values() for found in records]) == []

    async def test_a_topic_nobody_knows_is_refused(self, log: KafkaLog) -> None:
        with pytest.raises(RecordRefused, match=r"no topic .*im\.other\.v1"):
            await log.append([Record("im.other.v1", "k", b"v", {}, 1)])

    async def test_a_compacted_topic_refuses_what_it_could_not_keep(
        self, kafka: KafkaServer, prefix: str
    ) -> None:
        async with opened(kafka, prefix, topics=(RULES_TOPIC,)) as log:
            with pytest.raises(RecordRefused, match="without a key"):
                await log.append([Record(RULES, None, b"v", {}, 1)])

    async def test_an_append_that_was_cancelled_leaves_the_log_working(self, log: KafkaLog) -> None:
        await log.ensure_topics()
        appending = asyncio.create_task(log.append([record(number) for number in range(1000)]))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        await log.append([record(2000)])
        (position,) = await log.append([record(2001)])
        assert numbers((await whole(log))[position.partition])[-2:] == [2000, 2001]

    async def test_a_key_has_the_partition_that_kafkas_own_clients_give_it(
        self, log: KafkaLog, kafka: KafkaServer, prefix: str
    ) -> None:
        await log.ensure_topics()
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as other:
            for key in ("g1", "g2", "ä", "a longer key than that"):
                theirs = await other.send_and_wait(prefix + GROUP, b"v", key=key.encode())
                assert (await log.append([record(1, key)]))[0].partition == theirs.partition


class TestIdentity:
    async def test_a_topic_made_anew_is_another_log(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient
    ) -> None:
        await log.ensure_topics()
        partition = TopicPartition(GROUP, 0)
        before = await log.log_id(partition)
        assert await log.log_id(TopicPartition(GROUP, 2)) == before
        assert before.startswith("kafka:")
        assert len(before.split(":")) == 3
        await recreate(admin, prefix + GROUP, 3)
        assert await log.log_id(partition) != before

    async def test_a_reader_does_not_read_on_in_a_topic_made_anew(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "_IDENTITY_SECONDS", 0.0)
        place = (await log.append([record(1)]))[0]
        async with log.reader({TopicPartition(GROUP, place.partition): 0}) as reader:
            await until(reader, count)
            await recreate(admin, prefix + GROUP, 3)
            await log.append([record(number) for number in range(5)])
            with pytest.raises(OffsetGone):
                await until(reader, lambda _: False)


class TestReading:
    async def test_bounds_and_times_are_those_of_the_broker(self, log: KafkaLog) -> None:
        positions = await log.append([record(number) for number in range(10)])
        partition = TopicPartition(GROUP, positions[0].partition)
        assert (await log.bounds(GROUP))[partition.partition] == Bounds(0, 10)
        assert await log.offset_at(partition, BEGAN + 4) == 4
        assert await log.offset_at(partition, 0) == 0
        assert await log.offset_at(partition, BEGAN + 60_000) == 10

    @pytest.mark.parametrize("offset", [0, 20])
    async def test_an_offset_that_is_not_held_is_said_with_what_is(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient, offset: int
    ) -> None:
        position = (await log.append([record(number) for number in range(10)]))[0]
        place = Place(prefix + GROUP, position.partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=4)})
        async with log.reader({TopicPartition(GROUP, position.partition): offset}) as reader:
            for _ in range(2):
                with pytest.raises(OffsetGone) as caught:
                    await until(reader, count)
                gone = caught.value
                assert (gone.topic, gone.offset, gone.begin, gone.end) == (GROUP, offset, 4, 10)

    async def test_a_small_read_leaves_the_rest_for_the_next(self, log: KafkaLog) -> None:
        position = (await log.append([record(number) for number in range(10)]))[0]
        seen: list[int] = []
        async with (
            asyncio.timeout(SECONDS),
            log.reader({TopicPartition(GROUP, position.partition): 2}) as reader,
        ):
            while len(seen) < 8:
                batch = await reader.read(3, 1.0)
                if batch is not None:
                    assert len(batch.records) <= 3
                    assert batch.next_offset == batch.records[-1].offset + 1
                    seen += numbers(batch.records)
            assert batch is not None
            assert (batch.next_offset, batch.end_offset) == (10, 10)
        assert seen == list(range(2, 10))

    async def test_offsets_that_hold_no_record_are_passed(
        self, log: KafkaLog, kafka: KafkaServer, prefix: str
    ) -> None:
        """The mark that ends a transaction takes an offset, like a record that compaction removed."""
        await log.ensure_topics()
        async with (
            AIOKafkaProducer(
                bootstrap_servers=kafka.bootstrap_servers,
                transactional_id=prefix,
                transaction_timeout_ms=5000,
            ) as other,
            other.transaction(),
        ):
            await other.send_and_wait(prefix + GROUP, b"v", partition=1)

        async def is_marked() -> bool:  # a moment after the commit
            return (await log.bounds(GROUP))[1] == Bounds(0, 2)

        await eventually(is_marked)
        async with log.reader({TopicPartition(GROUP, 1): 0}) as reader:
            batches = await until(reader, lambda batches: batches and batches[-1].next_offset == 2)
        assert count(batches) == 1

    async def test_a_reader_at_the_end_is_woken_by_an_append(self, log: KafkaLog) -> None:
        partition = (await log.append([record(1)]))[0].partition
        async with log.reader({TopicPartition(GROUP, partition): 1}) as reader:
            assert await reader.read(10, 0.1) is None
            reading = asyncio.create_task(reader.read(10, SECONDS))
            await log.append([record(2)])
            batch = await reading
        assert batch is not None
        assert numbers(batch.records) == [2]

    async def test_a_partition_that_does_not_exist_is_refused(self, log: KafkaLog) -> None:
        async with log.reader({TopicPartition(GROUP, 7): 0}) as reader:
            with pytest.raises(RecordRefused, match="partitions 0 to 2"):
                await reader.read(1, 0.1)
        with pytest.raises(RecordRefused):
            await log.offset_at(TopicPartition(GROUP, 7), 0)
        with pytest.raises(RecordRefused):
            await log.bounds("im.other.v1")


class TestTopics:
    async def test_missing_topics_are_created_once(self, kafka: KafkaServer, prefix: str) -> None:
        async with opened(kafka, prefix, topics=(GROUP_TOPIC, RULES_TOPIC)) as log:
            first = await log.ensure_topics()
            assert [(found.topic, found.kind) for found in first] == [(GROUP, "created"), (RULES, "created")]
            assert await log.ensure_topics() == ()
            report = await log.describe()
            assert report.findings == ()
            assert report.brokers == (kafka.bootstrap_servers,)
            assert len(report.topics[GROUP].partitions) == 3

    async def test_describing_creates_nothing(
        self, log: KafkaLog, admin: AIOKafkaAdminClient, prefix: str
    ) -> None:
        assert [found.kind for found in (await log.describe()).findings] == ["missing"]
        assert prefix + GROUP not in await admin.list_topics()

    async def test_a_topic_that_differs_is_said_and_left_alone(
        self, log: KafkaLog, admin: AIOKafkaAdminClient, prefix: str
    ) -> None:
        config = {"cleanup.policy": "compact", "max.message.bytes": "1000"}
        await admin.create_topics([NewTopic(prefix + GROUP, 5, 1, topic_configs=config)])
        said = [found.says for found in await log.ensure_topics()]
        assert len(said) == 3
        assert "5 partitions instead of 3" in said[0]
        assert "cleanup.policy=compact instead of delete" in said[1]
        assert "at most 1000 bytes a record instead of 8388608" in said[2]
        assert len((await log.describe()).topics[GROUP].partitions) == 5

    @pytest.mark.parametrize(
        ("partitions", "cleanup", "says"),
        [
            (2, "compact", "2 partitions instead of 1"),
            (1, "delete", "cleanup.policy=delete instead of compact"),
        ],
    )
    async def test_rules_are_refused_where_they_could_not_stand(
        self,
        kafka: KafkaServer,
        admin: AIOKafkaAdminClient,
        prefix: str,
        partitions: int,
        cleanup: str,
        says: str,
    ) -> None:
        config = {"cleanup.policy": cleanup}
        await admin.create_topics([NewTopic(prefix + RULES, partitions, 1, topic_configs=config)])
        async with opened(kafka, prefix, topics=(GROUP_TOPIC, RULES_TOPIC)) as log:
            with pytest.raises(ConfigurationError, match=says):
                await log.ensure_topics()
            with pytest.raises(RecordRefused, match=says):
                await log.append([Record(RULES, "rule/a/1", b"{}", {}, 1)])
            with pytest.raises(RecordRefused, match=says):
                await log.reader({TopicPartition(RULES, 0): 0}).read(1, 0.1)
            await log.append([record(1)])

    async def test_a_wish_the_cluster_cannot_grant_is_said(self, kafka: KafkaServer, prefix: str) -> None:
        async with opened(kafka, prefix, replication_factor=3) as log:
            (found,) = await log.ensure_topics()
            assert found.kind == "missing"
            assert "replication" in found.says.lower()
            with pytest.raises(LogUnavailable, match="could not be created"):
                await log.append([record(1)])


class TestSubscription:
    async def test_every_partition_is_claimed_before_it_is_read(self, log: KafkaLog) -> None:
        positions = await log.append([record(number, f"g{number}") for number in range(30)])
        begin = {TopicPartition(GROUP, partition): 2 for partition in range(3)}
        owner = Owner(begin)
        expected = sum(position.offset >= 2 for position in positions)
        async with log.subscribe([GROUP], "reading", owner) as subscription:
            batches = await until(subscription, lambda batches: count(batches) >= expected)
        assert {place for place, _ in owner.owned.items()} == set()
        assert [what for what, _, _ in owner.told] == ["assigned"] * 3 + ["revoked"] * 3
        assert {log_id for _, _, log_id in owner.told} == {await log.log_id(TopicPartition(GROUP, 0))}
        assert min(found.offset for batch in batches for found in batch.records) == 2

    async def test_committed_offsets_are_a_courtesy_and_never_the_truth(self, log: KafkaLog) -> None:
        partition = TopicPartition(GROUP, (await log.append([record(n) for n in range(10)]))[0].partition)
        async with log.subscribe([GROUP], "courtesy", Owner()) as subscription:
            await until(subscription, lambda batches: count(batches) == 10)
            await subscription.note(partition, 3)
            await subscription.note(partition, 10)
            (group,) = await log.groups_of(GROUP)
            assert (group.state, group.members) == ("Stable", 1)
        (group,) = await log.groups_of(GROUP)
        assert group.group.endswith("imbridge.courtesy")
        assert group.members == 0
        assert group.committed == {partition.partition: 10}
        async with log.subscribe([GROUP], "courtesy", Owner({partition: 4})) as subscription:
            batches = await until(subscription, lambda batches: count(batches) >= 6)
        assert numbers([found for batch in batches for found in batch.records]) == list(range(4, 10))

    async def test_members_of_a_group_share_the_partitions(self, kafka: KafkaServer, prefix: str) -> None:
        one, two = Owner(), Owner()
        async with opened(kafka, prefix) as log, opened(kafka, prefix) as other:
            first = log.subscribe([GROUP], "shared", one)
            async with first:
                await until(first, lambda _: len(one.owned) == 3)
                async with other.subscribe([GROUP], "shared", two) as second:
                    await both(first, second, lambda: bool(one.owned and two.owned))
                    assert len(one.owned) + len(two.owned) == 3
                    assert not one.owned.keys() & two.owned.keys()
                await until(first, lambda _: len(one.owned) == 3)

    async def test_what_the_assignee_raises_reaches_the_reader_and_is_tried_again(
        self, log: KafkaLog
    ) -> None:
        await log.append([record(1)])
        owner = Owner()
        owner.trouble = [StoreUnavailable("the database is away")]
        async with log.subscribe([GROUP], "troubled", owner) as subscription:
            with pytest.raises(StoreUnavailable):
                await until(subscription, count)
            assert count(await until(subscription, count)) == 1

    async def test_a_topic_made_anew_is_claimed_under_its_new_identity(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_module, "_IDENTITY_SECONDS", 0.2)
        monkeypatch.setitem(pull._FETCHING, "metadata_max_age_ms", 500)
        await log.append([record(number) for number in range(10)])
        owner = Owner()
        async with log.subscribe([GROUP], "recreated", owner) as subscription:
            await until(subscription, lambda batches: count(batches) == 10)
            before = set(owner.owned.values())
            await recreate(admin, prefix + GROUP, 3)
            await log.append([record(number) for number in range(100, 103)])
            batches = await until(subscription, lambda batches: count(batches) >= 3)
            assert not before & set(owner.owned.values())
        assert numbers([found for batch in batches for found in batch.records]) == [100, 101, 102]

    async def test_an_offset_that_is_gone_is_an_incident(
        self, log: KafkaLog, prefix: str, admin: AIOKafkaAdminClient
    ) -> None:
        partition = (await log.append([record(number) for number in range(10)]))[0].partition
        await admin.delete_records({Place(prefix + GROUP, partition): RecordsToDelete(before_offset=5)})
        async with log.subscribe(
            [GROUP], "late", Owner({TopicPartition(GROUP, partition): 2})
        ) as subscription:
            with pytest.raises(OffsetGone, match=r"holds offsets 5 to 10, asked for 2"):
                await until(subscription, count)


async def both(first: Reader, second: Reader, is_enough: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_enough():
            await asyncio.gather(first.read(100, 0.2), second.read(100, 0.2))


class TestOutage:
    async def test_a_broker_absent_at_start_is_awaited(self, absent_kafka: KafkaServer) -> None:
        async with opened(absent_kafka) as log:
            for ask in (log.ensure_topics, lambda: log.append([record(1)]), lambda: log.bounds(GROUP)):
                with pytest.raises(LogUnavailable, match=absent_kafka.bootstrap_servers):
                    await ask()
            async with log.reader({TopicPartition(GROUP, 0): 0}) as reader:
                with pytest.raises(LogUnavailable):
                    await reader.read(1, 0.1)
            await asyncio.to_thread(absent_kafka.start)
            await patiently(lambda: log.append([record(2)]))
            assert [numbers(held) for held in (await whole(log)).values() if held] == [[2]]

    async def test_reading_and_appending_go_on_when_the_broker_is_back(self, own_kafka: KafkaServer) -> None:
        owner = Owner()
        async with opened(own_kafka, request_seconds=2.0, append_seconds=4.0, session_seconds=6.0) as log:
            with capture_logs() as said:
                async with log.subscribe([GROUP], "steady", owner) as subscription:
                    await patiently(lambda: log.append([record(1)]))
                    await until(subscription, count)
                    await asyncio.to_thread(own_kafka.stop)
                    for _ in range(3):
                        with pytest.raises(LogUnavailable):
                            await log.append([record(2)])
                        assert await quietly(subscription) is None
                    await asyncio.to_thread(own_kafka.start)
                    await patiently(lambda: log.append([record(3)]))
                    seen = await until(subscription, lambda batches: 3 in flat(batches))
            assert set(flat(seen)) <= {1, 2, 3}
            changes = [entry["event"] for entry in said if entry["event"].startswith("kafka.")]
            assert changes == ["kafka.lost", "kafka.found"]

    async def test_closing_does_not_wait_for_a_broker_that_is_gone(self, own_kafka: KafkaServer) -> None:
        async with opened(own_kafka, request_seconds=2.0) as log:
            await log.append([record(1)])
            await asyncio.to_thread(own_kafka.stop)
            appending = asyncio.create_task(log.append([record(2)]))
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                appending.cancel()
                with pytest.raises((asyncio.CancelledError, LogUnavailable)):
                    await appending
                await log.close()


def flat(batches: list[Batch]) -> list[int]:
    return [number for batch in batches for number in numbers(batch.records)]


async def quietly(reader: Reader) -> Batch | None:
    try:
        return await reader.read(10, 0.2)
    except LogUnavailable:
        return None


class TestSasl:
    async def test_a_client_that_logs_in_is_served(self, sasl_kafka: KafkaServer, prefix: str) -> None:
        async with opened(sasl_kafka, prefix) as log:
            await log.append([record(1)])
            async with log.subscribe([GROUP], "sasl", Owner()) as subscription:
                assert flat(await until(subscription, count)) == [1]

    async def test_a_wrong_password_is_said_and_not_shown(self, sasl_kafka: KafkaServer, prefix: str) -> None:
        async with opened(sasl_kafka, prefix, sasl_password="wrong-secret") as log:
            with pytest.raises(LogUnavailable) as caught:
                await log.append([record(1)])
        assert "wrong-secret" not in str(caught.value)
        assert "reach" in str(caught.value) or "check" in str(caught.value)


async def test_the_driver_reads_what_we_write(kafka: KafkaServer, log: KafkaLog, prefix: str) -> None:
    """Other teams read the topics with any client."""
    await log.append([record(1)])
    consumer = AIOKafkaConsumer(
        prefix + GROUP, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    async with asyncio.timeout(SECONDS), consumer:
        message = await consumer.getone()
    assert (message.key, dict(message.headers)) == (b"g1", {"ce_id": b"1"})
