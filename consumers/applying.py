"""Bringing consecutive records into the store: in one commit, or halved around what cannot be applied."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from bridge.errors import Fenced, PoisonRecord, StoreRefused
from bridge.log.base import Position, StoredRecord, TopicPartition
from bridge.telemetry import CONSUMER_RECORDS
from consumers.assignment import Assignment
from consumers.parking import Parking
from consumers.projections.base import Projection
from consumers.store.base import Claim, Effect, Store
from consumers.trying import Trying


class Revoked(Exception):
    """The partition in hand is no longer ours: whatever was read of it is somebody else's now."""


class Part(NamedTuple):
    """Consecutive records of one partition, on their way into one commit."""

    partition: TopicPartition
    records: Sequence[StoredRecord]
    next_offset: int


class Applying:
    """Applies one projection under claims of an assignment. What may pass is tried again."""

    def __init__(
        self, store: Store, projection: Projection, assignment: Assignment, parking: Parking, trying: Trying
    ) -> None:
        self._store = store
        self._projection = projection
        self._types = frozenset(projection.types)
        self._assignment = assignment
        self._parking = parking
        self._trying = trying

    async def apply(self, claim: Claim, part: Part, attempts: int = 1) -> Claim:
        """Bring the checkpoint to the part's end, every record applied or parked; return the next claim.

        Raises Revoked, Fenced, Stopping, TooManyParked; what was committed before that stays.
        """
        if not part.records:
            return await self.commit(claim, part, ())
        try:
            effects, applied = await asyncio.to_thread(self._project, part.records)
            claim = await self.commit(claim, part, effects)
        except (PoisonRecord, StoreRefused) as error:
            if len(part.records) == 1:
                return await self._set_aside(claim, part, error, attempts)
            for half in _halves(part):
                claim = await self.apply(claim, half, attempts + 1)
            return claim
        self._count(part, applied)
        return claim

    async def commit(self, claim: Claim, part: Part, effects: Sequence[Effect]) -> Claim:
        """Commit effects and checkpoint and return the next claim. Raises Revoked, Fenced, Stopping."""
        last_ms = part.records[-1].record.timestamp if part.records else None

        async def once() -> Claim:
            if not self._assignment.holds(claim):
                raise Revoked
            return await self._store.commit(claim, part.next_offset, effects, last_ms)

        try:
            moved = await self._trying.persist(once)
        except Fenced:
            if self._assignment.holds(claim):
                raise
            raise Revoked from None
        self._assignment.moved(claim, moved, last_ms)
        self._trying.recovered()
        return moved

    def _project(self, records: Sequence[StoredRecord]) -> tuple[Sequence[Effect], int]:
        """Return the effects of the records, and how many records have any. Raises PoisonRecord."""
        try:
            wanted = (each.record for each in records if self._may_be_wanted(each))
            envelopes = [
                envelope for envelope in (r.envelope() for r in wanted) if envelope.type in self._types
            ]
            return self._projection.effects(envelopes), len(envelopes)
        except PoisonRecord:
            raise
        except Exception as error:  # the projection is pure: what it raises once it raises every time
            raise PoisonRecord(f"{type(error).__name__}: {error}") from error

    def _may_be_wanted(self, stored: StoredRecord) -> bool:
        """Return False for what the headers say is of another type; structured events say it in the body."""
        said = stored.record.headers.get("ce_type")
        return said is None or said in self._types

    async def _set_aside(self, claim: Claim, part: Part, error: Exception, attempts: int) -> Claim:
        offset, record = part.records[0]
        position = Position(*part.partition, offset)
        await self._trying.persist(lambda: self._parking.park(record, position, claim, error, attempts))
        claim = await self.commit(claim, part, ())
        CONSUMER_RECORDS.labels(self._projection.name, part.partition.topic, "parked").inc()
        return claim

    def _count(self, part: Part, applied: int) -> None:
        name, topic = self._projection.name, part.partition.topic
        CONSUMER_RECORDS.labels(name, topic, "applied").inc(applied)
        CONSUMER_RECORDS.labels(name, topic, "ignored").inc(len(part.records) - applied)


def _halves(part: Part) -> tuple[Part, Part]:
    partition, records, next_offset = part
    middle = len(records) // 2
    first = Part(partition, records[:middle], records[middle].offset)
    return first, Part(partition, records[middle:], next_offset)
