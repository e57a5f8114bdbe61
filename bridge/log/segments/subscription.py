"""A group reading every partition of its topics, in the one process that holds the group's lock."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bridge.log.base import Assignee, Batch, TopicPartition
from bridge.log.bell import Bell
from bridge.log.segments.marks import consumer_mark
from bridge.log.segments.reader import SegmentReader, Source
from bridge.log.segments.views import Views
from bridge.telemetry import logger
from schemas.topics import Topic

_DISCOVERY_SECONDS: Final = 0.5
_log = logger("segments")


class SegmentSubscription(SegmentReader):
    """Implements ``Subscription``. The owner of the group's lock enters, reads, notes and leaves."""

    def __init__(
        self,
        views: Views,
        topics: Sequence[Topic],
        group: str,
        assignee: Assignee,
        *,
        bell: Bell,
        now_ms: Callable[[], int],
    ) -> None:
        super().__init__((), bell)
        self._views, self._topics = views, topics
        self._group, self._assignee, self._now_ms = group, assignee, now_ms
        self._assigned: set[TopicPartition] = set()
        self._looked_at = 0.0

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch of any partition, or None when ``timeout`` seconds pass without one.

        Partitions that appeared since are assigned first. Raises as a reader, and what the assignee raises.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            if loop.time() - self._looked_at >= _DISCOVERY_SECONDS:
                await self.find_partitions()
            left = max(0.0, deadline - loop.time())
            batch = await super().read(max_records, min(left, _DISCOVERY_SECONDS))
            if batch is not None or loop.time() >= deadline:
                return batch

    async def find_partitions(self) -> None:
        """Have every partition that is not yet assigned assigned. Raises what the assignee raises."""
        self._looked_at = asyncio.get_running_loop().time()
        for topic in self._topics:
            for number in await asyncio.to_thread(self._views.numbers, topic):
                partition = TopicPartition(topic.name, number)
                if partition not in self._assigned:
                    await self._assign(partition)

    async def _assign(self, partition: TopicPartition) -> None:
        view = await asyncio.to_thread(self._views.of, partition.partition)
        self._assigned.add(partition)
        try:
            start = await self._assignee.assigned(partition, view.log_id)
        except BaseException:
            self._assigned.discard(partition)
            raise
        if start is None:
            start = (await asyncio.to_thread(view.bounds)).begin
        find_view = partial(self._views.of, partition.partition)
        self.add([Source(find_view, partition, start, (partition.topic,))])
        await self.note(partition, start)

    async def note(self, partition: TopicPartition, next_offset: int) -> None:
        """Set the group's mark for the partition, below which its log may forget. Never raises for a disk."""
        name = consumer_mark(self._group, partition.topic)
        try:
            view = await asyncio.to_thread(self._views.of, partition.partition)
            await asyncio.to_thread(view.write_mark, name, next_offset, self._now_ms())
        except OSError as error:
            _log.warning("mark.not_set", mark=name, partition=partition.partition, error=str(error))

    async def leave(self) -> None:
        """Give every partition back and stop reading."""
        try:
            if self._assigned:
                await self._assignee.revoked(sorted(self._assigned))
        finally:
            await self.close()
