"""The log in memory: for embedding in tests, examples and trials. Held to the same contract as the others.

Nothing survives the process; everything else a log promises, this one does.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self
from uuid import uuid4
from weakref import WeakSet
from zlib import crc32

from bridge.errors import LogUnavailable, OffsetGone, RecordRefused
from bridge.log.base import (
    Assignee,
    Batch,
    Bounds,
    Position,
    Record,
    StoredRecord,
    Subscription,
    TopicPartition,
)
from bridge.log.bell import Bell
from schemas.topics import TOPICS

MAX_RECORDS: Final = 100_000
MAX_RECORD_BYTES: Final = 8 << 20


class _Partition:
    """The last ``limit`` records of one partition."""

    def __init__(self, limit: int) -> None:
        self.begin = 0
        self._limit = limit
        self._records: deque[Record] = deque()

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.begin, self.begin + len(self._records))

    def append(self, record: Record) -> int:
        self._records.append(record)
        if len(self._records) > self._limit:
            self.forget(self.begin + 1)
        return self.bounds.end - 1

    def forget(self, until: int) -> None:
        while self.begin < until and self._records:
            self._records.popleft()
            self.begin += 1

    def slice(self, start: int, count: int) -> list[StoredRecord]:
        stop = min(start + count, self.bounds.end)
        return [StoredRecord(offset, self._records[offset - self.begin]) for offset in range(start, stop)]


class MemoryLog:
    """Implements ``Log``. Each partition keeps its last ``max_records`` records."""

    def __init__(
        self,
        partitions: int = 2,
        *,
        max_records: int = MAX_RECORDS,
        max_record_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        self._log_id = f"memory:{uuid4()}"
        self._count, self._max_record_bytes = partitions, max_record_bytes
        self._partitions: dict[TopicPartition, _Partition] = defaultdict(lambda: _Partition(max_records))
        self._bell = Bell()
        self._owners: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._readers: WeakSet[MemoryReader] = WeakSet()
        self._closed = False
        self.marks: dict[tuple[str, TopicPartition], int] = {}

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Keep the records, in order, and return where each stands. Raises RecordRefused, LogUnavailable."""
        if self._closed:
            raise LogUnavailable("the log is closed")
        for record in records:
            self._check(record)
        positions = [self._place(record) for record in records]
        self._bell.ring()
        return positions

    def _check(self, record: Record) -> None:
        self._numbers(record.topic)
        size = len(record.value or b"")
        if size > self._max_record_bytes:
            raise RecordRefused(f"a record of {size} bytes: this log takes {self._max_record_bytes}")

    def _place(self, record: Record) -> Position:
        key = (record.key or "").encode("utf-8", "surrogatepass")
        number = crc32(key) % len(self._numbers(record.topic))
        return Position(
            record.topic, number, self._partitions[TopicPartition(record.topic, number)].append(record)
        )

    def _numbers(self, topic: str) -> range:
        if topic not in TOPICS:
            raise RecordRefused(f"there is no topic {topic!r}: the topics are {', '.join(TOPICS)}")
        return range(min(self._count, TOPICS[topic].partitions))

    async def bounds(self, topic: str) -> Mapping[int, Bounds]:
        """Return what each partition of the topic holds now. Raises RecordRefused."""
        return {
            number: self._partitions[TopicPartition(topic, number)].bounds for number in self._numbers(topic)
        }

    async def log_id(self, partition: TopicPartition) -> str:  # noqa: ARG002
        """Return the identity of this log: another for every one made."""
        return self._log_id

    async def offset_at(self, partition: TopicPartition, timestamp: int) -> int:
        """Return the first offset with a record timestamp at or after ``timestamp`` (ms), else the end."""
        begin, end = self._partitions[partition].bounds
        for offset, record in self._partitions[partition].slice(begin, end - begin):
            if record.timestamp >= timestamp:
                return offset
        return end

    def forget(self, partition: TopicPartition, until: int) -> None:
        """Forget what stands before ``until``."""
        self._partitions[partition].forget(until)

    def reader(self, starts: Mapping[TopicPartition, int]) -> "MemoryReader":
        """Return a reader from the given next offsets, in no group. Raises RecordRefused (unknown topic)."""
        for partition in starts:
            self._numbers(partition.topic)
        reader = MemoryReader(self._partitions, starts, self._bell)
        self._readers.add(reader)
        return reader

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], group: str, assignee: Assignee
    ) -> AsyncIterator[Subscription]:
        """Enter once nobody else is in ``group``, and read every partition of ``topics``."""
        partitions = [TopicPartition(topic, number) for topic in topics for number in self._numbers(topic)]
        async with self._owners[group]:
            subscription = MemorySubscription(self._partitions, {}, self._bell, self.marks, group)
            self._readers.add(subscription)
            assigned: list[TopicPartition] = []
            try:
                for partition in partitions:
                    start = await assignee.assigned(partition, self._log_id)
                    assigned.append(partition)
                    subscription.begin(partition, start)
                yield subscription
            finally:
                try:
                    if assigned:
                        await assignee.revoked(assigned)
                finally:
                    await subscription.close()

    async def close(self) -> None:
        """Refuse further appends and end every reader."""
        self._closed = True
        for reader in tuple(self._readers):
            await reader.close()


class MemoryReader:
    """Reads partitions by turns. Implements ``Reader``."""

    def __init__(
        self,
        partitions: Mapping[TopicPartition, _Partition],
        starts: Mapping[TopicPartition, int],
        bell: Bell,
    ) -> None:
        self._partitions, self._bell = partitions, bell
        self._next = dict(starts)
        self._closed = False

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch, or None after ``timeout`` seconds.

        Raises OffsetGone, LogUnavailable (closed).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            heard = self._bell.rings
            batch = self._look(max_records)
            left = deadline - loop.time()
            if batch is not None or left <= 0:
                return batch
            await self._bell.wait(heard, left)

    def _look(self, max_records: int) -> Batch | None:
        if self._closed:
            raise LogUnavailable("the reader is closed")
        for partition in tuple(self._next):
            start = self._next.pop(partition)
            self._next[partition] = start  # to the back: partitions take turns
            begin, end = self._partitions[partition].bounds
            if not begin <= start <= end:
                raise OffsetGone(*partition, start, begin, end)
            if start < end:
                records = self._partitions[partition].slice(start, max_records)
                self._next[partition] += len(records)
                return Batch(partition, records, self._next[partition], end)
        return None

    async def close(self) -> None:
        """End a read under way; further reads are errors."""
        self._closed = True
        self._bell.ring()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class MemorySubscription(MemoryReader):
    """A group's reader. Implements ``Subscription``."""

    def __init__(
        self,
        partitions: Mapping[TopicPartition, _Partition],
        starts: Mapping[TopicPartition, int],
        bell: Bell,
        marks: dict[tuple[str, TopicPartition], int],
        group: str,
    ) -> None:
        super().__init__(partitions, starts, bell)
        self._marks, self._group = marks, group

    def begin(self, partition: TopicPartition, start: int | None) -> None:
        """Read this partition too, from ``start`` or from its present beginning."""
        self._next[partition] = self._partitions[partition].bounds.begin if start is None else start

    async def note(self, partition: TopicPartition, next_offset: int) -> None:
        """Keep how far the group has got in ``MemoryLog.marks``."""
        self._marks[self._group, partition] = next_offset
