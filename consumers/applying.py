"""Bringing records into the store: in one commit, or in ever smaller ones around what cannot be applied."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from bridge.errors import Fenced, PoisonRecord, StoreRefused
from bridge.log.base import Position, StoredRecord, TopicPartition
from bridge.telemetry import CONSUMER_RECORDS
from consumers.assignment import Assignment
from consumers.parking import Parking
from consumers.projections.base import Projection
from consumers.store.base import Claim, Effect, Move, Store
from consumers.trying import Trying
from schemas.envelope import Envelope


class Part(NamedTuple):
    """Consecutive records of one partition, on their way into a commit under the claim on it."""

    claim: Claim
    records: Sequence[StoredRecord]
    next_offset: int

    @property
    def partition(self) -> TopicPartition:
        """Where the records stand."""
        return self.claim.key.partition

    @property
    def move(self) -> Move:
        """What the checkpoint does once the records are applied."""
        last_ms = self.records[-1].record.timestamp if self.records else None
        return Move(self.claim, self.next_offset, last_ms)


Claims = Mapping[TopicPartition, Claim]


class _Revoked(Exception):
    """A partition in hand is no longer ours: what was read of it is somebody else's now."""


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

    async def apply(self, parts: Sequence[Part], attempts: int = 1) -> Claims:
        """Bring each checkpoint to its part's end, every record applied or parked; in one commit if possible.

        Returns the next claims. A partition that went away meanwhile has none, and nothing of it was written.
        Raises Fenced, Stopping, TooManyParked; what was committed before that stays.
        """
        held = [part for part in parts if self._assignment.holds(part.claim)]
        if not held:
            return {}
        try:
            applied, effects = await self._effects(held)
            moved = await self._commit(held, effects)
        except _Revoked:
            return await self.apply(held, attempts)
        except (PoisonRecord, StoreRefused) as error:
            if not any(part.records for part in held):
                raise
            return await self._narrow_down(held, error, attempts)
        for part, count in zip(held, applied, strict=True):
            self._count(part, count)
        return moved

    async def _narrow_down(self, parts: Sequence[Part], error: Exception, attempts: int) -> Claims:
        """Apply what cannot be applied together in smaller pieces; a record that is alone is set aside."""
        if len(parts) == len(parts[0].records) == 1:
            return await self._set_aside(parts[0], error, attempts)
        moved: dict[TopicPartition, Claim] = {}
        for piece in parts if len(parts) > 1 else _halves(parts[0]):
            claim = moved.get(piece.partition, piece.claim)
            moved |= await self.apply([piece._replace(claim=claim)], attempts + 1)
        return moved

    async def _commit(self, parts: Sequence[Part], effects: Sequence[Effect]) -> Claims:
        """Commit effects and checkpoints together. Raises _Revoked, Fenced, Stopping."""
        moves = [part.move for part in parts]

        async def once() -> Sequence[Claim]:
            if not self._holds(parts):
                raise _Revoked
            return await self._store.commit(moves, effects)

        try:
            claims = await self._trying.persist(once)
        except Fenced:
            if self._holds(parts):
                raise
            raise _Revoked from None
        for move, claim in zip(moves, claims, strict=True):
            self._assignment.moved(move.claim, claim, move.last_event_ms)
        self._trying.recovered()
        return {claim.key.partition: claim for claim in claims}

    def _holds(self, parts: Sequence[Part]) -> bool:
        return all(self._assignment.holds(part.claim) for part in parts)

    async def _effects(self, parts: Sequence[Part]) -> tuple[Sequence[int], Sequence[Effect]]:
        """Return how many records of each part have effects, and these. Raises PoisonRecord."""
        if not any(part.records for part in parts):
            return [0] * len(parts), ()
        return await asyncio.to_thread(self._project, parts)

    def _project(self, parts: Sequence[Part]) -> tuple[Sequence[int], Sequence[Effect]]:
        try:
            wanted = [self._wanted(part.records) for part in parts]
            return [len(each) for each in wanted], self._projection.effects(list(chain(*wanted)))
        except PoisonRecord:
            raise
        except Exception as error:  # the projection is pure: what it raises once it raises every time
            raise PoisonRecord(f"{type(error).__name__}: {error}") from error

    def _wanted(self, records: Sequence[StoredRecord]) -> Sequence[Envelope]:
        envelopes = (each.record.envelope() for each in records if self._may_be_wanted(each))
        return [envelope for envelope in envelopes if envelope.type in self._types]

    def _may_be_wanted(self, stored: StoredRecord) -> bool:
        """Return False for what the headers say is of another type; structured events say it in the body."""
        said = stored.record.headers.get("ce_type")
        return said is None or said in self._types

    async def _set_aside(self, part: Part, error: Exception, attempts: int) -> Claims:
        (offset, record), claim = part.records[0], part.claim
        position = Position(*part.partition, offset)
        await self._trying.persist(lambda: self._parking.park(record, position, claim, error, attempts))
        moved = await self.apply([part._replace(records=())])
        CONSUMER_RECORDS.labels(self._projection.name, part.partition.topic, "parked").inc()
        return moved

    def _count(self, part: Part, applied: int) -> None:
        name, topic = self._projection.name, part.partition.topic
        CONSUMER_RECORDS.labels(name, topic, "applied").inc(applied)
        CONSUMER_RECORDS.labels(name, topic, "ignored").inc(len(part.records) - applied)


def _halves(part: Part) -> tuple[Part, Part]:
    claim, records, next_offset = part
    middle = len(records) // 2
    return Part(claim, records[:middle], records[middle].offset), Part(claim, records[middle:], next_offset)
