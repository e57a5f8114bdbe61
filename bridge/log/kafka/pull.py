"""Taking batches of single partitions from one driver's consumer, with positions of ours."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place
from aiokafka import errors as driver

from bridge.errors import LogCorrupt, LogUnavailable
from bridge.log.base import Batch, TopicPartition
from bridge.log.kafka.connection import Connection
from bridge.log.kafka.errors import DRIVER_ERRORS, translate, translated
from bridge.log.kafka.records import stored

_LOOK_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 0.5
_LEAVE_SECONDS: Final = 3.0

_FETCHING: Final = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # an offset that is gone is said, never replaced
    "fetch_max_bytes": 16 * 1024 * 1024,
    "metadata_max_age_ms": 30_000,  # how long a new partition, or a topic made anew, goes unseen
}


class Fetched(NamedTuple):
    """Messages of one partition that were fetched and not yet read."""

    place: Place
    messages: Sequence[Any]
    next_offset: int


class Gone(Exception):
    """Offsets that the cluster does not hold; their bounds are asked for by whoever catches this."""

    def __init__(self, offsets: Mapping[Place, int]) -> None:
        super().__init__(f"no such offsets: {offsets}")
        self.offsets = offsets


class Pull:
    """Reads the partitions it was started on, one batch at a time."""

    def __init__(self, connection: Connection, prefix: str, **options: Any) -> None:
        self._connection = connection
        self._prefix = prefix
        self._positions: dict[Place, int] = {}
        self._fetched: deque[Fetched] = deque()
        self._began = time.time()
        self.consumer = AIOKafkaConsumer(**connection.options(), **_FETCHING, **options)

    @property
    def places(self) -> Iterable[Place]:
        """The partitions being read, as the driver names them."""
        return self._positions.keys()

    @property
    def member_id(self) -> str:
        """Under which id the consumer stands in its group, empty while it does not."""
        coordinator = self.consumer._coordinator  # noqa: SLF001 the driver keeps it to itself
        return "" if coordinator is None else str(coordinator.member_id)

    def place(self, partition: TopicPartition) -> Place:
        """Return a partition as the driver names it."""
        return Place(self._prefix + partition.topic, partition.partition)

    def partition(self, place: Place) -> TopicPartition:
        """Return a partition as we name it."""
        return TopicPartition(place.topic.removeprefix(self._prefix), place.partition)

    async def start(self) -> None:
        """Connect. Raises LogUnavailable, with nothing left open."""
        try:
            with translated(f"cannot read from Kafka at {self._connection.name}"):
                await self.consumer.start()
        except BaseException as error:
            await self.stop()
            if isinstance(error, LogUnavailable):
                self._connection.lost(error, "fetch")
            raise

    def begin(self, place: Place, offset: int) -> None:
        """Read the (assigned) partition from ``offset``."""
        self.consumer.seek(place, offset)
        self._positions[place] = offset

    def forget(self, places: Iterable[Place]) -> None:
        """Read these partitions no more, and drop what was fetched of them."""
        gone = set(places)
        for place in gone:
            self._positions.pop(place, None)
        self._fetched = deque(fetched for fetched in self._fetched if fetched.place not in gone)

    async def take(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch, or None after ``timeout`` seconds. Raises Gone and LogError."""
        deadline = time.monotonic() + timeout
        while not self._fetched:
            await self._fetch(max_records, min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            if not self._fetched and (moved := await self._moved()):
                return moved
            if not self._fetched and time.monotonic() >= deadline:
                self._watch()
                return None
        self._watch()
        return self._next(max_records)

    async def stop(self) -> None:
        """Leave the group, if any, and close the connections, within seconds whatever the broker does.

        When a fetch failed a moment ago the driver's own stop ends with the CancelledError of that fetch and
        leaves its connections open. Let through, it would end the task of whoever reads without a word.
        """
        stopping = asyncio.ensure_future(self.consumer.stop())
        try:
            await asyncio.wait([stopping], timeout=_LEAVE_SECONDS)
            if not stopping.done() or stopping.cancelled() or stopping.exception():
                with suppress(*DRIVER_ERRORS):  # hanging up ends whatever still waits for an answer
                    await self.consumer._client.close()  # noqa: SLF001
            await asyncio.wait([stopping], timeout=_LEAVE_SECONDS)
        finally:
            stopping.cancel()
        if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
            with suppress(*DRIVER_ERRORS):
                raise error

    async def _fetch(self, max_records: int, seconds: float) -> None:
        try:
            found = await self._getmany(max_records, seconds)
        except asyncio.CancelledError:
            self._rewind()
            raise
        for place, messages in found.items():
            if place in self._positions:
                self._fetched.append(Fetched(place, messages, await self._position(place)))

    def _rewind(self) -> None:
        """Read again what the driver may have handed out to nobody."""
        for place in self._positions.keys() & self.consumer.assignment():
            self.consumer.seek(place, self._positions[place])

    async def _getmany(self, max_records: int, seconds: float) -> Mapping[Place, Sequence[Any]]:
        wanted = self.consumer.getmany(
            *self._positions, timeout_ms=round(seconds * 1000), max_records=max_records
        )
        doing = f"cannot read from Kafka at {self._connection.name}"
        try:
            return await _within(seconds + _GRACE_SECONDS, wanted)
        except driver.NoOffsetForPartitionError:  # looked up before we said where to begin
            return {}
        except driver.OffsetOutOfRangeError as error:
            raise Gone(error.args[0]) from error
        except (driver.CorruptRecordException, UnicodeDecodeError) as error:
            raise LogCorrupt(f"{doing}: a record does not check out: {error}") from error
        except DRIVER_ERRORS as error:
            raise translate(error, doing) from error

    def _next(self, max_records: int) -> Batch:
        place, messages, next_offset = self._fetched.popleft()
        if len(messages) > max_records:
            self._fetched.appendleft(Fetched(place, messages[max_records:], next_offset))
            messages = messages[:max_records]
            next_offset = messages[-1].offset + 1
        return self._batch(place, messages, next_offset)

    def _batch(self, place: Place, messages: Sequence[Any], next_offset: int) -> Batch:
        partition = self.partition(place)
        self._positions[place] = next_offset
        end = self.consumer.highwater(place) if place in self.consumer.assignment() else None
        records = [stored(partition.topic, message) for message in messages]
        return Batch(partition, records, next_offset, max(next_offset, end or 0))

    async def _moved(self) -> Batch | None:
        """Return a batch without records where the driver passed offsets that hold none any more."""
        for place, known in list(self._positions.items()):
            if (position := await self._position(place)) > known:
                return self._batch(place, (), position)
        return None

    async def _position(self, place: Place) -> int:
        try:
            position: int = await self.consumer.position(place)
        except driver.IllegalStateError:  # taken from us this moment
            return self._positions.get(place, 0)
        return position

    def _watch(self) -> None:
        """Pass on when a broker last answered a fetch: of an outage the driver says nothing."""
        assigned = [place for place in self._positions if place in self.consumer.assignment()]
        if assigned:
            answered = max(self.consumer.last_poll_timestamp(place) or 0 for place in assigned)
            self._connection.fetched(answered / 1000, self._began)


async def _within(
    seconds: float, wanted: Awaitable[Mapping[Place, Sequence[Any]]]
) -> Mapping[Place, Sequence[Any]]:
    """Wait at most so long: while its group is reassigned the driver disregards its own time-out."""
    reading = asyncio.ensure_future(wanted)
    try:
        done, _ = await asyncio.wait([reading], timeout=seconds)
        return reading.result() if done else {}
    finally:
        reading.cancel()
