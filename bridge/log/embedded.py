"""The embedded log: the segment logs of one data directory, each one partition of every topic.

Partition 0 is control, to which every process appends; partition N is journal N, written by the process
that holds it. Topics whose home is control stand in partition 0 only.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from weakref import WeakSet

from bridge.errors import RecordRefused
from bridge.log.base import Assignee, Bounds, Position, Record, Subscription, TopicPartition
from bridge.log.bell import Bell
from bridge.log.clock import wall_ms
from bridge.log.segments.control import ControlLog
from bridge.log.segments.layout import consumer_lock
from bridge.log.segments.locks import wait_lock
from bridge.log.segments.log import SegmentLog
from bridge.log.segments.reader import SegmentReader, Source
from bridge.log.segments.subscription import SegmentSubscription
from bridge.log.segments.views import Views
from schemas.topics import TOPICS, Topic


class EmbeddedLog:
    """Implements ``Log`` over ``data_dir``. ``journal`` is this process's own: whoever opened it closes it.

    Without a journal every append goes to control, so a command line can append beside running processes.
    """

    def __init__(
        self,
        data_dir: Path,
        journal: SegmentLog | None = None,
        *,
        control: ControlLog | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._data_dir, self._journal, self._now_ms = data_dir, journal, now_ms
        self._control = control or ControlLog(data_dir)
        self._bell = journal.bell if journal is not None else Bell()
        self._control_bell = Bell()
        self._views = Views(data_dir, self._control)
        self._readers: WeakSet[SegmentReader] = WeakSet()

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Make the records durable in the journal or in control, each where its topic belongs.

        Raises RecordRefused (unknown topic, too large), JournalFull, JournalBusy, JournalFailed,
        LogUnavailable.
        """
        ours = [self._belongs_in_journal(record) for record in records]
        positions: dict[int, Position] = {}
        for in_journal in (True, False):
            places = [place for place, mine in enumerate(ours) if mine is in_journal]
            if places:
                appended = await self._append([records[place] for place in places], in_journal)
                positions.update(zip(places, appended, strict=True))
        return [positions[place] for place in range(len(records))]

    def _belongs_in_journal(self, record: Record) -> bool:
        return _topic(record.topic).home == "journal" and self._journal is not None

    async def _append(self, records: Sequence[Record], in_journal: bool) -> Sequence[Position]:
        if in_journal and self._journal is not None:
            return await self._journal.append(records)
        positions = await asyncio.to_thread(self._control.append, records)
        self._bell.ring()
        self._control_bell.ring()
        return positions

    async def bounds(self, topic: str) -> Mapping[int, Bounds]:
        """Return what each partition of the topic holds now. Raises LogUnavailable, RecordRefused."""
        return await asyncio.to_thread(self._bounds, _topic(topic))

    def _bounds(self, topic: Topic) -> Mapping[int, Bounds]:
        return {number: self._views.of(number).bounds() for number in self._views.numbers(topic)}

    async def log_id(self, partition: TopicPartition) -> str:
        """Return ``journal:{uuid}`` of the segment log behind the partition. Raises LogUnavailable."""
        return (await asyncio.to_thread(self._views.of, partition.partition)).log_id

    async def offset_at(self, partition: TopicPartition, timestamp: int) -> int:
        """Return the first offset with a record timestamp at or after ``timestamp`` (ms), else the end."""
        view = await asyncio.to_thread(self._views.of, partition.partition)
        return await asyncio.to_thread(view.offset_at, _topic(partition.topic).name, timestamp)

    def reader(self, starts: Mapping[TopicPartition, int]) -> SegmentReader:
        """Return a reader from the given next offsets, in no group. Raises RecordRefused (unknown topic)."""
        sources = [
            Source(
                partial(self._views.of, partition.partition),
                partition,
                start,
                (_topic(partition.topic).name,),
            )
            for partition, start in starts.items()
        ]
        reader = SegmentReader(sources, self._bell_of([partition.topic for partition in starts]))
        self._readers.add(reader)
        return reader

    def _bell_of(self, topics: Iterable[str]) -> Bell:
        """Return what wakes a reader: one of control alone is left alone by every batch of callbacks."""
        in_journals = any(_topic(topic).home == "journal" for topic in topics)
        return self._bell if in_journals else self._control_bell

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], group: str, assignee: Assignee
    ) -> AsyncIterator[Subscription]:
        """Enter once no other process is in ``group``, and read every partition of ``topics``.

        Journals that appear meanwhile are assigned within a second. Raises LogUnavailable, RecordRefused.
        """
        wanted = [_topic(topic) for topic in topics]
        with await wait_lock(consumer_lock(self._data_dir, group)):
            subscription = SegmentSubscription(
                self._views, wanted, group, assignee, bell=self._bell_of(topics), now_ms=self._now_ms
            )
            self._readers.add(subscription)
            try:
                await subscription.find_partitions()
                yield subscription
            finally:
                await subscription.leave()

    async def close(self) -> None:
        """Close every reader and release every file; the journal stays open."""
        for reader in tuple(self._readers):
            await reader.close()
        self._views.close()


def _topic(name: str) -> Topic:
    topic = TOPICS.get(name)
    if topic is None:
        raise RecordRefused(f"there is no topic {name!r}: the topics are {', '.join(TOPICS)}")
    return topic
