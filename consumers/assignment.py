"""Which partitions a runner owns: the claims on their checkpoints, and how far each is read."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bridge.log.base import Batch, TopicPartition
from bridge.telemetry import CONSUMER_LAG_RECORDS, CONSUMER_LAG_SECONDS
from consumers.status import PartitionStatus
from consumers.store.base import CheckpointKey, Claim, Store


@dataclass
class Progress:
    """One owned partition. ``read_to`` is beyond the claim's offset when what came held no records.

    ``head`` is the offset, ``reached_ms`` the time of the first record in hand or the last one applied.
    """

    claim: Claim
    read_to: int | None
    committed_at: float
    end_offset: int | None = None
    head: int | None = None
    reached_ms: int | None = None

    @property
    def unsaved(self) -> int | None:
        """The offset a checkpoint without effects would save, None when it stands there already."""
        saved = self.claim.next_offset
        ahead = self.read_to is not None and (saved is None or self.read_to > saved)
        return self.read_to if ahead else None

    @property
    def lag_records(self) -> int:
        """Records between what is applied and the end as last seen."""
        begin = self.head if self.read_to is None else self.read_to
        return 0 if begin is None or self.end_offset is None else max(0, self.end_offset - begin)


class Assignment:
    """The assignee of one runner's subscription: claims what it is assigned, forgets what is revoked."""

    def __init__(
        self, store: Store, consumer: str, owner: str, now_ms: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._consumer = consumer
        self._owner = owner
        self._now_ms = now_ms
        self._clock = clock
        self._owned: dict[TopicPartition, Progress] = {}

    async def assigned(self, partition: TopicPartition, log_id: str) -> int | None:
        """Claim the checkpoint and return its next offset. Raises StoreUnavailable."""
        key = CheckpointKey(self._consumer, log_id, partition)
        claim = await self._store.claim(key, self._owner)
        self._owned[partition] = Progress(claim, claim.next_offset, self._clock())
        return claim.next_offset

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget these partitions; a commit under way is fenced if somebody else has claimed by then."""
        for partition in partitions:
            if self._owned.pop(partition, None) is not None:
                with suppress(KeyError):
                    CONSUMER_LAG_RECORDS.remove(self._consumer, *map(str, partition))

    async def release(self) -> None:
        """Forget every partition: the subscription was left."""
        await self.revoked(list(self._owned))

    def get(self, partition: TopicPartition) -> Progress | None:
        """Return how far an owned partition is."""
        return self._owned.get(partition)

    def claims(self) -> Sequence[Claim]:
        """Return the claims in use."""
        return [progress.claim for progress in self._owned.values()]

    def holds(self, claim: Claim) -> bool:
        """Return whether this claim is still the one to use."""
        progress = self._owned.get(claim.key.partition)
        return progress is not None and progress.claim is claim

    def moved(self, held: Claim, claim: Claim, last_event_ms: int | None) -> None:
        """Use ``claim`` from now on, unless the partition went away meanwhile."""
        progress = self._owned.get(held.key.partition)
        if progress is not None and progress.claim is held:
            progress.claim, progress.read_to, progress.committed_at = claim, claim.next_offset, self._clock()
            progress.reached_ms = last_event_ms or progress.reached_ms

    def seen(self, batch: Batch) -> Progress | None:
        """Take note of where a batch stands and return its partition's progress, None if it is not owned."""
        progress = self._owned.get(batch.partition)
        if progress is None:
            return None
        progress.end_offset = batch.end_offset
        if batch.records:
            first = batch.records[0]
            progress.head, progress.reached_ms = first.offset, first.record.timestamp
        else:
            progress.read_to = batch.next_offset
        return progress

    def unsaved(self, seconds: float) -> Sequence[Progress]:
        """Return the partitions whose checkpoint lags behind what was read for longer than ``seconds``."""
        before = self._clock() - seconds
        return [
            each for each in self._owned.values() if each.unsaved is not None and each.committed_at <= before
        ]

    def status(self) -> tuple[PartitionStatus, ...]:
        """Return how far each owned partition is."""
        return tuple(self._status(*each) for each in sorted(self._owned.items(), key=lambda each: each[0]))

    def measure(self) -> None:
        """Set the lag metrics."""
        states = self.status()
        for each in states:
            CONSUMER_LAG_RECORDS.labels(self._consumer, *map(str, each.partition)).set(each.lag_records)
        CONSUMER_LAG_SECONDS.labels(self._consumer).set(max((each.lag_seconds for each in states), default=0))

    def _status(self, partition: TopicPartition, progress: Progress) -> PartitionStatus:
        lag, since = progress.lag_records, progress.reached_ms
        age = max(0.0, (self._now_ms() - since) / 1000) if lag and since is not None else 0.0
        log_id = progress.claim.key.log_id
        return PartitionStatus(partition, log_id, progress.read_to, progress.end_offset, lag, age)
