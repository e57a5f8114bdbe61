"""The checkpoint row: the statements that claim, move, rewind and list it, each within a transaction."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Update,
    and_,
    bindparam,
    delete,
    func,
    select,
    update,
)

# ON CONFLICT as PostgreSQL spells it; SQLite took over its grammar, and the SQLite compiler renders it too.
from sqlalchemy.dialects.postgresql import insert as upsert

from bridge.errors import Fenced
from bridge.log.base import TopicPartition
from consumers.store.base import Checkpoint, CheckpointKey, Claim, Move
from consumers.store.tables import CHECKPOINTS as TABLE

UNMOVED: Final = and_(
    TABLE.c.epoch == bindparam("held_epoch"),
    TABLE.c.next_offset.is_not_distinct_from(bindparam("held_offset", type_=TABLE.c.next_offset.type)),
)
"""The comparison that fences: epoch and offset are what the claim holds."""


def moving(fence: ColumnElement[bool]) -> Update:
    """Return the statement that moves a row for which ``fence`` holds; compiled once, it takes many rows."""
    last_event_ms = bindparam("event_ms", type_=TABLE.c.last_event_ms.type)
    return (
        update(TABLE)
        .where(*(column == bindparam(f"key_{column.name}") for column in TABLE.primary_key.columns), fence)
        .values(
            next_offset=bindparam("to_offset"),
            updated_ms=bindparam("now_ms"),
            last_event_ms=func.coalesce(last_event_ms, TABLE.c.last_event_ms),
        )
    )


_MOVE = moving(UNMOVED)


def claim(connection: Connection, key: CheckpointKey, owner: str, now_ms: int) -> Claim:
    """Raise the epoch of the row, made if missing, and return the claim on it.

    A new row's epoch begins at the clock, so that a claim on a row that was dropped never fits its successor.
    """
    row = {**_columns(key), "epoch": now_ms, "owner": owner, "updated_ms": now_ms}
    connection.execute(upsert(TABLE).on_conflict_do_nothing(), row)
    values = {"epoch": TABLE.c.epoch + 1, "owner": owner, "updated_ms": now_ms}
    connection.execute(update(TABLE).where(_is(key)).values(values))
    return _claim(key, _row(connection, key))


def check(moves: Sequence[Move]) -> None:
    """Raise ValueError unless there are moves, each leading beyond its claim."""
    if not moves:
        raise ValueError("a commit moves at least one checkpoint")
    for held, next_offset, _ in moves:
        if held.next_offset is not None and next_offset <= held.next_offset:
            raise ValueError(f"a commit moves forward: from {held.next_offset} to {next_offset} it does not")


def move(connection: Connection, moves: Sequence[Move], now_ms: int) -> bool:
    """Set every row to its move's ``next_offset`` if all are as the claims hold them, and return True.

    Returns False when these claims have already moved them there: an earlier call was written although its
    caller could not know. Raises Fenced in every other case: what it did has to be rolled back.
    """
    ordered = sorted(moves)  # two transactions that move the same rows wait for each other in one order
    moved = connection.execute(_MOVE, [_parameters(each, now_ms) for each in ordered]).rowcount
    if moved == len(ordered):
        return True
    for held, next_offset, _ in ordered:
        row = _row(connection, held.key)
        if row is None or (row["epoch"], row["next_offset"]) != (held.epoch, next_offset):
            raise Fenced(_fenced(held, row))
    if moved:
        consumer, count = ordered[0].claim.key.consumer, len(ordered)
        raise Fenced(f"{count - moved} of {count} checkpoints of {consumer} were moved before, {moved} not")
    return False


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


def _parameters(move: Move, now_ms: int) -> dict[str, Any]:
    held, next_offset, last_event_ms = move
    named = {f"key_{name}": value for name, value in _columns(held.key).items()}
    now = {"to_offset": next_offset, "now_ms": now_ms, "event_ms": last_event_ms}
    return {**named, "held_epoch": held.epoch, "held_offset": held.next_offset, **now}


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
