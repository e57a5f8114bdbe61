"""What stands on a topic and in the tables, seen without the product: by its own clients."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import Connection, create_engine, inspect, select

from consumers.store.tables import CHECKPOINTS, MEMBERS, METADATA
from tests.parts import KafkaServer


class Event(NamedTuple):
    """One record of a Kafka topic."""

    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    data: dict[str, Any]

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers["ce_id"]

    @property
    def users(self) -> list[str]:
        """The members it names."""
        return [member["user_id"] for member in self.data.get("members", ())]


def on_kafka(server: KafkaServer, topic: str) -> list[Event]:
    """Return every record of the topic up to its present end, in order per partition."""
    return asyncio.run(_on_kafka(server, topic))


async def _on_kafka(server: KafkaServer, topic: str) -> list[Event]:
    security = {
        name.replace("sasl_username", "sasl_plain_username").replace(
            "sasl_password", "sasl_plain_password"
        ): text
        for name, text in server.security.items()
    }
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server.bootstrap_servers, auto_offset_reset="earliest", **security
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in await _partitions(consumer, topic)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[Event] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += map(_event, records)
        return found
    finally:
        await consumer.stop()


async def _partitions(consumer: Any, topic: str) -> Sequence[int]:
    async with asyncio.timeout(20):
        while not (found := consumer.partitions_for_topic(topic)):
            await consumer._client.force_metadata_update()
            consumer._client.add_topic(topic)
    return sorted(found)


def _event(record: Any) -> Event:
    headers = {name: value.decode() for name, value in record.headers}
    return Event(record.partition, record.offset, record.key.decode(), headers, orjson.loads(record.value))


def firsts(users: Sequence[str]) -> list[str]:
    """Return each of them at its first occurrence."""
    return list(dict.fromkeys(users))


def tables(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what every table but the checkpoints holds, in one order; nothing while there is none."""
    with _connected(url) as connection:
        standing = inspect(connection).get_table_names()
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in METADATA.sorted_tables
            if table.name != CHECKPOINTS.name and table.name in standing
        }


def checkpoints(url: str) -> dict[tuple[str, str, int], int]:
    """Return the next offsets of every consumer, by consumer, topic and partition; none without a table."""
    with _connected(url) as connection:
        if not inspect(connection).has_table(CHECKPOINTS.name):
            return {}
        held = CHECKPOINTS.c
        rows = connection.execute(select(held.consumer, held.topic, held.partition, held.next_offset))
        return {(row[0], row[1], row[2]): row[3] or 0 for row in rows}


def ends_on_kafka(server: KafkaServer, prefix: str, topics: Collection[str]) -> dict[tuple[str, int], int]:
    """Return where each partition of these topics ends now, those that hold nothing left out."""
    return asyncio.run(_ends_on_kafka(server, prefix, topics))


async def _ends_on_kafka(
    server: KafkaServer, prefix: str, topics: Collection[str]
) -> dict[tuple[str, int], int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=server.bootstrap_servers)
    await consumer.start()
    try:
        places = [
            TopicPartition(prefix + topic, number)
            for topic in topics
            for number in await _partitions(consumer, prefix + topic)
        ]
        ends = await consumer.end_offsets(places)
        return {
            (place.topic.removeprefix(prefix), place.partition): end for place, end in ends.items() if end
        }
    finally:
        await consumer.stop()


def checkpoint_logs(url: str) -> set[str]:
    """Return the identities of the logs that checkpoints are kept for."""
    with _connected(url) as connection:
        return set(connection.scalars(select(CHECKPOINTS.c.log_id)))


def members(url: str) -> set[str]:
    """Return every user the table of members holds."""
    return {row[3] for row in tables(url).get(MEMBERS.name, ())}


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
