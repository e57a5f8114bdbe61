"""One bed per implementation of the log: how to open it, again, anew, and how to make it forget."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import pytest

from bridge.errors import JournalBusy
from bridge.log.base import Log, Record, TopicPartition
from bridge.log.clock import wall_ms
from bridge.log.embedded import EmbeddedLog
from bridge.log.memory import MemoryLog
from bridge.log.segments import ControlLog, SegmentLog, open_journal
from schemas.topics import GROUP
from tests.contract.kafka_bed import KafkaBed

SEGMENT_BYTES = 64 << 10


class LogBed(Protocol):
    """One log under test. A new implementation is one more of these and one more line in ``BEDS``.

    ``seconds`` bounds every wait. ``keeps`` says whether records outlive ``opened``.
    """

    seconds: float
    keeps: bool
    max_record_bytes: int

    def opened(self) -> AbstractAsyncContextManager[Log]:
        """Enter to use the log as it stands now, as another process would after a restart."""

    async def forget(self, log: Log) -> None:
        """Make the log forget the first record of every partition of ``im.group.v1``."""

    async def make_anew(self) -> None:
        """Throw the log away; the next ``opened`` makes another."""


class MemoryBed:
    seconds = 2.0
    keeps = False
    max_record_bytes = 10_000

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[MemoryLog]:
        log = MemoryLog(partitions=2, max_record_bytes=self.max_record_bytes)
        yield log
        await log.close()

    async def forget(self, log: Log) -> None:
        assert isinstance(log, MemoryLog)
        for partition, (begin, _) in (await log.bounds(GROUP)).items():
            log.forget(TopicPartition(GROUP, partition), begin + 1)

    async def make_anew(self) -> None:
        pass


class EmbeddedBed:
    """``with_journal``: this process writes a journal, else everything goes to control."""

    seconds = 5.0
    keeps = True
    max_record_bytes = SEGMENT_BYTES

    def __init__(self, directory: Path, *, with_journal: bool) -> None:
        self._data_dir = directory / "data"
        self._with_journal = with_journal
        self._journal: SegmentLog | None = None
        self._control = ControlLog(self._data_dir, segment_bytes=SEGMENT_BYTES)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[EmbeddedLog]:
        journal = await self._open_journal() if self._with_journal else None
        self._journal = journal
        log = EmbeddedLog(self._data_dir, journal, control=self._control)
        try:
            yield log
        finally:
            await log.close()
            if journal is not None:
                await journal.close()

    async def _open_journal(self) -> SegmentLog:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(
            open_journal,
            self._data_dir,
            loop=loop,
            segment_bytes=SEGMENT_BYTES,
            max_bytes=100 * SEGMENT_BYTES,
        )

    async def forget(self, log: Log) -> None:
        """Fill segments until the first is sealed, then let it go."""
        filler = Record(GROUP, "filler", b"x" * (SEGMENT_BYTES // 2), {}, wall_ms())
        filled = 0
        while filled < 4:
            with suppress(JournalBusy):  # the next segment is still being allocated
                await log.append([filler])
                filled += 1
            await asyncio.sleep(0)
        if self._journal is not None:
            await asyncio.to_thread(self._journal.forget, wall_ms() + 1, 0, {})
        await asyncio.to_thread(self._control.forget, wall_ms() + 1, 0)

    async def make_anew(self) -> None:
        shutil.rmtree(self._data_dir)


BEDS: dict[str, Callable[[Path], LogBed]] = {
    "memory": lambda _: MemoryBed(),
    "embedded": lambda directory: EmbeddedBed(directory, with_journal=False),
    "embedded-journal": lambda directory: EmbeddedBed(directory, with_journal=True),
}


@pytest.fixture(params=[*BEDS, pytest.param("kafka", marks=pytest.mark.kafka)])
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> LogBed:
    if request.param == "kafka":
        return KafkaBed(request.getfixturevalue("kafka"))
    return BEDS[request.param](tmp_path)


@pytest.fixture
async def log(make_log: LogBed) -> AsyncIterator[Log]:
    async with make_log.opened() as log:
        yield log
