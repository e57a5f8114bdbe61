"""Looking after a journal nobody writes: left by a process that died, or by one of more workers before.

Readers see what its writer published. After a power cut that may lie behind what was acknowledged, until
somebody opens the journal for writing and recovers it; so an orphan is opened by whoever gets its lock.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bridge.errors import LogUnavailable
from bridge.log.clock import wall_ms
from bridge.log.segments.files import SegmentFiles
from bridge.log.segments.layout import LOCK
from bridge.log.segments.locks import try_lock
from bridge.log.segments.marks import Mark, read_marks
from bridge.log.segments.view import LogView


class Adopted(NamedTuple):
    """What looking after an orphan did: records that readers see now, lost ones, segments forgotten."""

    number: int
    revealed: int
    lost: int
    forgotten: int


def adopt(
    directory: Path,
    *,
    segment_bytes: int,
    max_bytes: int,
    keep_ms: int,
    still_needed: Callable[[Mapping[str, Mark], int], Mapping[str, int]],
    now_ms: Callable[[], int] = wall_ms,
) -> Adopted | None:
    """Recover the journal in ``directory`` under its lock, forget what may go, and give it back.

    None when somebody holds it: then it is no orphan. ``still_needed`` says, of its marks and its beginning,
    the next offsets of those who still need records. Blocks. Raises LogUnavailable, LogCorrupt, FormatTooNew,
    JournalFull.
    """
    lock = try_lock(directory / LOCK)
    if lock is None:
        return None
    number = int(directory.name)
    with lock:
        with closing(LogView(directory)) as view:
            published = view.end()
        try:
            files = SegmentFiles(
                directory, number, segment_bytes=segment_bytes, max_bytes=max_bytes, now_ms=now_ms
            )
        except OSError as error:
            raise LogUnavailable(f"journal {directory} cannot be recovered: {error}") from error
        try:
            needed = still_needed(read_marks(directory, files.identity.uuid), files.bounds.begin)
            needed_from = min(needed.values(), default=files.end_offset)
            limit = files.forgettable_until(now_ms() - keep_ms, needed_from, under_pressure=False)
            revealed = files.end_offset - published - files.lost_records
            return Adopted(number, revealed, files.lost_records, files.forget(limit))
        except OSError as error:
            raise LogUnavailable(f"segments of {directory} cannot be unlinked: {error}") from error
        finally:
            files.close()
