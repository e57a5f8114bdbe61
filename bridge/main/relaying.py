"""Relays for every journal of the data directory, as journals appear; idle without Kafka."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from bridge.config import Settings
from bridge.errors import LogCorrupt, LogError, LogUnavailable
from bridge.log.base import Log
from bridge.log.segments import LogView, SegmentLog, journal_directories
from bridge.main.opening import open_set_aside
from bridge.main.units import awaited
from bridge.ops.server import Part
from bridge.relay import BATCH_RECORDS, SHARED_BATCH_RECORDS, JournalSource, Relay, RelayStatus
from bridge.telemetry import logger

_LOOK_SECONDS: Final = 1.0
_log = logger("relay")


class Relaying:
    """One relay for each journal, those of processes that are gone included.

    ``own`` gives this process's journal, whose appends wake its relay at once. ``shared`` says that callers
    are answered in the same loop: it is then held for shorter stretches. Embedded there is nothing to relay:
    consumers read the journals themselves, and this only waits to be stopped.
    """

    def __init__(
        self, settings: Settings, log: Log, own: Callable[[], SegmentLog | None], *, shared: bool
    ) -> None:
        self._settings, self._log, self._own = settings, log, own
        self._batch_records = SHARED_BATCH_RECORDS if shared else BATCH_RECORDS
        self._park = open_set_aside(settings)
        self._relays: dict[int, tuple[Relay, LogView]] = {}
        self._unreadable: dict[str, str] = {}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Relay until stopped. Raises FormatTooNew, and what a relay raises that trying does not mend."""
        if self._settings.embedded:
            _log.info(
                "relay.idle", reason="no kafka.bootstrap_servers: consumers read the journals themselves"
            )
            await self._stop.wait()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stop.is_set():
                    for number, relay in self._new_relays():
                        tasks.create_task(awaited(f"relay of journal {number}", relay.run()))
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), _LOOK_SECONDS)
                for relay, _ in self._relays.values():
                    relay.stop()
        finally:
            self._say_left()
            await self._close()

    def stop(self) -> None:
        """Let every relay move what its journal holds; the deadline of the whole stop cuts it short."""
        self._stop.set()

    def parts(self) -> Mapping[str, Part]:
        """Return how each relay is doing."""
        return {
            f"relay of journal {number}": _part(relay.status()) for number, (relay, _) in self._relays.items()
        }

    def _new_relays(self) -> Iterator[tuple[int, Relay]]:
        """Yield a relay for each journal that has none; what cannot be read is said once and tried again."""
        try:
            found = journal_directories(self._settings.data_dir)
        except LogUnavailable as error:
            self._say_once(str(self._settings.data_dir), error)
            return
        for number in found.keys() - self._relays.keys():
            try:
                relay = self._relay(number, found[number])
            except (LogUnavailable, LogCorrupt) as error:
                self._say_once(str(found[number]), error)
                continue
            yield number, relay

    def _say_once(self, directory: str, error: LogError) -> None:
        if self._unreadable.get(directory) != str(error):
            _log.error("journal.unreadable", directory=directory, reason=str(error))
        self._unreadable[directory] = str(error)

    def _relay(self, number: int, directory: Path) -> Relay:
        view = LogView(directory)
        own = self._own()
        bell = own.bell if own is not None and own.number == number else None
        longer = 2 * self._settings.drain_seconds  # the deadline of the whole stop comes first
        relay = Relay(
            JournalSource(view, bell),
            self._log,
            self._park,
            batch_records=self._batch_records,
            drain_seconds=longer,
        )
        self._relays[number] = relay, view
        return relay

    def _say_left(self) -> None:
        """Say what each journal holds that is not on Kafka: it stays there for the next start."""
        left = {number: relay.status().lag_records for number, (relay, _) in self._relays.items()}
        say = _log.warning if any(left.values()) else _log.info
        say("relay.ended", left=sum(left.values()), journals=left)

    async def _close(self) -> None:
        for _, view in self._relays.values():
            view.close()
        with suppress(LogError):
            await self._park.close()


def _part(status: RelayStatus) -> Part:
    says = f"{status.state}, {status.lag_records} records and {status.lag_seconds:.1f} s behind"
    if status.reason:
        says += f": {status.reason}"
    details = {"lag_records": status.lag_records, "lag_seconds": status.lag_seconds}
    return Part(status.state != "stalled", says, details=details)
