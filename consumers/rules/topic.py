"""The rules topic as it stands: the last value of every key, and how to read it from beginning to end."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from bridge.errors import LogError, LogUnavailable
from bridge.log.base import Bounds, Log, StoredRecord, TopicPartition
from consumers.rules.records import is_known_key, manifest_key
from schemas.topics import RULES

BATCH_RECORDS: Final = 500
POLL_SECONDS: Final = 0.25
REQUEST_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0
_BAD_KEPT: Final = 20


class Kept(NamedTuple):
    """The last value of a key and where it stands."""

    offset: int
    value: bytes


class BadRecord(NamedTuple):
    """A record that was passed over, and why."""

    offset: int
    key: str | None
    reason: str


class TopicState:
    """The rules topic folded: what a reader from the beginning knows at ``next_offset``.

    Reading anew and following give the same state: both are ``fold``.
    """

    def __init__(self) -> None:
        self.records: dict[str, Kept] = {}
        self.removed: set[str] = set()
        self.bad: deque[BadRecord] = deque(maxlen=_BAD_KEPT)
        self.bad_count = 0
        self._touched: set[str] = set()

    def fold(self, stored: Sequence[StoredRecord]) -> None:
        """Take in the next records: the last one of a key stands, a tombstone removes it."""
        for offset, (_, key, value, _, _) in stored:
            if key is None or not is_known_key(key):
                self._pass_over(BadRecord(offset, key, "a key that is neither rule, list nor manifest"))
                continue
            self._touched.add(key)
            if value is None:
                self.records.pop(key, None)
                self.removed.add(key)
                continue
            self.removed.discard(key)
            self.records[key] = Kept(offset, value)
            if parse_object(value) is None:
                self._pass_over(BadRecord(offset, key, "a value that is not a JSON object"))

    def manifest(self, set_name: str) -> Kept | None:
        """Return the latest manifest of the set."""
        return self.records.get(manifest_key(set_name))

    def take_touched(self) -> set[str]:
        """Return the keys that changed since this was asked last."""
        touched, self._touched = self._touched, set()
        return touched

    def _pass_over(self, bad: BadRecord) -> None:
        self.bad.append(bad)
        self.bad_count += 1


def parse_object(value: bytes) -> dict[str, Any] | None:
    """Return the JSON object, None where the bytes are none."""
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


async def rules_bounds(log: Log) -> tuple[TopicPartition, Bounds]:
    """Return the one partition of the rules topic and what it holds.

    Raises LogUnavailable, also when the log does not answer in time; LogError unless there is one partition.
    """
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            bounds = await log.bounds(RULES)
    except TimeoutError as error:
        raise LogUnavailable(f"the log said nothing about {RULES} within {REQUEST_SECONDS:g} s") from error
    if len(bounds) != 1:
        raise LogError(
            f"{RULES} has {len(bounds)} partitions and must have one: make the topic anew with one"
        )
    ((number, held),) = bounds.items()
    return TopicPartition(RULES, number), held


class Reading(NamedTuple):
    """The topic read to an end offset."""

    partition: TopicPartition
    state: TopicState
    next_offset: int


async def read_topic(log: Log, timeout_seconds: float = READ_SECONDS) -> Reading:
    """Return the rules topic as it stands now, from its beginning to its end.

    Raises LogError; LogUnavailable when the end is not reached in time.
    """
    partition, held = await rules_bounds(log)
    state = TopicState()
    next_offset = await read_until(log, partition, held.begin, held.end, state.fold, timeout_seconds)
    return Reading(partition, state, next_offset)


async def read_until(
    log: Log,
    partition: TopicPartition,
    begin: int,
    end: int,
    take: Callable[[Sequence[StoredRecord]], None],
    timeout_seconds: float,
) -> int:
    """Give ``take`` the records from ``begin`` up to at least ``end``; return the next offset.

    Raises LogUnavailable when ``end`` is not reached within ``timeout_seconds``.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_seconds
    next_offset = begin
    reader = log.reader({partition: begin})
    try:
        while next_offset < end:
            batch = await reader.read(BATCH_RECORDS, POLL_SECONDS)
            if batch is not None:
                take(batch.records)
                next_offset = batch.next_offset
            elif clock() > deadline:
                raise LogUnavailable(
                    f"{partition.topic} was read up to {next_offset} of {end} within {timeout_seconds:g} s"
                )
    finally:
        await reader.close()
    return next_offset
