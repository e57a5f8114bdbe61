"""One writer thread: waiting appends become one batch, one write, one sync; then all of them are answered."""

import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Final, NamedTuple

from bridge.errors import JournalFailed, JournalFull, LogError
from bridge.log.base import Done
from bridge.log.segments.files import SegmentFiles
from bridge.log.segments.format import BATCH_BYTES
from bridge.telemetry import logger

_BATCH_LIMIT: Final = 8 << 20
_log = logger("segments")


class Append(NamedTuple):
    """One append on its way: how many ``records``, their encoding, and who is told how it ends."""

    done: Done
    records: int
    data: bytes
    newest_ms: int


class Written(NamedTuple):
    """One batch of appends with the offset of its first record, or the error that came instead.

    ``seconds`` is what writing and syncing it took.
    """

    appends: Sequence[Append]
    first_offset: int
    error: LogError | None
    seconds: float = 0.0


class Writer:
    """The thread that writes. It calls ``done`` with every batch; ``failure`` says what went wrong first."""

    def __init__(
        self,
        files: SegmentFiles,
        done: Callable[[Written], None],
        used_reserve: Callable[[], None],
    ) -> None:
        self._files = files
        self._done = done
        self._used_reserve = used_reserve
        self._queue: SimpleQueue[list[Append] | None] = SimpleQueue()
        self.failure: str | None = None
        self._thread = Thread(target=self._run, name="segment-writer", daemon=True)
        self._thread.start()

    def put(self, appends: list[Append]) -> None:
        """Hand over appends, in order."""
        self._queue.put(appends)

    def stop(self, timeout: float) -> bool:
        """Write what was handed over, end the thread; False when that took over ``timeout`` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (appends := self._queue.get()) is not None:
            more: list[Append] | None = appends
            while more and not self._queue.empty():  # nobody else takes from it
                more = self._queue.get()
                appends += more or ()
            self._write_all(appends)
            if more is None:
                return

    def _write_all(self, appends: list[Append]) -> None:
        start = 0
        while start < len(appends):
            stop = self._batch_stop(appends, start)
            self._done(self._write(appends[start:stop]))
            start = stop

    def _batch_stop(self, appends: list[Append], start: int) -> int:
        """Return where the batch beginning at ``start`` stops to fit into the open or the next segment."""
        room = self._files.room
        if BATCH_BYTES + len(appends[start].data) > room:
            room = self._files.reserve_room
        room = min(room, _BATCH_LIMIT) - BATCH_BYTES
        stop = start
        while stop < len(appends) and (room := room - len(appends[stop].data)) >= 0:
            stop += 1
        return max(stop, start + 1)

    def _write(self, appends: list[Append]) -> Written:
        if self.failure is not None:
            return Written(appends, 0, JournalFailed(self.failure))
        began, reserve = time.perf_counter(), self._files.reserve_room
        try:
            first_offset = self._append(appends)
        except JournalFull as error:
            return Written(appends, 0, error)
        except Exception as error:  # noqa: BLE001 whatever it was, nothing may be acknowledged after it
            self._fail(error)
            return Written(appends, 0, JournalFailed(self.failure))
        seconds = time.perf_counter() - began
        if self._files.reserve_room != reserve:
            self._used_reserve()
        return Written(appends, first_offset, None, seconds)

    def _append(self, appends: list[Append]) -> int:
        _, counts, parts, newest_ms = zip(*appends, strict=True)
        return self._files.append(parts, sum(counts), max(newest_ms))

    def _fail(self, error: Exception) -> None:
        self.failure = (
            f"writing to {self._files.directory} failed ({error}): what was acknowledged stands, "
            "nothing more is accepted; start the process again once the disk is well"
        )
        _log.critical("journal.failed", directory=str(self._files.directory), error=repr(error))
