"""What the tests of consumers share: events, a counter that is not idempotent, the contents of tables."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, Executable, Integer, MetaData, Table, Text, bindparam, select, text, update

from bridge.log.base import Log, Record, TopicPartition, record_of
from consumers.runner import Runner
from consumers.store.base import CheckpointKey, Claim, Effect, Move, Store
from consumers.store.opening import store_for
from consumers.store.sql import SqlStore
from schemas.envelope import Envelope, format_time
from schemas.topics import GROUP

SOURCE = "/im/tencent/1400000000"
COUNTER = Table("counter", MetaData(), Column("name", Text, primary_key=True), Column("n", Integer))
ADD = (
    update(COUNTER)
    .where(COUNTER.c.name == bindparam("counter"))
    .values(n=COUNTER.c.n + bindparam("by", type_=Integer))
)


def event(
    fact: str, data: Mapping[str, Any], version: int = 1 << 40, event_id: str = "e1", source: str = SOURCE
) -> Envelope:
    """Return the event ``im.{fact}.v1``; ``version`` is 48 bits milliseconds, 16 bits counter."""
    when = format_time(version >> 16)
    return Envelope(
        id=event_id,
        source=source,
        type=f"im.{fact}.v1",
        subject=f"group/{data.get('group_id')}",
        time=when,
        recordedtime=when,
        sequence=f"{version:016x}",
        partitionkey=str(data.get("group_id")),
        data=dict(data),
    )


def joined(number: int, group: str = "g1", user: str | None = None) -> Envelope:
    """Return the event of one person joining, the ``number``-th of all."""
    members = [{"user_id": user or f"u{number}"}]
    return event(
        "group.member.joined", {"group_id": group, "members": members}, number + 1 << 16, f"e{number}"
    )


def record(envelope: Envelope, topic: str = GROUP) -> Record:
    """Return the event as a record."""
    return record_of(topic, envelope, int(envelope.sequence, 16) >> 16)


def key(consumer: str = "groups", log_id: str = "journal:1", partition: int = 0) -> CheckpointKey:
    """Return a checkpoint's key."""
    return CheckpointKey(consumer, log_id, TopicPartition(GROUP, partition))


async def opened(url: str, **options: Any) -> SqlStore:
    """Return the store at ``url``, connected, with a table for counters."""
    store = store_for(url, **options)
    assert isinstance(store, SqlStore)
    await store.open()
    execute(store, text("CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, n INTEGER)"))
    return store


def execute(store: SqlStore, statement: Executable) -> None:
    """Execute a statement outside of the store's own ways."""
    with store._engine.begin() as connection:
        connection.execute(statement)


def new_counter(store: SqlStore, name: str) -> None:
    """Make a counter that stands at 0."""
    execute(store, COUNTER.insert().values(name=name, n=0))


def add(name: str, by: int) -> Sequence[Effect]:
    """Return an effect that must happen exactly once, for it cannot be repeated unnoticed."""
    return [Effect(ADD, [{"counter": name, "by": by}])]


async def commit(
    store: Store, claim: Claim, next_offset: int, effects: Sequence[Effect], last_event_ms: int | None = None
) -> Claim:
    """Commit the effects with the move of one checkpoint alone, and return the next claim on it."""
    (moved,) = await store.commit([Move(claim, next_offset, last_event_ms)], effects)
    return moved


async def counted(store: Store, name: str) -> int:
    """Return where a counter stands."""
    (row,) = await store.select(select(COUNTER.c.n).where(COUNTER.c.name == name))
    return int(row["n"])


JOINED = "im.group.member.joined.v1"


class Counting:
    """A projection that counts events in the counter ``seen``, so that a record applied twice shows.

    ``look`` is called with each batch, in the thread where effects are worked out.
    """

    name = "counting"
    topics = (GROUP,)
    types = frozenset({JOINED})

    def __init__(self, look: Callable[[Sequence[Envelope]], None] = lambda _: None) -> None:
        self.look = look

    def effects(self, envelopes: Sequence[Envelope]) -> Sequence[Effect]:
        """Return one addition for the batch."""
        self.look(envelopes)
        return add("seen", len(envelopes))


@asynccontextmanager
async def running(runner: Runner, seconds: float = 20) -> AsyncIterator[asyncio.Task[None]]:
    """Run a runner, and stop it in good order, all within some seconds."""
    async with asyncio.timeout(seconds):
        task = asyncio.create_task(runner.run())
        try:
            yield task
        finally:
            runner.stop()
            await task


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return once something is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.005)


async def read_all(log: Log, topic: str) -> Sequence[Record]:
    """Return what a topic holds, in the order of partitions and offsets."""
    found: list[Record] = []
    for number, held in (await log.bounds(topic)).items():
        reader = log.reader({TopicPartition(topic, number): held.begin})
        while batch := await reader.read(100, 0):
            found += [stored.record for stored in batch.records]
        await reader.close()
    return found
