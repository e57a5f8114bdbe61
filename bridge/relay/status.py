"""How a relay stands."""

from typing import Literal, NamedTuple

State = Literal["waiting", "relaying", "stalled", "stopped"]


class RelayStatus(NamedTuple):
    """How a relay stands, for readiness and operators' pages. ``reason`` says why it waits or stalls."""

    journal: int
    state: State
    reason: str
    next_offset: int
    end_offset: int
    lag_seconds: float

    @property
    def lag_records(self) -> int:
        """Journal offsets not yet relayed."""
        return self.end_offset - self.next_offset
