"""Reading one batch ahead: of a backlog the next batch is read while the target takes the one before."""

import asyncio
from typing import Final

from bridge.log.base import Batch, Reader

_READ_SECONDS: Final = 0.25


class ReadAhead:
    """A reader that may be told to begin. What such a read raises is raised by the ``read`` that follows."""

    def __init__(self, reader: Reader, batch_records: int) -> None:
        self._reader, self._batch_records = reader, batch_records
        self._reading: asyncio.Task[Batch | None] | None = None

    def begin(self) -> None:
        """Begin to read what the next ``read`` returns."""
        self._reading = asyncio.create_task(self._reader.read(self._batch_records, _READ_SECONDS))

    async def read(self) -> Batch | None:
        """Return the next batch, None after a moment without one. Raises as the reader does."""
        reading, self._reading = self._reading, None
        return await (reading or self._reader.read(self._batch_records, _READ_SECONDS))

    async def close(self) -> None:
        """Release the reader; what was read ahead is read again by whoever goes on from the mark."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._reader.close()
