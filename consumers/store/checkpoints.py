"""The checkpoint row: the statements that claim, move, rewind and list it, each within a transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, select, update

# ON CONFLICT as PostgreSQL spells it; SQLite took over its grammar, and the SQLite compiler renders it too.
from sqlalchemy.dialects.postgresql import insert as upsert

from bridge.errors import Fenced
from bridge.log.base import TopicPartition
from consumers.store.base import Checkpoint, CheckpointKey, Claim
from consumers.store.tables import CHECKPOINTS as TABLE


def claim(connection: Connection, key: CheckpointKey, owner: str, now_ms: int) -> Claim:
    """Raise the epoch of the row, made if missing, and return the claim on it.

    A new row's epoch begins at the clock, so that a claim on a row that was dropped never fits its successor.
    """
    row = {**_columns(key), "epoch": now_ms, "owner": owner, "updated_ms": now_ms}
    connection.execute(upsert(TABLE).on_conflict_do_nothing(), row)
    values = {"epoch": TABLE.c.epoch + 1, "owner": owner, "updated_ms": now_ms}
    connection.execute(update(TABLE).where(_is(key)).values(values))
    return _claim(key, _row(connection, key))


def move(
    connection: Connection, held: Claim, next_offset: int, last_event_ms: int | None, now_ms: int
) -> bool:
    """Set the row to ``next_offset`` if it is as the claim holds it, and return True.

    Returns False when this claim has already moved it there: an earlier call was written although its
    caller could not know. Raises Fenced in every other case.
    """
    values: dict[str, Any] = {"next_offset": next_offset, "updated_ms": now_ms}
    if last_event_ms is not None:
        values["last_event_ms"] = last_event_ms
    moved = connection.execute(update(TABLE).where(_is(held.key), unmoved(held)).values(values))
    if moved.rowcount == 1:
        return True
    row = _row(connection, held.key)
    if row is not None and (row["epoch"], row["next_offset"]) == (held.epoch, next_offset):
        return False
    raise Fenced(_fenced(held, row))


def unmoved(held: Claim) -> ColumnElement[bool]:
    """Return the comparison that fences: epoch and offset are what the claim holds."""
    same = TABLE.c.next_offset.is_not_distinct_from(held.next_offset)
    return and_(TABLE.c.epoch == held.epoch, same)


def rewind(connection: Connection, key: CheckpointKey, next_offset: int, owner: str, now_ms: int) -> Claim:
    """Claim the row and set it to ``next_offset``, wherever it stood."""
    taken = claim(connection, key, owner, now_ms)
    connection.execute(update(TABLE).where(_is(key)).values(next_offset=next_offset))
    return taken._replace(next_offset=next_offset)


def listed(connection: Connection, consumer: str | None) -> Sequence[Checkpoint]:
    """Return the rows of one consumer, or all, in the order of their keys."""
    statement = select(TABLE).order_by(*TABLE.primary_key.columns)
    if consumer is not None:
        statement = statement.where(TABLE.c.consumer == consumer)
    return [_checkpoint(row) for row in connection.execute(statement).mappings()]


def drop(connection: Connection, consumer: str) -> int:
    """Delete the rows of one consumer and return how many there were."""
    return connection.execute(delete(TABLE).where(TABLE.c.consumer == consumer)).rowcount


def _columns(key: CheckpointKey) -> dict[str, Any]:
    topic, partition = key.partition
    return {"consumer": key.consumer, "log_id": key.log_id, "topic": topic, "partition": partition}


def _is(key: CheckpointKey) -> ColumnElement[bool]:
    return and_(*(TABLE.c[name] == value for name, value in _columns(key).items()))


def _row(connection: Connection, key: CheckpointKey) -> RowMapping | None:
    return connection.execute(select(TABLE).where(_is(key))).mappings().one_or_none()


def _claim(key: CheckpointKey, row: RowMapping | None) -> Claim:
    if row is None:
        raise Fenced(f"the checkpoint {_named(key)} was dropped while it was being claimed")
    return Claim(key, row["next_offset"], row["epoch"], row["owner"])


def _checkpoint(row: RowMapping) -> Checkpoint:
    key = CheckpointKey(row["consumer"], row["log_id"], TopicPartition(row["topic"], row["partition"]))
    names = ("next_offset", "epoch", "owner", "last_event_ms", "updated_ms")
    return Checkpoint(key, *(row[name] for name in names))


def _named(key: CheckpointKey) -> str:
    return f"of {key.consumer} in {key.partition.topic}/{key.partition.partition} of {key.log_id}"


def _fenced(held: Claim, row: RowMapping | None) -> str:
    mine = f"{held.owner} held it at epoch {held.epoch}, offset {held.next_offset}"
    if row is None:
        return f"the checkpoint {_named(held.key)} was dropped: {mine}"
    found = f"epoch {row['epoch']}, offset {row['next_offset']} under {row['owner']}"
    return f"the checkpoint {_named(held.key)} is at {found}: {mine}; nothing was written"
