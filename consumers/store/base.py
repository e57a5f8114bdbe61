"""The Store protocol: a SQL database in which effects and checkpoint commit together."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bridge.log.base import TopicPartition

if TYPE_CHECKING:
    from sqlalchemy import Executable

Row = Mapping[str, Any]


class CheckpointKey(NamedTuple):
    """Whose progress, in which log. ``log_id`` keeps a checkpoint from being used on a foreign log."""

    consumer: str
    log_id: str
    partition: TopicPartition


class Claim(NamedTuple):
    """The right to move one checkpoint: held until somebody else claims it (a higher epoch)."""

    key: CheckpointKey
    next_offset: int | None
    epoch: int
    owner: str


class Move(NamedTuple):
    """One checkpoint on its way forward, to ``next_offset`` beyond that of the claim held on it."""

    claim: Claim
    next_offset: int
    last_event_ms: int | None = None


class Checkpoint(NamedTuple):
    """One checkpoint row, as operators see it. Times are milliseconds since the epoch."""

    key: CheckpointKey
    next_offset: int | None
    epoch: int
    owner: str
    last_event_ms: int | None
    updated_ms: int


class Effect(NamedTuple):
    """One statement, executed once for each of its parameter rows; without rows it is not executed.

    Rows have the same names each, and plain values: text, 64-bit integers, None.
    """

    statement: "Executable"
    rows: Sequence[Row]


class Store(Protocol):
    """A SQL database reached through transactions that carry effects and checkpoints together.

    Promises: ``commit`` is all or nothing; its first statement moves each checkpoint only if offset and
    epoch are what the claim on it holds; driver errors come out as StoreUnavailable, StoreRefused or Fenced.
    Statements are written once and run on every store (``INSERT ... ON CONFLICT``, row values).
    """

    async def open(self) -> None:
        """Connect and migrate to this program's tables, under a lock; opening twice is opening once.

        Raises StoreUnavailable (the same call may succeed later), StoreError (made by a newer program).
        """

    async def claim(self, key: CheckpointKey, owner: str) -> Claim:
        """Raise the epoch of the checkpoint (made if missing) and return the claim on it.

        Every older claim on the key is fenced from now on. ``next_offset`` is None for a new consumer.
        """

    async def commit(self, moves: Sequence[Move], effects: Sequence[Effect]) -> Sequence[Claim]:
        """Execute the effects and move the checkpoints forward, each another one, in one transaction.

        Returns the claims to use next, in the order of the moves. Raises Fenced (one of them is not as its
        claim holds it; nothing written), StoreUnavailable (it may or may not have been written: the same
        call again is safe, and finds out), StoreRefused (nothing written), ValueError (no move, or one that
        does not lead beyond its claim).
        """

    async def checkpoints(self, consumer: str | None = None) -> Sequence[Checkpoint]:
        """Return the checkpoints of one consumer, or of all."""

    async def rewind(self, key: CheckpointKey, next_offset: int, owner: str) -> Claim:
        """Set the checkpoint to ``next_offset`` and raise its epoch, so a running consumer is fenced."""

    async def drop(self, consumer: str) -> int:
        """Forget every checkpoint of the consumer and return how many there were; its tables stay."""

    async def select(self, statement: "Executable") -> Sequence[Row]:
        """Return the rows of a read-only statement."""

    async def close(self) -> None:
        """Close every connection."""
