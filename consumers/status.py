"""What a runner says about itself, for health, the ops page and the command line."""

from typing import Literal, NamedTuple

from bridge.log.base import TopicPartition

State = Literal["starting", "running", "retrying", "stopped", "ended"]
"""``stopped``: it gave up and waits for an operator; ``ended``: it was told to stop."""


class PartitionStatus(NamedTuple):
    """How far one partition is applied. ``lag_seconds`` is the age of the oldest record not yet applied.

    Both lags are 0 at the end of the log; ``end_offset`` is as last seen, None before anything was read.
    """

    partition: TopicPartition
    log_id: str
    next_offset: int | None
    end_offset: int | None
    lag_records: int
    lag_seconds: float


class RunnerStatus(NamedTuple):
    """One projection's runner: ``reason`` says why it is not running, ``parked`` counts since start."""

    name: str
    state: State
    reason: str | None
    since_ms: int
    parked: int
    partitions: tuple[PartitionStatus, ...]

    @property
    def lag_records(self) -> int:
        """Records not yet read, over all partitions owned."""
        return sum(each.lag_records for each in self.partitions)

    @property
    def lag_seconds(self) -> float:
        """The greatest lag of any partition owned."""
        return max((each.lag_seconds for each in self.partitions), default=0.0)
