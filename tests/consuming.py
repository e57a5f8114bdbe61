"""What the tests of consumers share: events, a counter that is not idempotent, the contents of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Executable, Integer, MetaData, Table, Text, bindparam, select, text, update

from bridge.log.base import Record, TopicPartition, record_of
from consumers.store.base import CheckpointKey, Effect, Store
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


async def counted(store: Store, name: str) -> int:
    """Return where a counter stands."""
    (row,) = await store.select(select(COUNTER.c.n).where(COUNTER.c.name == name))
    return int(row["n"])
