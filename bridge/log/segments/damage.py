"""Loss is counted once per process and named with file and offsets, never silent."""

from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

from bridge.telemetry import JOURNAL_LOST, logger

_REMEMBERED: Final = 10_000
_log = logger("segments")


class Gap(NamedTuple):
    """Offsets from ``first`` up to, not including, ``until`` that cannot be read."""

    first: int
    until: int

    @property
    def records(self) -> int:
        """How many records are lost."""
        return self.until - self.first


class _Reported:
    """What this process has already counted: several readers come across the same damage."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: dict[tuple[bytes, Gap], None] = {}

    def is_new(self, uuid: bytes, gap: Gap) -> bool:
        with self._lock:
            if (uuid, gap) in self._seen:
                return False
            self._seen[uuid, gap] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            return True


_reported = _Reported()


def report(uuid: bytes, path: Path, gap: Gap, seen_by: str) -> None:
    """Count the records of ``gap`` as lost and log file and offsets, unless this process did so before."""
    if gap.records <= 0 or not _reported.is_new(uuid, gap):
        return
    JOURNAL_LOST.inc(gap.records)
    _log.error(
        "records.lost",
        file=str(path),
        first_offset=gap.first,
        until_offset=gap.until,
        records=gap.records,
        seen_by=seen_by,
    )
