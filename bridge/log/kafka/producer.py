"""One idempotent producer, from its start to its first failure.

A batch that failed has spent its sequence numbers, and aiokafka gives them to nothing else: whoever goes on
with the same producer has its next batches refused (or, worse, accepted before what failed). So a producer
that failed is thrown away, and of one partition never more than one batch is under way.
"""

import asyncio
from collections.abc import Sequence
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
        self.stand = 0  # how many of them stand in Kafka

    @property
    def is_left(self) -> bool:
        """Whether records are left to send."""
        return self.stand < len(self.records)


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

        In rounds: one batch a partition, all sent at once, the next ones when these stand. Every partition is
        tried, then the most telling error is raised: LogUnavailable before RecordRefused.
        """
        positions: dict[int, Position] = {}
        errors: list[BaseException] = []
        chains = await self._by_partition(records)
        while chains:
            answers = await self._send_round(chains, positions)
            errors += [error for error in answers if error is not None]
            chains = [
                chain for chain, error in zip(chains, answers, strict=True) if error is None and chain.is_left
            ]
        if errors:
            raise self._worst(errors)
        return [positions[place] for place in range(len(records))]

    async def _send_round(
        self, chains: Sequence[_Chain], positions: dict[int, Position]
    ) -> Sequence[BaseException | None]:
        """Send the next batch of each chain; return what came of each."""
        batches = []
        for chain in chains:
            batches.append(self._next_batch(chain))
            await asyncio.sleep(0)  # whoever else runs in this loop gets a turn between two batches
        sent = [self._send(*pair, positions) for pair in zip(chains, batches, strict=True)]
        return await asyncio.gather(*sent, return_exceptions=True)

    async def close(self) -> None:
        """Close without waiting for what is under way: nobody counts on it."""
        driver = self._driver
        driver._closed = True  # noqa: SLF001 stop() would wait for batches that may never be taken
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await driver._sender.close()  # noqa: SLF001
        with suppress(*DRIVER_ERRORS):
            await driver.client.close()

    async def _by_partition(self, records: Sequence[Record]) -> list[_Chain]:
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
        return [*chains.values()]

    def _next_batch(self, chain: _Chain) -> Any:
        """Return as many of the chain's next records as a batch takes; of any size if it is one record."""
        batch = self._driver.create_batch()
        for _, key, value, headers, timestamp in islice(chain.records, chain.stand, None):
            named = header_bytes(headers)
            if batch.append(timestamp=timestamp, key=key_bytes(key), value=value, headers=named) is None:
                break
        batch.close()
        return batch

    async def _send(self, chain: _Chain, batch: Any, positions: dict[int, Position]) -> None:
        name, count = self._prefix + chain.topic, batch.record_count()
        done = await (await self._driver.send_batch(batch, name, partition=chain.partition))
        stop = chain.stand + count
        for offset, place in enumerate(chain.places[chain.stand : stop], done.offset):
            positions[place] = Position(chain.topic, chain.partition, offset)
        chain.stand = stop

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


@lru_cache(maxsize=65_536)
def _hash(key: str) -> int:
    """Hash as Kafka's own clients do, so that a key has one partition whoever writes it."""
    hashed: int = murmur2(key_bytes(key))
    return hashed & 0x7FFFFFFF
