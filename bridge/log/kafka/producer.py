"""One idempotent producer, from its start to its first failure.

A batch that failed has spent its sequence numbers, and aiokafka gives them to nothing else: whoever goes on
with the same producer has its next batches refused (or, worse, accepted before what failed). So a producer
that failed is thrown away, and of one partition never more than one batch is under way.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count, islice
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from bridge.errors import LogUnavailable
from bridge.log.base import Position, Record
from bridge.log.kafka.connection import Connection
from bridge.log.kafka.errors import DRIVER_ERRORS, translate
from bridge.log.kafka.records import header_bytes, key_bytes

BATCH_BYTES: Final = 512 * 1024
_CLOSE_SECONDS: Final = 1.0


class _Chain:
    """The records of one append that go to one partition, in order, with their places in the append."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.records: list[Record] = []
        self.places: list[int] = []


class Producer:
    """Appends with acks=all; the first error it raises is its last. ``prefix`` is that of topics on Kafka."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._name = connection.name
        self._prefix = prefix
        self._unkeyed = count()
        self._driver = AIOKafkaProducer(
            **connection.options(), enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES
        )

    async def start(self) -> None:
        """Connect and obtain a producer id; that is tried for as long as the caller waits."""
        await self._driver.start()

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Make the records durable, in order per partition, and return where each stands.

        Every partition is tried, then the most telling error is raised: LogUnavailable before RecordRefused.
        """
        positions: dict[int, Position] = {}
        chains = await self._by_partition(records)
        sent = [self._send_in_turn(chain, positions) for chain in chains]
        errors = [error for error in await asyncio.gather(*sent, return_exceptions=True) if error is not None]
        if errors:
            raise self._worst(errors)
        return [positions[place] for place in range(len(records))]

    async def close(self) -> None:
        """Close without waiting for what is under way: nobody counts on it."""
        driver = self._driver
        driver._closed = True  # noqa: SLF001 stop() would wait for batches that may never be taken
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await driver._sender.close()  # noqa: SLF001
        with suppress(*DRIVER_ERRORS):
            await driver.client.close()

    async def _by_partition(self, records: Sequence[Record]) -> Collection[_Chain]:
        topics = {record.topic for record in records}
        counts = {topic: len(await self._driver.partitions_for(self._prefix + topic)) for topic in topics}
        chains: dict[tuple[str, int], _Chain] = {}
        for place, record in enumerate(records):
            topic, key = record.topic, record.key
            hashed = next(self._unkeyed) if key is None else _hash(key)
            partition = hashed % counts[topic]
            chain = chains.get((topic, partition))
            if chain is None:
                chain = chains[topic, partition] = _Chain(topic, partition)
            chain.records.append(record)
            chain.places.append(place)
        return chains.values()

    async def _send_in_turn(self, chain: _Chain, positions: dict[int, Position]) -> None:
        """Send one partition's records batch after batch; a batch goes only when all before it stand."""
        name, partition, sent = self._prefix + chain.topic, chain.partition, 0
        while sent < len(chain.records):
            batch = self._driver.create_batch()
            stop = sent + _fill(batch, chain.records, sent)
            batch.close()
            done = await (await self._driver.send_batch(batch, name, partition=partition))
            for place, offset in zip(chain.places[sent:stop], count(done.offset)):
                positions[place] = Position(chain.topic, partition, offset)
            sent = stop

    def _worst(self, errors: list[BaseException]) -> BaseException:
        ours = [error for error in errors if not isinstance(error, DRIVER_ERRORS)]
        if ours:
            return ours[0]
        translated = [
            (translate(error, f"cannot append to Kafka at {self._name}"), error) for error in errors
        ]
        telling, cause = next(
            (pair for pair in translated if isinstance(pair[0], LogUnavailable)), translated[0]
        )
        telling.__cause__ = cause
        return telling


def _fill(batch: Any, records: Sequence[Record], start: int) -> int:
    """Put records into the batch until it is full; return how many. An empty one takes any size."""
    put = batch.append
    for taken, (_, key, value, headers, timestamp) in enumerate(islice(records, start, None)):
        encoded = header_bytes(headers)
        if put(timestamp=timestamp, key=key_bytes(key), value=value, headers=encoded) is None:
            return taken
    return len(records) - start


@lru_cache(maxsize=65_536)
def _hash(key: str) -> int:
    """Hash as Kafka's own clients do, so that a key has one partition whoever writes it."""
    hashed: int = murmur2(key_bytes(key))
    return hashed & 0x7FFFFFFF
