"""What the tests of the segment log share: a journal to open, records to append, a log to read back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge.errors import JournalBusy, LogError
from bridge.log.base import Position, Record, StoredRecord, TopicPartition
from bridge.log.segments import LogView, SegmentLog, open_journal
from schemas.topics import GROUP

SEGMENT = 16 << 10
BEGAN = 1_700_000_000_000
SECONDS = 10


def record(number: int, size: int = 20, topic: str = GROUP, key: str | None = "g1") -> Record:
    return Record(topic, key, b"%d " % number + b"." * size, {"number": str(number)}, BEGAN + number)


async def open_at(data_dir: Path, **options: Any) -> SegmentLog:
    options = {"segment_bytes": SEGMENT, "max_bytes": 64 * SEGMENT, **options}
    return await asyncio.to_thread(open_journal, data_dir, loop=asyncio.get_running_loop(), **options)


@asynccontextmanager
async def opened(data_dir: Path, **options: Any) -> AsyncIterator[SegmentLog]:
    journal = await open_at(data_dir, **options)
    try:
        yield journal
    finally:
        await journal.close()


async def append(journal: SegmentLog, *records: Record) -> list[Position]:
    """Append one by one, waiting where the next segment is still being allocated."""
    positions: list[Position] = []
    async with asyncio.timeout(SECONDS):
        for each in records:
            while True:
                try:
                    positions += await journal.append([each])
                    break
                except JournalBusy:
                    await asyncio.sleep(0.001)
    return positions


def submit(journal: SegmentLog, *records: Record, patient: bool = False) -> "asyncio.Future[list[Position]]":
    """Enter the records into the queue at once; the future tells where they stand once they are on disk."""
    answer: asyncio.Future[list[Position]] = asyncio.get_running_loop().create_future()

    def done(first_offset: int, error: LogError | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
            return
        answer.set_result(
            [
                Position(record.topic, journal.number, place)
                for place, record in enumerate(records, first_offset)
            ]
        )

    journal.submit(records, done, patient=patient)
    return answer


def stored(directory: Path, start: int | None = None) -> list[StoredRecord]:
    """Return what a log holds, as another process sees it."""
    view = LogView(directory)
    bounds = view.bounds()
    begin = bounds.begin if start is None else start
    cursor = view.cursor(TopicPartition("", view.number), begin, None)
    found: list[StoredRecord] = []
    while cursor.next_offset < bounds.end:
        found += cursor.read(1000, bounds.end)
    cursor.close()
    view.close()
    return found


def numbers(found: list[StoredRecord]) -> list[int]:
    return [int(each.record.headers["number"]) for each in found]


async def reached(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
