"""Following the rules topic: from its beginning to its end, then what comes; one loop for both."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final, NamedTuple

from bridge.errors import LogUnavailable, OffsetGone
from bridge.log.base import Log, TopicPartition
from consumers.rules.topic import BATCH_RECORDS, POLL_SECONDS, REQUEST_SECONDS, TopicState, rules_bounds

CONFIRM_SECONDS: Final = 2.0
"""How often an idle topic is asked whether its end is still where it was: silence alone proves nothing."""


class Seen(NamedTuple):
    """What a follower knows: the topic folded up to at least the end it found at its start.

    ``read_at_ms`` is the last moment at which nothing beyond was known to stand on the topic.
    """

    log_id: str
    state: TopicState
    read_at_ms: int


async def follow(log: Log, stop: asyncio.Event, now_ms: Callable[[], int]) -> AsyncGenerator[Seen]:
    """Yield what is known, first at the end offset seen at start, then after every read, until ``stop``.

    Always reads from the beginning: a reader that was away may have missed tombstones. Raises LogError.
    """
    read_at = now_ms()
    partition, held = await rules_bounds(log)
    log_id = await _log_id(log, partition)
    state, next_offset, asked_at = TopicState(), held.begin, time.monotonic()
    reader = log.reader({partition: held.begin})
    try:
        while not stop.is_set():
            if next_offset >= held.end:
                yield Seen(log_id, state, read_at)
            batch = await reader.read(BATCH_RECORDS, POLL_SECONDS)
            if batch is not None:
                state.fold(batch.records)
                next_offset = batch.next_offset
                if next_offset >= batch.end_offset:
                    read_at, asked_at = now_ms(), time.monotonic()
            elif time.monotonic() - asked_at >= CONFIRM_SECONDS:
                before = now_ms()
                if await _is_end(log, log_id, next_offset):
                    read_at = before
                asked_at = time.monotonic()
    finally:
        await reader.close()


async def _is_end(log: Log, log_id: str, next_offset: int) -> bool:
    """Return whether nothing stands beyond. Raises where the topic is no longer the one being read."""
    partition, held = await rules_bounds(log)
    if await _log_id(log, partition) != log_id:
        raise LogUnavailable(f"{partition.topic} was made anew: it is read from its beginning")
    if held.end < next_offset:
        raise OffsetGone(partition.topic, partition.partition, next_offset, held.begin, held.end)
    return held.end == next_offset


async def _log_id(log: Log, partition: TopicPartition) -> str:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await log.log_id(partition)
    except TimeoutError as error:
        raise LogUnavailable(f"the log did not say who it is within {REQUEST_SECONDS:g} s") from error
