"""KafkaLog: the Log protocol over a Kafka cluster."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Unpack
from weakref import WeakSet

from bridge.errors import ConfigurationError, LogError, LogUnavailable, RecordRefused
from bridge.log.base import Assignee, Bounds, Position, Record, TopicPartition
from bridge.log.kafka.cluster import EARLIEST, LATEST, Cluster
from bridge.log.kafka.connection import Access, Connection
from bridge.log.kafka.errors import translated
from bridge.log.kafka.groups import GroupReading
from bridge.log.kafka.membership import MemberBook, Seat
from bridge.log.kafka.producer import Producer
from bridge.log.kafka.pull import Pull
from bridge.log.kafka.reader import KafkaReader
from bridge.log.kafka.records import size_of
from bridge.log.kafka.state import TopicState
from bridge.log.kafka.subscription import KafkaSubscription
from bridge.log.kafka.topics import ClusterReport, Finding, TopicKeeper
from bridge.telemetry import logger
from schemas.topics import TOPICS, Topic, max_message_bytes

_log = logger("kafka")
_BATCH_OVERHEAD: Final = 1024


class KafkaLog:
    """Topics of a Kafka cluster as a log. Nothing is connected before it is needed.

    Topics are named here without ``topic_prefix``; groups are prefix, ``imbridge.`` and name there.
    Missing topics are created before the first use. An append that is not taken within ``append_seconds``
    raises LogUnavailable. ``body_bytes`` is the ingress' body cap: a record of more than eight times that is
    refused here, since a broker may drop the connection over it. With ``members`` a process that was killed
    is taken out of its groups by its successor. Everything runs in the loop of first use.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        topic_prefix: str = "",
        replication_factor: int | None = None,
        body_bytes: int = 1024 * 1024,
        members: MemberBook | None = None,
        topics: Iterable[Topic] = tuple(TOPICS.values()),
        append_seconds: float = 15.0,
        session_seconds: float = 10.0,
        **access: Unpack[Access],
    ) -> None:
        self._connection = Connection(bootstrap_servers, **access)
        self._prefix = topic_prefix
        self._topics = {topic.name: topic for topic in topics}
        self._body_bytes = body_bytes
        self._suspicious_bytes = 4 * body_bytes  # of lesser values the exact size need not be known
        self._append_seconds = append_seconds
        self._group_options = {
            "session_timeout_ms": round(session_seconds * 1000),
            "heartbeat_interval_ms": round(session_seconds * 100),
        }
        self._members = members
        self._cluster = Cluster(self._connection)
        self._keeper = TopicKeeper(
            self._cluster,
            self._topics.values(),
            prefix=topic_prefix,
            replicas=replication_factor,
            body_bytes=body_bytes,
        )
        self._said: set[Finding] = set()
        self._standing: set[str] = set()
        self._unfit: dict[str, str] = {}
        self._appending = asyncio.Lock()
        self._closed = False
        self._producer: Producer | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._open: WeakSet[KafkaReader | KafkaSubscription] = WeakSet()

    async def ensure_topics(self) -> Sequence[Finding]:
        """Create the missing topics and return what was found, each thing said in the log too.

        Raises LogUnavailable, and ConfigurationError where the rules could not stand in their topic.
        """
        findings = await self._ensure()
        if self._unfit:
            raise ConfigurationError("; ".join(self._unfit.values()))
        return findings

    async def describe(self) -> ClusterReport:
        """Return brokers, topics and findings, and create nothing. Raises LogUnavailable."""
        return await self._keeper.look(create=False)

    async def groups_of(self, topic: str) -> Sequence[GroupReading]:
        """Return the consumer groups, ours and others', that read the topic. Raises LogUnavailable."""
        return await self._cluster.groups_of(self._prefix + topic)

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Make the records durable on all replicas in sync and return where each stands.

        In order per partition, also through repeats after an error. Raises LogUnavailable (some may have
        been appended), RecordRefused (too large, no such topic; with several records, halve to find which).
        """
        if not records:
            return []
        if self._closed:
            raise LogUnavailable("the log is closed")
        self._check(records)
        doing = f"Kafka at {self._connection.name} did not take {len(records)} records"
        async with self._appending:
            try:
                with translated(doing):
                    async with asyncio.timeout(self._append_seconds):
                        positions = await self._append(records)
            except BaseException as error:
                self._retire()
                if isinstance(error, LogUnavailable):
                    self._standing.clear()
                    self._connection.lost(error, "append")
                raise
        self._connection.found("append")
        return positions

    async def bounds(self, topic: str) -> Mapping[int, Bounds]:
        """Return what each partition of the topic holds now, made if it is ours and missing.

        Raises LogUnavailable, RecordRefused (unfit, or none of ours and missing).
        """
        if topic in self._topics:
            await self.ready([topic])
        held = await self._held(topic)
        places = [TopicPartition(held.name, number) for number in sorted(held.partitions)]
        begins = await self._cluster.offsets(dict.fromkeys(places, EARLIEST))
        ends = await self._cluster.offsets(dict.fromkeys(places, LATEST))
        return {place.partition: Bounds(begins[place], ends[place]) for place in places}

    async def log_id(self, partition: TopicPartition) -> str:
        """Return ``kafka:{cluster id}:{topic id}``. Raises LogUnavailable, RecordRefused."""
        return (await self.log_ids([partition.topic]))[partition.topic]

    async def log_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return the identity of each topic, asked now. Raises LogUnavailable, RecordRefused."""
        state = await self._cluster.state([self._prefix + topic for topic in topics])
        ids = {}
        for topic in topics:
            held = state.topics.get(self._prefix + topic)
            if held is None:
                raise self._unknown(topic)
            if not state.cluster_id or not held.topic_id:
                raise LogUnavailable(
                    f"Kafka at {self._connection.name} gives no topic ids: 3.1 or newer is needed"
                )
            ids[topic] = f"kafka:{state.cluster_id}:{held.topic_id}"
        return ids

    async def offset_at(self, partition: TopicPartition, timestamp: int) -> int:
        """Return the first offset with a timestamp at or after ``timestamp`` (ms), else the end."""
        held = await self._held(partition.topic)
        if partition.partition not in held.partitions:
            raise RecordRefused(
                f"{held.name} has {len(held.partitions)} partitions, not number {partition.partition}"
            )
        place = TopicPartition(held.name, partition.partition)
        offset = (await self._cluster.offsets({place: max(timestamp, 0)}))[place]
        return offset if offset >= 0 else (await self._cluster.offsets({place: LATEST}))[place]

    def reader(self, starts: Mapping[TopicPartition, int]) -> KafkaReader:
        """Return a reader from the given next offsets, in no group."""
        reader = KafkaReader(self, self._pull, starts)
        self._open.add(reader)
        return reader

    def subscribe(self, topics: Sequence[str], group: str, assignee: Assignee) -> KafkaSubscription:
        """Enter to read the partitions of ``topics`` that this member of ``group`` is assigned."""
        name = f"{self._prefix}imbridge.{group}"
        options = {"group_id": name, **self._group_options}
        seat = Seat(name, self._members, self._cluster)
        subscription = KafkaSubscription(self, lambda: self._pull(**options), topics, assignee, seat)
        self._open.add(subscription)
        return subscription

    async def ready(self, topics: Collection[str]) -> None:
        """Make sure the topics exist, once, and are fit. Raises LogUnavailable, RecordRefused."""
        if missing := [topic for topic in topics if topic not in self._standing]:
            await self._ensure()
            for topic in set(missing) - self._standing:
                await self._held(topic)
                self._standing.add(topic)
        for topic in topics:
            if topic in self._unfit:
                raise RecordRefused(self._unfit[topic])

    async def close(self) -> None:
        """Close every connection, those of readers too; reads and appends under way fail."""
        self._closed = True
        await asyncio.gather(*(reader.close() for reader in tuple(self._open)))
        self._retire()
        if self._closing:
            await asyncio.wait(self._closing)
        await self._cluster.close()
        if self._members is not None:
            self._members.close()

    async def _ensure(self) -> Sequence[Finding]:
        report = await self._keeper.look(create=True)
        self._unfit = {found.topic: found.says for found in report.findings if found.kind == "unfit"}
        absent = {found.topic: found.says for found in report.findings if found.kind == "missing"}
        self._standing = set(self._topics) - set(absent)
        for found in set(report.findings) - self._said:
            say = _log.info if found.kind == "created" else _log.warning
            say(f"topic.{found.kind}", topic=found.topic, reason=found.says)
        self._said = set(report.findings)
        return report.findings

    async def _append(self, records: Sequence[Record]) -> Sequence[Position]:
        await self.ready({record.topic for record in records})
        if self._producer is None:
            self._producer = Producer(self._connection, self._prefix)
            await self._producer.start()
        return await self._producer.append(records)

    def _check(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.key is None or len(record.value or b"") > self._suspicious_bytes:
                self._check_one(record)

    def _check_one(self, record: Record) -> None:
        limit = max_message_bytes(record.topic, self._body_bytes) + _BATCH_OVERHEAD
        if (size := size_of(record)) > limit:
            raise RecordRefused(
                f"a record for {record.topic} of {size} bytes; {limit} is the most that is sent"
            )
        topic = self._topics.get(record.topic)
        if record.key is None and topic is not None and "compact" in topic.cleanup:
            raise RecordRefused(f"a record without a key cannot stand in {record.topic}, which is compacted")
        if record.key is None and record.value is None:
            raise RecordRefused(f"a record for {record.topic} has neither key nor value")

    async def _held(self, topic: str) -> TopicState:
        name = self._prefix + topic
        held = (await self._cluster.state([name])).topics.get(name)
        if held is None:
            raise self._unknown(topic)
        return held

    def _unknown(self, topic: str) -> LogError:
        says = f"there is no topic {self._prefix}{topic} on Kafka at {self._connection.name}"
        if topic in self._topics:  # it should stand, and may soon: no record is refused for that
            return LogUnavailable(f"{says}, and it could not be created: see `imbridge doctor`")
        return RecordRefused(f"{says}; topics of ours are {', '.join(self._topics)}")

    def _pull(self, **options: Any) -> Pull:
        return Pull(self._connection, self._prefix, **options)

    def _retire(self) -> None:
        """Throw the producer away, closing it behind our back; the next append makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(producer.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
