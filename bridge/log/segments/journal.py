"""Gives a process its journal: the first one nobody holds, or a new one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge.errors import ConfigurationError, LogLocked, LogUnavailable
from bridge.log.clock import wall_ms
from bridge.log.segments.files import SegmentFiles
from bridge.log.segments.layout import LOCK, MAX_JOURNALS, journal_directory
from bridge.log.segments.locks import OsLock, try_lock
from bridge.log.segments.log import SegmentLog

__all__ = ["SegmentLog", "open_journal"]

SEGMENT_BYTES: Final = 64 << 20
MAX_BYTES: Final = 16 << 30
QUEUE_RECORDS: Final = 20_000
QUEUE_BYTES: Final = 32 << 20
_LEAST_SEGMENTS: Final = 3


def open_journal(
    data_dir: Path,
    *,
    loop: asyncio.AbstractEventLoop,
    segment_bytes: int = SEGMENT_BYTES,
    max_bytes: int = MAX_BYTES,
    queue_records: int = QUEUE_RECORDS,
    queue_bytes: int = QUEUE_BYTES,
    now_ms: Callable[[], int] = wall_ms,
) -> SegmentLog:
    """Return the first journal under ``data_dir`` that nobody holds, else a new one, recovered and writable.

    Blocks: call it in a thread. Raises JournalFull (a new journal, and no room), LogLocked (no number is
    free), LogCorrupt, FormatTooNew, LogUnavailable, ConfigurationError (``max_bytes`` below three segments).
    """
    if max_bytes < _LEAST_SEGMENTS * segment_bytes:
        raise ConfigurationError(
            f"journal.max_bytes is {max_bytes}: it must hold {_LEAST_SEGMENTS} segments of {segment_bytes}"
        )
    number, lock = _free_journal(data_dir)
    try:
        files = SegmentFiles(
            journal_directory(data_dir, number),
            number,
            segment_bytes=segment_bytes,
            max_bytes=max_bytes,
            spare_bytes=segment_bytes,
            now_ms=now_ms,
        )
        return SegmentLog(files, lock, loop, queue_records, min(queue_bytes, files.capacity))
    except OSError as error:
        lock.release()
        raise LogUnavailable(f"journal {number:04d} under {data_dir} cannot be opened: {error}") from error
    except BaseException:
        lock.release()
        raise


def _free_journal(data_dir: Path) -> tuple[int, OsLock]:
    for number in range(1, MAX_JOURNALS + 1):
        lock = try_lock(journal_directory(data_dir, number) / LOCK)
        if lock is not None:
            return number, lock
    raise LogLocked(f"all {MAX_JOURNALS} journals under {data_dir} are held: stop a process first")
