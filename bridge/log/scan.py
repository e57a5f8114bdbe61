"""Reading a stretch of a topic once: what the command line shows and what a replay selects."""

from collections.abc import AsyncGenerator, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from bridge.log.base import Bounds, Log, Record, StoredRecord, TopicPartition

_BATCH: Final = 500
_WAIT_SECONDS: Final = 1.0

Found = tuple[TopicPartition, StoredRecord]


class Selection(NamedTuple):
    """Which records of a topic are meant. Times are milliseconds of acceptance, half open like offsets.

    ``key`` and ``type`` are exact or patterns with ``*``; None means all.
    """

    topic: str
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    first_offset: int | None = None
    end_offset: int | None = None
    key: str | None = None
    type: str | None = None

    def takes(self, record: Record) -> bool:
        """Say whether the record is meant; its offset has been looked at already."""
        return (
            (self.since_ms is None or record.timestamp >= self.since_ms)
            and (self.until_ms is None or record.timestamp < self.until_ms)
            and (self.key is None or _fits(record.key or "", self.key))
            and (self.type is None or _fits(record.headers.get("ce_type", ""), self.type))
        )


def _fits(text: str, pattern: str) -> bool:
    """Compare exactly but for ``*``: ids of groups and users may hold any other sign of a shell's."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


async def ranges_of(log: Log, selection: Selection) -> dict[TopicPartition, Bounds]:
    """Return the offsets of each partition that must be read, with the ends fixed now."""
    ranges = {}
    for partition, held in (await log.bounds(selection.topic)).items():
        if selection.partition is not None and partition != selection.partition:
            continue
        place = TopicPartition(selection.topic, partition)
        begin, end = held
        if selection.first_offset is not None:
            begin = max(begin, selection.first_offset)
        if selection.end_offset is not None:
            end = min(end, selection.end_offset)
        if selection.since_ms is not None:
            begin = max(begin, await log.offset_at(place, selection.since_ms))
        ranges[place] = Bounds(begin, max(begin, end))
    return ranges


async def scan(
    log: Log,
    ranges: Mapping[TopicPartition, Bounds],
    takes: Callable[[Record], bool] = lambda _: True,
    *,
    follow: bool = False,
) -> AsyncGenerator[Found]:
    """Yield the records taken, in order per partition, up to the ends given; with ``follow`` without end."""
    open_ends = {place: held.end for place, held in ranges.items() if follow or held.begin < held.end}
    if not open_ends:
        return
    reader = log.reader({place: ranges[place].begin for place in open_ends})
    try:
        while open_ends:
            batch = await reader.read(_BATCH, _WAIT_SECONDS)
            if batch is None:
                continue
            end = None if follow else open_ends.get(batch.partition, 0)
            for stored in batch.records:
                if (end is None or stored.offset < end) and takes(stored.record):
                    yield batch.partition, stored
            if end is not None and batch.next_offset >= end:
                open_ends.pop(batch.partition, None)
    finally:
        await reader.close()
