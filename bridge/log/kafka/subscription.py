"""Reading the partitions a consumer group assigns, from offsets the assignee names."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from aiokafka import TopicPartition as Place
from aiokafka.abc import ConsumerRebalanceListener

from bridge.errors import LogUnavailable
from bridge.log.base import Assignee, Batch, TopicPartition
from bridge.log.kafka.errors import DRIVER_ERRORS
from bridge.log.kafka.membership import Seat
from bridge.log.kafka.pull import Gone, Pull
from bridge.log.kafka.reader import Asked, Identities, offset_gone
from bridge.telemetry import logger

_log = logger("kafka")
_CLAIM_SECONDS: Final = 0.2
_NOTE_SECONDS: Final = 1.0
_LAST_NOTE_SECONDS: Final = 2.0


class KafkaSubscription(ConsumerRebalanceListener):
    """One member of a consumer group. It joins when first read, and anew after a failure.

    The driver assigns in a task of its own; there the partitions are only held back. They are claimed in
    ``read``, so that what the assignee raises reaches the caller, and nothing is read before it is claimed.
    """

    def __init__(
        self,
        log: Asked,
        make: Callable[[], Pull],
        topics: Sequence[str],
        assignee: Assignee,
        seat: Seat,
    ) -> None:
        self._log = log
        self._make = make
        self._topics = tuple(topics)
        self._assignee = assignee
        self._seat = seat
        self._identities = Identities(log)
        self._pull: Pull | None = None
        self._unclaimed: set[TopicPartition] = set()
        self._claimed: dict[TopicPartition, str] = {}
        self._owning = asyncio.Lock()
        self._noted: dict[TopicPartition, int] = {}
        self._noted_at = 0.0
        self._noting: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch of a claimed partition, or None after ``timeout`` seconds.

        Raises OffsetGone, LogUnavailable, LogCorrupt, RecordRefused, and what the assignee raises.
        """
        if self._closed:
            raise LogUnavailable("the subscription is closed")
        deadline = time.monotonic() + timeout
        pull = self._pull or await self._connect()
        try:
            while True:
                await self._lose_recreated(pull)
                await self._claim(pull)
                left = deadline - time.monotonic()
                batch = await pull.take(max_records, min(_CLAIM_SECONDS, max(0.0, left)))
                if batch is not None or left <= 0:
                    return batch
        except Gone as gone:
            await self._met_gone(pull, gone)
            return None
        except LogUnavailable:
            await self._disconnect()
            raise

    async def note(self, partition: TopicPartition, next_offset: int) -> None:
        """Commit the offset for lag tools, at most once a second, in the background."""
        self._noted[partition] = next_offset
        resting = self._noting is None or self._noting.done()
        if resting and self._pull is not None and time.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = time.monotonic()
            self._noting = asyncio.create_task(self._commit(self._pull))

    async def close(self) -> None:
        """Commit what was noted, leave the group, close the connections. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.wait([self._noting])
        if self._pull is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._commit(self._pull), _LAST_NOTE_SECONDS)
        await self._disconnect()

    async def on_partitions_assigned(self, assigned: Collection[Place]) -> None:
        """Hold the partitions back until they are claimed. Called by the driver."""
        pull = self._pull
        if pull is not None:
            self._seat.take(pull.member_id)
            pull.consumer.pause(*assigned)
            for place in assigned:  # any position keeps the driver from looking up a committed one
                pull.consumer.seek(place, 0)
            self._unclaimed = {pull.partition(place) for place in assigned}

    async def on_partitions_revoked(self, revoked: Collection[Place]) -> None:
        """Tell the assignee before somebody else is assigned these. Called by the driver."""
        self._unclaimed.clear()
        if self._pull is not None:
            self._pull.forget(revoked)
        await self._give_back(list(self._claimed))

    async def _connect(self) -> Pull:
        await self._log.ready(self._topics)
        await self._seat.clear()
        pull = self._make()
        await pull.start()
        if self._closed:
            await pull.stop()
            raise LogUnavailable("the subscription is closed")
        self._pull = pull
        pull.consumer.subscribe(
            [pull.place(TopicPartition(topic, 0)).topic for topic in self._topics], listener=self
        )
        return pull

    async def _claim(self, pull: Pull) -> None:
        if not self._unclaimed:
            return
        ids = await self._log.log_ids({partition.topic for partition in self._unclaimed})
        for partition in sorted(self._unclaimed):
            async with self._owning:
                if partition in self._unclaimed:
                    await self._claim_one(pull, partition, ids[partition.topic])

    async def _claim_one(self, pull: Pull, partition: TopicPartition, log_id: str) -> None:
        offset = await self._assignee.assigned(partition, log_id)
        self._claimed[partition] = log_id  # from here on it has to be given back
        if offset is None:
            offset = (await self._log.bounds(partition.topic))[partition.partition].begin
        place = pull.place(partition)
        if partition in self._unclaimed and place in pull.consumer.assignment():
            self._unclaimed.discard(partition)
            pull.begin(place, offset)
            pull.consumer.resume(place)

    async def _give_back(self, partitions: list[TopicPartition]) -> None:
        async with self._owning:  # a claim under way is finished first, or it would outlive this
            given = [partition for partition in partitions if self._claimed.pop(partition, None) is not None]
            for partition in given:
                self._noted.pop(partition, None)
            if given:
                await self._tell_revoked(given)

    async def _tell_revoked(self, partitions: list[TopicPartition]) -> None:
        try:
            await self._assignee.revoked(partitions)
        except Exception:  # noqa: BLE001 the driver would swallow it without a word
            _log.exception(
                "partitions.revoked_badly", partitions=[f"{p.topic}/{p.partition}" for p in partitions]
            )

    async def _met_gone(self, pull: Pull, gone: Gone) -> None:
        if await self._lose_recreated(pull, now=True):
            return
        place, offset = next(iter(gone.offsets.items()))
        raise await offset_gone(self._log, pull.partition(place), offset) from gone

    async def _lose_recreated(self, pull: Pull, *, now: bool = False) -> bool:
        """Claim partitions of a topic that was made anew under its new identity."""
        known = {partition.topic: log_id for partition, log_id in self._claimed.items()}
        changed = await self._identities.changed(known, now=now)
        if not changed:
            return False
        lost = [partition for partition in self._claimed if partition.topic in changed]
        places = [pull.place(partition) for partition in lost]
        assigned = [place for place in places if place in pull.consumer.assignment()]
        pull.consumer.pause(*assigned)
        pull.forget(places)
        await self._give_back(lost)
        self._unclaimed |= {pull.partition(place) for place in assigned}
        return True

    async def _commit(self, pull: Pull) -> None:
        noted, self._noted = self._noted, {}
        assigned = pull.consumer.assignment()
        offsets = {pull.place(partition): offset for partition, offset in noted.items()}
        with suppress(*DRIVER_ERRORS):
            if held := {place: offset for place, offset in offsets.items() if place in assigned}:
                await pull.consumer.commit(held)

    async def _disconnect(self) -> None:
        pull, self._pull = self._pull, None
        if pull is not None:
            await pull.stop()
        self._unclaimed.clear()
        await self._give_back(list(self._claimed))
