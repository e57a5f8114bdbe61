"""One idempotent producer, from its start to its first failure.

A batch that failed has spent its sequence numbers, and aiokafka gives them to nothing else: whoever goes on
with the same producer has its next batches refused (or, worse, accepted before what failed). So a producer
that failed is thrown away, and of one partition never more than one batch is under way.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from bridge.errors import LogUnavailable
from bridge.log.base import Position, Record
from bridge.log.kafka.connection import Connection
from bridge.log.kafka.errors import DRIVER_ERRORS, translate
from bridge.log.kafka.records import header_bytes, key_bytes

BATCH_BYTES: Final = 512 * 1024
_CLOSE_SECONDS: Final = 5.0

Numbered = list[tuple[int, Record]]


class Producer:
    """Appends with acks=all; the first error it raises is its last. ``names`` are the topics on Kafka."""

    def __init__(self, connection: Connection) -> None:
        self._name = connection.name
        self._unkeyed = count()
        self._driver = AIOKafkaProducer(
            **connection.options(), enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES
        )

    async def start(self) -> None:
        """Connect and obtain a producer id; that is tried for as long as the caller waits."""
        await self._driver.start()

    async def append(self, records: Sequence[Record], names: Sequence[str]) -> list[Position]:
        """Make the records durable, each in the topic named beside it, in order per partition.

        Every partition is tried, then the most telling error is raised: LogUnavailable before RecordRefused.
        """
        chains = await self._by_partition(records, names)
        offsets: dict[int, int] = {}
        sent = [self._send_in_turn(*place, chain, offsets) for place, chain in chains.items()]
        errors = [error for error in await asyncio.gather(*sent, return_exceptions=True) if error is not None]
        if errors:
            raise self._worst(errors)
        partitions = {index: place[1] for place, chain in chains.items() for index, _ in chain}
        return [Position(record.topic, partitions[i], offsets[i]) for i, record in enumerate(records)]

    async def close(self) -> None:
        """Close without waiting for what is under way: nobody counts on it."""
        driver = self._driver
        driver._closed = True  # noqa: SLF001 stop() would wait for batches that may never be taken
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await driver._sender.close()  # noqa: SLF001
        with suppress(*DRIVER_ERRORS):
            await driver.client.close()

    async def _by_partition(
        self, records: Sequence[Record], names: Sequence[str]
    ) -> dict[tuple[str, int], Numbered]:
        counts = {name: len(await self._driver.partitions_for(name)) for name in set(names)}
        chains: dict[tuple[str, int], Numbered] = defaultdict(list)
        for index, (record, name) in enumerate(zip(records, names, strict=True)):
            hashed = next(self._unkeyed) if record.key is None else _hash(record.key)
            chains[name, hashed % counts[name]].append((index, record))
        return chains

    async def _send_in_turn(
        self, name: str, partition: int, chain: Numbered, offsets: dict[int, int]
    ) -> None:
        """Send one partition's records batch after batch; a batch goes only when all before it stand."""
        sent = 0
        while sent < len(chain):
            batch = self._driver.create_batch()
            taken = sent
            while taken < len(chain) and _put(batch, chain[taken][1]):
                taken += 1
            batch.close()
            done = await (await self._driver.send_batch(batch, name, partition=partition))
            for place, (index, _) in enumerate(chain[sent:taken]):
                offsets[index] = done.offset + place
            sent = taken

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


def _put(batch: Any, record: Record) -> bool:
    """Put the record into the batch; false when it is full. An empty batch takes a record of any size."""
    put = batch.append(
        timestamp=record.timestamp,
        key=key_bytes(record.key),
        value=record.value,
        headers=header_bytes(record),
    )
    return put is not None


@lru_cache(maxsize=65_536)
def _hash(key: str) -> int:
    """Hash as Kafka's own clients do, so that a key has one partition whoever writes it."""
    hashed: int = murmur2(key_bytes(key))
    return hashed & 0x7FFFFFFF
