"""Relays what a data directory holds to its end, once: before it is given up, or after it was left behind."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from bridge.config import Settings
from bridge.errors import ConfigurationError, ImbridgeError, LogError
from bridge.log.base import Log
from bridge.log.segments import LogView, journal_directories
from bridge.main.opening import open_log, open_set_aside
from bridge.main.orphans import adopt_journal
from bridge.main.units import awaited
from bridge.relay import JournalSource, Relay, RelayStatus

_LOOK_SECONDS: Final = 0.1
Progress = Callable[[Sequence[RelayStatus]], None]


class Emptied(NamedTuple):
    """How far one journal came: so many offsets ``relayed`` now, so many ``left``, and what is in the way."""

    journal: int
    relayed: int
    left: int
    end_offset: int
    reason: str

    @property
    def is_empty(self) -> bool:
        """Whether all the journal holds was relayed."""
        return not self.left and not self.reason


async def relay_until_empty(settings: Settings, seconds: float, progress: Progress) -> Sequence[Emptied]:
    """Relay every journal of the data directory to its end, for up to ``seconds``; return how far each came.

    Journals nobody writes are recovered first, so that what a power cut hid is relayed too. One that another
    relay is at work on is waited for. Raises ConfigurationError without Kafka, LogUnavailable when the
    directory cannot be read.
    """
    if settings.embedded:
        raise ConfigurationError(
            "kafka.bootstrap_servers is not set: without Kafka there is nowhere to relay to"
        )
    if not settings.data_dir.is_dir():
        raise ConfigurationError(f"there is no data directory {settings.data_dir}: set --data-dir")
    log, park = open_log(settings), open_set_aside(settings)
    emptying = _Emptying(settings, log, park)
    try:
        await asyncio.to_thread(emptying.find)
        await emptying.run(seconds, progress)
        return emptying.emptied()
    finally:
        emptying.close()
        await park.close()
        await log.close()


class _Journal:
    """One journal on its way to Kafka: its relay is stopped once nothing is left for it."""

    def __init__(self, view: LogView, log: Log, park: Log) -> None:
        self._view = view
        source = JournalSource(view)
        self._begin = source.bounds().begin if (mark := source.mark()) is None else mark
        self._relay = Relay(source, log, park)
        self._error = ""

    async def run(self) -> None:
        """Relay until ``look`` found nothing left; raises nothing but a cancellation."""
        try:
            await awaited(f"relay of journal {self._view.number}", self._relay.run())
        except ImbridgeError as error:
            self._error = str(error)

    def look(self) -> RelayStatus:
        """Return how the relay stands; let it end when nothing is left."""
        status = self._relay.status()
        if status.lag_records == 0 and status.next_offset >= self._begin:
            self._relay.stop()
        return status

    def emptied(self) -> Emptied:
        """Return how far the journal came."""
        status, reason = self._relay.status(), self._error
        try:
            end = self._view.end()
        except LogError as error:
            return Emptied(status.journal, 0, 0, status.end_offset, str(error))
        left = max(0, end - max(status.next_offset, self._begin))
        reason = reason or (status.reason or "not finished in time" if left else "")
        return Emptied(status.journal, max(0, status.next_offset - self._begin), left, end, reason)

    def close(self) -> None:
        """Release its files."""
        self._view.close()


class _Emptying:
    """Every journal of the directory, at the same time."""

    def __init__(self, settings: Settings, log: Log, park: Log) -> None:
        self._settings, self._log, self._park = settings, log, park
        self._journals: list[_Journal] = []
        self._unusable: list[Emptied] = []

    def find(self) -> None:
        """Recover the orphans and open every journal there is. Blocks. Raises LogUnavailable."""
        for number, directory in journal_directories(self._settings.data_dir).items():
            try:
                adopt_journal(self._settings, directory)
                self._journals.append(_Journal(LogView(directory), self._log, self._park))
            except LogError as error:
                self._unusable.append(Emptied(number, 0, 0, 0, str(error)))

    async def run(self, seconds: float, progress: Progress) -> None:
        """Relay until nothing is left or the time is over."""
        tasks = [asyncio.create_task(journal.run()) for journal in self._journals]
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(seconds):
                    while not all(task.done() for task in tasks):
                        progress([journal.look() for journal in self._journals])
                        await asyncio.sleep(_LOOK_SECONDS)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def emptied(self) -> Sequence[Emptied]:
        """Return how far each journal came, by number."""
        return sorted([*(journal.emptied() for journal in self._journals), *self._unusable])

    def close(self) -> None:
        """Release every file."""
        for journal in self._journals:
            journal.close()
