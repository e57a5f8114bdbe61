"""Taking from a subscription what goes into one commit."""

import asyncio
from collections.abc import Sequence
from typing import Final

from bridge.errors import LogUnavailable, StoreUnavailable
from bridge.log.base import Batch, Subscription, TopicPartition
from consumers.applying import Part
from consumers.assignment import Assignment
from consumers.trying import Trying

READ_RECORDS: Final = 100
"""Records a read: what is fetched is taken apart in the loop, for 2 ms at a stretch of so many."""

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Values gathered before a commit: a transaction takes as much of SQLite's disk again before it ends."""


class Gathering:
    """Reads up to ``batch_records`` of all partitions at a time, waiting ``poll_seconds`` for the first.

    A commit costs a sync whatever is in it: one for each partition would be a sync for each. ``found_all``
    says that the last look left nothing that could have been read.
    """

    def __init__(
        self, assignment: Assignment, trying: Trying, batch_records: int, poll_seconds: float
    ) -> None:
        self._assignment, self._trying = assignment, trying
        self._batch_records, self._poll_seconds = batch_records, poll_seconds
        self.found_all = False

    async def gather(self, subscription: Subscription) -> Sequence[Part]:
        """Return what can be read now, a part for each partition that has records; maybe none.

        Raises what reading raises, except what may pass; Stopping where only that is met.
        """
        parts: dict[TopicPartition, Part] = {}
        left, room = self._batch_records, BATCH_BYTES
        first = min(left, READ_RECORDS)
        batch = await self._trying.persist(lambda: subscription.read(first, self._poll_seconds))
        while batch is not None:
            self._add(batch, parts)
            left -= len(batch.records)
            room -= sum(len(stored.record.value or b"") for stored in batch.records)
            if not batch.records or min(left, room) <= 0:
                break
            batch = await self._more(subscription, min(left, READ_RECORDS))
        self.found_all = batch is None
        return list(parts.values())

    async def _more(self, subscription: Subscription, max_records: int) -> Batch | None:
        """Return what is there already. What is away is met, and waited for, by the next gathering."""
        await asyncio.sleep(0)  # what is fetched already is read without a wait: others get their turn
        try:
            return await subscription.read(max_records, 0)
        except (LogUnavailable, StoreUnavailable):
            return None

    def _add(self, batch: Batch, parts: dict[TopicPartition, Part]) -> None:
        """Put the batch behind what is in hand of its partition, unless that is not ours any more."""
        progress = self._assignment.seen(batch)
        if progress is not None and batch.records:
            known = parts.get(batch.partition)
            before = known.records if known is not None and known.claim is progress.claim else ()
            parts[batch.partition] = Part(progress.claim, (*before, *batch.records), batch.next_offset)
