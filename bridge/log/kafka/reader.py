"""Reading partitions in no group, from offsets the caller names."""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Final, Protocol, Self

from bridge.errors import LogUnavailable, OffsetGone, RecordRefused
from bridge.log.base import Batch, Bounds, TopicPartition
from bridge.log.kafka.pull import Gone, Pull

_IDENTITY_SECONDS: Final = 5.0


class Asked(Protocol):
    """What readers ask of the log they belong to."""

    async def ready(self, topics: Collection[str]) -> None:
        """Make sure the topics exist and are fit. Raises LogUnavailable, RecordRefused."""

    async def log_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return the identity of each topic. Raises LogUnavailable, RecordRefused."""

    async def bounds(self, topic: str) -> Mapping[int, Bounds]:
        """Return what each partition holds. Raises LogUnavailable, RecordRefused."""


class Identities:
    """Notices topics that were deleted and made anew: the driver reads on as if nothing had happened."""

    def __init__(self, log: Asked) -> None:
        self._log = log
        self._looked = time.monotonic()

    async def changed(self, known: Mapping[str, str], *, now: bool = False) -> set[str]:
        """Return the topics that are no longer what ``known`` says; looks every few seconds, or now."""
        if not known or (not now and time.monotonic() - self._looked < _IDENTITY_SECONDS):
            return set()
        self._looked = time.monotonic()
        with suppress(LogUnavailable, RecordRefused):  # gone or out of reach is not made anew
            ids = await self._log.log_ids(known.keys())
            return {topic for topic, log_id in ids.items() if known[topic] != log_id}
        return set()


async def offset_gone(log: Asked, partition: TopicPartition, offset: int) -> OffsetGone:
    """Return the error that says what the partition holds instead."""
    held = (await log.bounds(partition.topic)).get(partition.partition, Bounds(0, 0))
    return OffsetGone(partition.topic, partition.partition, offset, held.begin, held.end)


class KafkaReader:
    """Reads the given partitions in order. It connects when first read, and anew after a failure."""

    def __init__(self, log: Asked, make: Callable[[], Pull], starts: Mapping[TopicPartition, int]) -> None:
        self._log = log
        self._make = make
        self._next = dict(starts)
        self._topics = {partition.topic for partition in starts}
        self._ids: Mapping[str, str] = {}
        self._identities = Identities(log)
        self._pull: Pull | None = None
        self._closed = False

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch of any partition, or None when ``timeout`` seconds pass without one.

        Raises OffsetGone (also when the topic was made anew), LogUnavailable, LogCorrupt, RecordRefused
        (no such partition).
        """
        if self._closed:
            raise LogUnavailable("the reader is closed")
        pull = self._pull or await self._connect()
        await self._check_identity()
        try:
            batch = await pull.take(max_records, timeout)
        except Gone as gone:
            place, offset = next(iter(gone.offsets.items()))
            raise await offset_gone(self._log, pull.partition(place), offset) from gone
        except LogUnavailable:
            await self._disconnect()
            raise
        if batch is not None:
            self._next[batch.partition] = batch.next_offset
        return batch

    async def close(self) -> None:
        """Close the connections; further reads are errors."""
        self._closed = True
        await self._disconnect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connect(self) -> Pull:
        await self._log.ready(self._topics)
        await self._check_partitions()
        self._ids = self._ids or await self._log.log_ids(self._topics)
        pull = self._make()
        await pull.start()
        if self._closed:
            await pull.stop()
            raise LogUnavailable("the reader is closed")
        self._pull = pull
        pull.consumer.assign([pull.place(partition) for partition in self._next])
        for partition, offset in self._next.items():
            pull.begin(pull.place(partition), offset)
        return pull

    async def _check_partitions(self) -> None:
        for topic in self._topics:
            held = await self._log.bounds(topic)
            missing = [p.partition for p in self._next if p.topic == topic and p.partition not in held]
            if missing:
                raise RecordRefused(f"{topic} has the partitions 0 to {len(held) - 1}, not {missing[0]}")

    async def _check_identity(self) -> None:
        for topic in await self._identities.changed(self._ids):
            partition, offset = next(item for item in self._next.items() if item[0].topic == topic)
            raise await offset_gone(self._log, partition, offset)

    async def _disconnect(self) -> None:
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.stop()
