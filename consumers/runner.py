"""The one loop of every projection: claim, read, apply, commit with the checkpoint, measure.

It is also the one place that turns an error into a policy: try again, enter anew, or stop.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Literal

from bridge.backoff import Backoff
from bridge.errors import Fenced, ImbridgeError, LogLocked, OffsetGone
from bridge.log.base import Log, Position, Subscription, TopicPartition
from bridge.log.clock import wall_ms
from bridge.telemetry import CONSUMER_BATCH_SECONDS, CONSUMER_FENCED, CONSUMER_GAPS, logger
from consumers.applying import Applying, Part
from consumers.assignment import Assignment
from consumers.gathering import Gathering
from consumers.parking import Parking
from consumers.projections.base import Projection
from consumers.status import RunnerStatus
from consumers.store.base import Claim, Store
from consumers.trying import Stopping, Trying

_log = logger("consumer")


class Runner:
    """Applies one projection to one store until stopped.

    Promises: effects and checkpoint commit together, so every record counts once whatever fails; a record
    that can never be applied is in the dead letters before the checkpoint passes it; an unreachable log or
    store is waited for. ``run`` returns only after ``stop()``; when it gave up it waits for that, and
    ``status()`` says why. ``owner`` names this runner in the checkpoint row. ``on_gap`` says what to do when
    the log no longer holds what comes next: stop, or record the gap and go on where the log begins.
    """

    def __init__(
        self,
        log: Log,
        store: Store,
        projection: Projection,
        *,
        dead_letters: Log,
        owner: str,
        batch_records: int = 500,
        on_gap: Literal["stop", "skip"] = "stop",
        max_parked_per_minute: int = 50,
        poll_seconds: float = 0.25,
        linger_seconds: float = 0.02,
        idle_checkpoint_seconds: float = 5.0,
        claim_check_seconds: float = 2.0,
        backoff: Backoff | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        name = projection.name
        self._log = log
        self._store = store
        self._projection = projection
        self._on_gap = on_gap
        self._linger_seconds = linger_seconds
        self._idle_seconds = idle_checkpoint_seconds
        self._check_seconds = claim_check_seconds
        self._trying = Trying(name, backoff or Backoff(), now_ms)
        self._assignment = Assignment(store, name, owner, now_ms, time.monotonic)
        self._parking = Parking(dead_letters, name, max_per_minute=max_parked_per_minute, now_ms=now_ms)
        self._applying = Applying(store, projection, self._assignment, self._parking, self._trying)
        self._gathering = Gathering(self._assignment, self._trying, batch_records, poll_seconds)
        self._moved = asyncio.Condition()
        self._checked_at = time.monotonic()
        self._entering: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Finish the batch in hand, then let ``run`` return."""
        self._trying.stop.set()
        if self._entering is not None:
            self._entering.reschedule(0)

    def status(self) -> RunnerStatus:
        """Return how it is doing now."""
        trying, partitions = self._trying, self._assignment.status()
        return RunnerStatus(
            self._projection.name,
            trying.state,
            trying.reason,
            trying.since_ms,
            self._parking.parked,
            partitions,
        )

    async def reached(self, partition: TopicPartition, next_offset: int) -> None:
        """Return once the partition is applied up to ``next_offset``; bound it with a time-out."""

        def is_reached() -> bool:
            progress = self._assignment.get(partition)
            return progress is not None and (progress.read_to or 0) >= next_offset

        async with self._moved:
            await self._moved.wait_for(is_reached)

    async def run(self) -> None:
        """Consume until stopped."""
        while not self._trying.stop.is_set():
            try:
                await self._store.open()
                await self._consume()
            except Stopping:
                break
            except ImbridgeError as error:
                await self._meet(error)
        self._trying.ended()

    async def _meet(self, error: ImbridgeError) -> None:
        """Let pass what may pass, or was another's claim, to enter the subscription anew; else give up."""
        if isinstance(error, Fenced):
            CONSUMER_FENCED.labels(self._projection.name).inc()
        if error.retriable or isinstance(error, (Fenced, LogLocked)):
            await self._trying.pause(error)
        else:
            await self._trying.give_up(error)

    async def _consume(self) -> None:
        """Read and apply until told to stop, or until the subscription must be entered anew."""
        try:
            async with AsyncExitStack() as subscribed:
                await self._follow(await self._subscribe(subscribed))
        finally:
            await self._assignment.release()

    async def _subscribe(self, subscribed: AsyncExitStack) -> Subscription:
        """Enter the subscription, which may have to wait until another member leaves."""
        topics, name = self._projection.topics, self._projection.name
        try:
            async with asyncio.timeout(None) as self._entering:
                return await subscribed.enter_async_context(
                    self._log.subscribe(topics, name, self._assignment)
                )
        except TimeoutError:
            raise Stopping from None
        finally:
            self._entering = None

    async def _follow(self, subscription: Subscription) -> None:
        while not self._trying.stop.is_set():
            try:
                parts = await self._gathering.gather(subscription)
            except OffsetGone as gone:
                return await self._meet_gap(gone)
            if parts:
                self._assignment.measure()
                await self._settle(subscription, parts)
            else:
                self._trying.recovered()
            await self._save_idle(subscription, self._idle_seconds)
            await self._check_claims()
            self._assignment.measure()
            await self._tell_moved()
            await self._linger(parts)
        return await self._save_idle(subscription, 0)

    async def _linger(self, parts: Sequence[Part]) -> None:
        """Let records gather for a moment where all was read; the first after a quiet time does not wait."""
        if parts and self._gathering.found_all:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._trying.stop.wait(), self._linger_seconds)

    async def _save_idle(self, subscription: Subscription, seconds: float) -> None:
        """Move checkpoints past stretches that held nothing for us, so that the journal may forget them."""
        parts = [
            Part(progress.claim, (), progress.unsaved)
            for progress in self._assignment.unsaved(seconds)
            if progress.unsaved is not None
        ]
        if parts:
            await self._settle(subscription, parts)

    async def _check_claims(self) -> None:
        """Notice while nothing arrives, too, that a checkpoint was set back, dropped or claimed elsewhere.

        Without it a rewind would wait for the next record of its partition. Raises Fenced.
        """
        if time.monotonic() - self._checked_at < self._check_seconds:
            return
        self._checked_at = time.monotonic()
        name = self._projection.name
        rows = await self._trying.persist(lambda: self._store.checkpoints(name))
        epochs = {row.key: row.epoch for row in rows}
        for claim in self._assignment.claims():
            if epochs.get(claim.key) != claim.epoch:
                raise Fenced(f"the checkpoint of {name} in {claim.key.partition} was moved by somebody else")

    async def _settle(self, subscription: Subscription, parts: Sequence[Part]) -> None:
        since = time.perf_counter()
        moved = await self._applying.apply(parts)
        for part in parts:
            if part.partition in moved:
                await subscription.note(part.partition, part.next_offset)
        applied = [part for part in parts if part.records and part.partition in moved]
        if applied:
            self._say_applied(applied, time.perf_counter() - since)

    def _say_applied(self, parts: Sequence[Part], seconds: float) -> None:
        name, records = self._projection.name, Counter[str]()
        for part in parts:
            records[part.partition.topic] += len(part.records)
        CONSUMER_BATCH_SECONDS.labels(name).observe(seconds)
        ms = round(seconds * 1000, 1)
        _log.info("batch.applied", consumer=name, partitions=len(parts), records=dict(records), ms=ms)

    async def _meet_gap(self, gone: OffsetGone) -> None:
        """Stop, or record the gap and move the checkpoint to where the log begins now."""
        CONSUMER_GAPS.labels(self._projection.name, gone.topic).inc()
        if self._on_gap == "stop":
            raise gone
        partition = TopicPartition(gone.topic, gone.partition)
        progress = self._assignment.get(partition)
        if progress is not None:
            claim, position = progress.claim, Position(*partition, gone.offset)
            await self._trying.persist(lambda: self._parking.park_gap(position, claim, gone))
            await self._move(claim, gone.begin)

    async def _move(self, claim: Claim, offset: int) -> None:
        if claim.next_offset is None or claim.next_offset < offset:
            await self._applying.apply([Part(claim, (), offset)])
        else:  # the log ends before the checkpoint: it was cut, or restored from an older copy
            await self._trying.persist(lambda: self._store.rewind(claim.key, offset, claim.owner))

    async def _tell_moved(self) -> None:
        async with self._moved:
            self._moved.notify_all()
