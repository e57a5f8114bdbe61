"""Replay: a stretch of a topic given again, to a topic or to a projection, planned before it is run.

Records given again keep id and sequence (readers see repeats, not new facts) and gain ``im-replay-job``.
Every job that writes is told to ``im.ops.v1`` when it starts and when it ends.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from secrets import token_hex
from time import monotonic
from typing import Any, Final, NamedTuple

from bridge.errors import UsageError
from bridge.log.base import JOB_HEADER, Bounds, Log, Record, TopicPartition, record_of
from bridge.log.scan import Found, Selection, ranges_of, scan
from consumers.store.base import CheckpointKey, Store
from schemas.operations import operation
from schemas.topics import OPS, TOPICS

_BATCH: Final = 500
_CATCH_UP_SECONDS: Final = 0.1
"""How much of a delay a rate makes good for: longer than a sleep overshoots, far below a burst."""


class Plan(NamedTuple):
    """What a replay would give again: counts, bytes and times of the records selected, and who reads."""

    selection: Selection
    ranges: Mapping[TopicPartition, Bounds]
    counts: Mapping[tuple[int, str], int]
    records: int
    size_bytes: int
    first_ms: int | None
    last_ms: int | None
    target: str | None
    readers: Sequence[str]


async def plan(
    log: Log, selection: Selection, target: str | None = None, readers: Sequence[str] = ()
) -> Plan:
    """Return the plan, with the end offsets fixed: what arrives later is not part of it."""
    ranges = await ranges_of(log, selection)
    counts: Counter[tuple[int, str]] = Counter()
    size = 0
    times: list[int] = []
    async for place, stored in scan(log, ranges, selection.takes):
        record = stored.record
        counts[place.partition, record.headers.get("ce_type", "-")] += 1
        size += len(record.value or b"")
        times = (
            [min(times[0], record.timestamp), max(times[1], record.timestamp)]
            if times
            else [record.timestamp] * 2
        )
    first, last = times or (None, None)
    return Plan(selection, ranges, counts, sum(counts.values()), size, first, last, target, readers)


async def selected(log: Log, planned: Plan, rate: float | None = None) -> AsyncIterator[Found]:
    """Yield the records of the plan, in order per partition, at most ``rate`` a second."""
    due = monotonic() - (1 / rate if rate else 0)
    async for found in scan(log, planned.ranges, planned.selection.takes):
        if rate:
            due = max(due + 1 / rate, monotonic() - _CATCH_UP_SECONDS)
            await asyncio.sleep(max(0.0, due - monotonic()))
        yield found


async def replay_to_topic(
    log: Log,
    planned: Plan,
    topic: str,
    *,
    actor: str,
    clock: Callable[[], int],
    rate: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[str, int]:
    """Append the plan's records to ``topic`` and return the job's id and their count.

    ``clock`` gives moments. ``rate`` bounds records a second. Raises UsageError for a topic that is not ours.
    """
    if topic not in TOPICS:
        raise UsageError(f"{topic} is no topic of this bridge; known: {', '.join(TOPICS)}")
    job = f"replay-{token_hex(8)}"
    await _tell(log, "replay.started", job, planned, {"to_topic": topic, "actor": actor}, clock())
    done = 0
    batch: list[Record] = []
    most = min(_BATCH, max(1, int(rate))) if rate else _BATCH
    async for _, stored in selected(log, planned, rate):
        batch.append(_again(stored.record, topic, job))
        if len(batch) >= most:
            done = await _give(log, batch, done, progress)
    done = await _give(log, batch, done, progress)
    await _tell(log, "replay.finished", job, planned, {"to_topic": topic, "records": done}, clock())
    return job, done


async def _give(log: Log, batch: list[Record], done: int, progress: Callable[[int], None]) -> int:
    if not batch:
        return done
    await log.append(batch)
    count = len(batch)
    batch.clear()
    progress(done + count)
    return done + count


def _again(record: Record, topic: str, job: str) -> Record:
    return record._replace(topic=topic, headers={**record.headers, JOB_HEADER: job})


async def rewind_projection(
    log: Log, store: Store, planned: Plan, projection: str, *, actor: str, clock: Callable[[], int]
) -> tuple[str, int]:
    """Set the projection's checkpoints to where the plan begins; return the job's id and how many moved.

    A running consumer is fenced and goes on from there. Tables are not emptied: what was applied is applied
    again without effect. Raises UsageError for a plan narrowed by key or type, which a rewind cannot do.
    """
    chosen = planned.selection
    if any(value is not None for value in (chosen.key, chosen.type, chosen.end_offset, chosen.until_ms)):
        raise UsageError("a rewind gives everything from its beginning on: leave out key, type and ends")
    job = f"replay-{token_hex(8)}"
    said = {"to_projection": projection, "actor": actor}
    await _tell(log, "replay.started", job, planned, said, clock())
    for place, held in planned.ranges.items():
        key = CheckpointKey(projection, await log.log_id(place), place)
        await store.rewind(key, held.begin, job)
    await _tell(log, "replay.finished", job, planned, {**said, "partitions": len(planned.ranges)}, clock())
    return job, len(planned.ranges)


async def _tell(log: Log, fact: str, job: str, planned: Plan, said: Mapping[str, Any], moment: int) -> None:
    data = {
        "job": job,
        "selection": planned.selection._asdict(),
        "ranges": {str(place.partition): list(held) for place, held in planned.ranges.items()},
        "planned_records": planned.records,
        **said,
    }
    envelope = operation(fact, f"replay/{job}", data, moment)
    await log.append([record_of(OPS, envelope, moment >> 16)])
