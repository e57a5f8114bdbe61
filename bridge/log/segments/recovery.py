"""What the last segment of a log truly holds, found when the log is opened for writing."""

import shutil
from pathlib import Path
from typing import NamedTuple

from bridge.log.segments import disk
from bridge.log.segments.damage import Gap
from bridge.log.segments.format import SEGMENT_BYTES, Times, batch_at, find_batch
from bridge.log.segments.layout import DAMAGED
from bridge.telemetry import logger

_log = logger("segments")


class Survey(NamedTuple):
    """The valid batches of one segment: where the last one stops, what it holds, what is missing between."""

    position: int
    next_offset: int
    times: Times
    gaps: tuple[Gap, ...]


def survey(data: bytes, first_offset: int, seed: int, where: Path) -> Survey:
    """Return what the bytes of a segment hold. Raises FormatTooNew.

    Bytes that do not check out are passed over when a valid batch stands behind them: one batch at a time
    is on its way to the disk, so that cannot be a torn write. Without one, they are the torn tail.
    """
    position, expected, times = SEGMENT_BYTES, first_offset, Times()
    gaps: list[Gap] = []
    while True:
        batch = batch_at(data, position, seed, where)
        if batch is None or batch.first_offset < expected:
            batch = find_batch(data, position + 1, seed, expected, where)
        if batch is None:
            return Survey(position, expected, times, tuple(gaps))
        if batch.first_offset > expected:
            gaps.append(Gap(expected, batch.first_offset))
        position, expected, times = batch.stop, batch.next_offset, times.joined(batch.times)


def write_again(fd: int, data: bytes, start: int, stop: int) -> None:
    """Put ``data[start:stop]`` on disk by writing it once more.

    A sync alone would not do: after one failed, the kernel keeps the bytes in memory, takes them for
    written, and the next sync succeeds without them.
    """
    if stop > start:
        disk.write_all(fd, data[start:stop], start)
        disk.sync(fd)


def zero_tail(fd: int, data: bytes, position: int, path: Path) -> None:
    """Overwrite the torn tail from ``position`` with zeros, so that it is never taken for a batch."""
    tail = data[position:].rstrip(b"\0")
    if tail:
        _log.warning("tail.cut", file=str(path), position=position, bytes=len(tail))
        disk.write_all(fd, bytes(len(tail)), position)
        disk.sync(fd)


def copy_aside(path: Path) -> None:
    """Keep the damaged segment under ``damaged/`` as it was found; without space, as a second name."""
    kept = path.parent / DAMAGED / path.name
    if kept.exists():
        return
    try:
        kept.parent.mkdir(exist_ok=True)
        try:
            shutil.copyfile(path, kept)
        except OSError:
            kept.unlink(missing_ok=True)
            kept.hardlink_to(path)
    except OSError as error:
        _log.error("segment.not_copied", file=str(path), error=str(error))
        return
    _log.error("segment.copied_aside", file=str(path), kept=str(kept))
