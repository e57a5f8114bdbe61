"""What a process that was killed left behind in its consumer groups, and how its successor ends that.

The broker keeps a dead member's partitions until its session times out. A process writes down under which id
it stands in each group, in a file whose lock it holds for life: whoever obtains that lock next knows that the
writer is gone, and may leave the group in its place. Static membership would wait less too, but two processes
with one instance id put each other out without end (the driver's heartbeats carry no instance id, so neither
is told), and a static leader that comes back watches no longer over new partitions.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from bridge.errors import LogError, LogUnavailable
from bridge.log.kafka.cluster import Cluster
from bridge.log.segments.layout import file_name
from bridge.log.segments.locks import OsLock, try_lock
from bridge.telemetry import logger

_MOST_PROCESSES: Final = 64
_log = logger("kafka")


class MemberBook:
    """The member ids of this process, by group, in ``directory``: the first book there that nobody holds.

    Where none can be had (a read-only disk) nothing is remembered and nothing else changes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: OsLock | None = None
        self._path: Path | None = None
        self._ids: dict[str, str] = {}

    def of(self, group: str) -> str | None:
        """Return the id last written down for the group, by this process or by one that is gone."""
        self._open()
        return self._ids.get(group)

    def write(self, group: str, member_id: str) -> None:
        """Write down that this process stands in the group under this id."""
        self._open()
        self._ids[group] = member_id
        if self._path is not None:
            with suppress(OSError):  # a full disk costs a wait after the next kill, no more
                self._path.write_bytes(orjson.dumps(self._ids))

    def close(self) -> None:
        """Give the book back."""
        lock, self._lock, self._path = self._lock, None, None
        if lock is not None:
            lock.release()

    def _open(self) -> None:
        if self._lock is not None:
            return
        with suppress(LogUnavailable):
            for number in range(1, _MOST_PROCESSES + 1):
                name = file_name(f"kafka-members-{number}")
                if (lock := try_lock(self._directory / name)) is not None:
                    self._lock, self._path = lock, self._directory / f"{name}.json"
                    self._ids = _read(self._path)
                    return


class Seat:
    """This process's place in one group. One subscription of a process sits in it at a time."""

    def __init__(self, group: str, book: MemberBook | None, cluster: Cluster) -> None:
        self._group, self._book, self._cluster = group, book, cluster

    async def clear(self) -> None:
        """Take whoever sat here before out of the group. Where that fails its session has to end."""
        member_id = self._book.of(self._group) if self._book is not None else None
        if member_id is None:
            return
        with suppress(LogError):
            if await self._cluster.leave(self._group, member_id):
                _log.info("member.taken_out", group=self._group, member=member_id)

    def take(self, member_id: str) -> None:
        """Remember that we sit here."""
        if self._book is not None:
            self._book.write(self._group, member_id)


def _read(path: Path) -> dict[str, str]:
    """Return what is written there; nothing where that cannot be read, or was torn by a kill."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
