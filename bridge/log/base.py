"""Records, positions and the Log protocol: ordered records per topic and partition.

Offsets are counted as *next* offsets everywhere; ranges are half open. Offsets of a partition grow but
need not be contiguous (segment logs hold every topic in one file; compaction leaves gaps).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

from bridge.errors import LogError
from schemas.envelope import Envelope, read_envelope
from schemas.named import make

JOURNAL_HEADER: Final = "im-journal"
"""The header of a relayed record that holds the identity of the journal it was accepted in."""

JOB_HEADER: Final = "im-replay-job"
"""The header of a record that an operator gave again: it comes after what followed it at first."""


class Record(NamedTuple):
    """Key, value and headers as the log sees them. A record without a value is a tombstone for its key.

    ``timestamp`` is milliseconds since the epoch, given by whoever made the record.
    """

    topic: str
    key: str | None
    value: bytes | None
    headers: Mapping[str, str]
    timestamp: int

    def envelope(self) -> Envelope:
        """Return the event this record carries. Raises EnvelopeError."""
        return read_envelope(self.headers, self.value)


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Topic, partition and offset together: where one record stands."""

    topic: str
    partition: int
    offset: int


class Bounds(NamedTuple):
    """What a partition holds: offsets from ``begin`` up to, not including, ``end``."""

    begin: int
    end: int


class StoredRecord(NamedTuple):
    """A record with the offset it stands at."""

    offset: int
    record: Record


class Batch(NamedTuple):
    """Consecutive records of one partition.

    ``next_offset`` is where reading goes on; it moves past what was skipped (other topics in the same
    journal, compacted keys), so a batch without records can still make progress.
    ``end_offset`` is the partition's end as known when the batch was read; lag is the difference.
    """

    partition: TopicPartition
    records: Sequence[StoredRecord]
    next_offset: int
    end_offset: int


class Reader(Protocol):
    """Reads partitions in order, without a group. Use as an async context manager, or call close."""

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch of any partition, or None when ``timeout`` seconds pass without one.

        Raises OffsetGone, LogUnavailable (the same call may succeed later), LogCorrupt.
        """

    async def close(self) -> None:
        """Release what the reader holds; further reads are errors."""


class Subscription(Reader, Protocol):
    """A reader whose partitions are shared with the other members of its group."""

    async def note(self, partition: TopicPartition, next_offset: int) -> None:
        """Tell others how far the group has got: a courtesy, never the truth (that is the checkpoint).

        Kafka: committed offsets for lag tools, at most once a second. Segment logs: the mark below which
        the journal may forget. Never raises for an unreachable log.
        """


class Assignee(Protocol):
    """Who is told which partitions a subscription owns: a runner, which claims their checkpoints."""

    async def assigned(self, partition: TopicPartition, log_id: str) -> int | None:
        """Return the next offset to read, None for the log's present beginning.

        Called for every partition each time the subscription comes to own it, before any read of it.
        """

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget these partitions: somebody else may own them from now on. Must return within a second."""


Done = Callable[[int, LogError | None], None]
"""Told once how an append has ended: the offset of its first record, or the error that came instead."""


class Journal(Protocol):
    """The writing side of a segment log, held by one process: what an acknowledgement rests on."""

    def submit(self, records: Sequence[Record], done: Done, *, patient: bool = False) -> None:
        """Enter the records into the bounded queue, in this order, before returning.

        What is ``patient``, since nobody waits for it, may let others gather for some milliseconds.
        ``done`` is called in a later turn of the event loop, without an error only once they are on disk.
        Raises at once, with nothing entered and ``done`` never called: JournalBusy, JournalFull (both
        retriable), JournalFailed, RecordRefused (too large).
        """


class Log(Protocol):
    """Ordered records per topic and partition.

    Promises: what ``append`` returned for is durable; records appended in one call keep their order per
    partition key; offsets grow and are never given twice; readers see only what is durable; a reader
    behind the end is woken within 100 ms of an append. A record may be appended twice when a caller
    retries; its envelope id is the same then.
    """

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        """Make the records durable, in order, and return where each stands.

        Raises LogUnavailable (retriable; some may have been appended), RecordRefused (a record is refused
        for itself; with several records the caller halves to find it), JournalFailed.
        """

    async def bounds(self, topic: str) -> Mapping[int, Bounds]:
        """Return what each partition of the topic holds now. Raises LogUnavailable, RecordRefused."""

    async def log_id(self, partition: TopicPartition) -> str:
        """Return the identity of the log behind a partition; part of every checkpoint's key.

        ``journal:{uuid}`` for segment logs, ``kafka:{cluster id}:{topic id}`` for Kafka. A log that was
        deleted and made anew has another identity.
        """

    async def offset_at(self, partition: TopicPartition, timestamp: int) -> int:
        """Return the first offset with a record timestamp at or after ``timestamp`` (ms), else the end."""

    def reader(self, starts: Mapping[TopicPartition, int]) -> Reader:
        """Return a reader from the given next offsets, in no group: it disturbs nobody."""

    def subscribe(
        self, topics: Sequence[str], group: str, assignee: Assignee
    ) -> AbstractAsyncContextManager[Subscription]:
        """Enter to read the partitions of ``topics`` that this member of ``group`` is assigned.

        Members of one group share the partitions; each is owned by one member at a time. A fenced runner
        leaves the context and enters again to be assigned anew.
        """

    async def close(self) -> None:
        """Release everything; appends under way are finished or fail."""


def record_of(topic: str, envelope: Envelope, timestamp: int) -> Record:
    """Return the envelope as a record of ``topic`` in binary content mode, keyed by its partition key."""
    headers, value = envelope.binary()
    return make(Record, (topic, envelope.partitionkey, value, headers, timestamp))
