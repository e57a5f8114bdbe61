"""Reads partitions of segment logs in order, woken by this process's bell, else by a look at each end."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Final, Self

from bridge.errors import LogUnavailable
from bridge.log.base import Batch, TopicPartition
from bridge.log.bell import Bell
from bridge.log.segments.cursor import Cursor
from bridge.log.segments.view import LogView

POLL_SECONDS: Final = 0.05
_PROGRESS_SECONDS: Final = 1.0


class Source:
    """One partition being read: the log behind it, found at the first read, and the place in it.

    ``topics`` are those whose records are wanted, None for all.
    """

    def __init__(
        self,
        find_view: Callable[[], LogView],
        partition: TopicPartition,
        start: int,
        topics: Collection[str] | None,
    ) -> None:
        self.partition = partition
        self.next_offset = start
        self._find_view, self._topics = find_view, topics
        self._opened: tuple[LogView, Cursor] | None = None
        self._told = start
        self._told_at = 0.0

    def progress(self) -> Batch | None:
        """Return a batch without records that says how far this is; None when there is something to read."""
        if self._opened is None:
            return None
        end = self._opened[0].end()
        return None if self.next_offset < end else Batch(self.partition, (), self.next_offset, end)

    def read(self, max_records: int) -> Batch:
        """Return the next records, maybe none. Blocks. Raises OffsetGone, LogUnavailable, FormatTooNew."""
        view, cursor = self._opened = self._opened or self._open()
        end = view.end()
        records = cursor.read(max_records, end)
        self.next_offset = cursor.next_offset
        return Batch(self.partition, records, self.next_offset, max(end, self.next_offset))

    def _open(self) -> tuple[LogView, Cursor]:
        view = self._find_view()
        return view, view.cursor(self.partition, self.next_offset, self._topics)

    def is_worth_telling(self, batch: Batch, now: float) -> bool:
        """Say whether to return the batch: it has records, or progress was not told for a second."""
        overdue = batch.next_offset > self._told and now - self._told_at >= _PROGRESS_SECONDS
        if not batch.records and not overdue:
            return False
        self._told, self._told_at = batch.next_offset, now
        return True

    def close(self) -> None:
        """Release the open file."""
        if self._opened is not None:
            self._opened[1].close()


class SegmentReader:
    """Reads ``sources`` by turns, in a thread, up to each published durable end. Implements ``Reader``."""

    def __init__(self, sources: Collection[Source], bell: Bell) -> None:
        self._sources = deque(sources)
        self._bell = bell
        self._closed = False
        self._turn = asyncio.Lock()
        self._under_way: tuple[Source, asyncio.Future[Batch]] | None = None

    async def read(self, max_records: int, timeout: float) -> Batch | None:
        """Return the next batch of any partition, or None when ``timeout`` seconds pass without one.

        Raises OffsetGone, LogUnavailable (the same call may succeed later), FormatTooNew. A read that is
        cancelled loses nothing: what it found is returned by the next.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        async with self._turn:
            while True:
                heard = self._bell.rings
                batch = await self._look(max_records)
                left = deadline - loop.time()
                if batch is not None or left <= 0:
                    return batch
                await self._bell.wait(heard, min(POLL_SECONDS, left))

    async def _look(self, max_records: int) -> Batch | None:
        """Look at each source once, beginning behind the one that was looked at last."""
        if self._closed:
            raise LogUnavailable("the reader is closed")
        now = asyncio.get_running_loop().time()
        for _ in range(len(self._sources)):
            source = self._sources[0] if self._under_way is None else self._under_way[0]
            self._sources.rotate(-1)
            batch = await self._read(source, max_records)
            if source.is_worth_telling(batch, now):
                return batch
        return None

    async def _read(self, source: Source, max_records: int) -> Batch:
        if self._under_way is None:
            progress = source.progress()
            if progress is not None:
                return progress
            reading = asyncio.get_running_loop().run_in_executor(None, source.read, max_records)
            self._under_way = source, reading
        await asyncio.wait((self._under_way[1],))
        under_way, self._under_way = self._under_way, None
        return under_way[1].result()

    def add(self, sources: Collection[Source]) -> None:
        """Read these partitions too."""
        self._sources.extend(sources)

    async def close(self) -> None:
        """Release what the reader holds; a read under way ends with LogUnavailable."""
        self._closed = True
        self._bell.ring()
        async with self._turn:
            await self._finish()
            for source in self._sources:
                source.close()

    async def _finish(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            await asyncio.gather(under_way[1], return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
