"""How far readers have got: named marks beside a segment log, below which it may forget.

``relay`` is the relay's; a consumer's are named ``CONSUMER@TOPIC``. Each is a preallocated file of two slots
written in turn, so that moving a mark needs no free space and a half-written one leaves the one before.
"""

import os
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from bridge.log.segments import disk, slots
from bridge.log.segments.format import pack_block
from bridge.log.segments.identity import read_identity
from bridge.log.segments.layout import FILLING, MARKS, file_name, log_directories, name_of_file

RELAY: Final = "relay"
_MAGIC: Final = b"imb-mrk\n"
_BODY: Final = Struct("<16sQQQ")


class Mark(NamedTuple):
    """One mark: everything before ``next_offset`` is no longer needed by its owner."""

    next_offset: int
    updated_ms: int
    turn: int = 0


class PlacedMark(NamedTuple):
    """A mark with the log it belongs to: its number and identity."""

    number: int
    log_id: str
    name: str
    mark: Mark


def consumer_mark(consumer: str, topic: str) -> str:
    """Return the name of a consumer's mark for one topic."""
    return f"{consumer}@{topic}"


def write_mark(directory: Path, uuid: bytes, name: str, next_offset: int, now_ms: int) -> None:
    """Set the mark ``name`` of the log in ``directory``. Not synced: a lost move means repeats, never loss.

    Raises OSError; only the first mark of a name needs free space.
    """
    path = directory / MARKS / file_name(name)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        disk.create(path, slots.both(_pack(uuid, Mark(next_offset, now_ms))))
        return
    slot, turn = _next_turn(path, uuid)
    fd = os.open(path, os.O_RDWR)
    try:
        disk.write_all(fd, _pack(uuid, Mark(next_offset, now_ms, turn)), slot * slots.SLOT_BYTES)
    finally:
        os.close(fd)


def _pack(uuid: bytes, mark: Mark) -> bytes:
    return pack_block(_MAGIC, _BODY.pack(uuid, *mark)).ljust(slots.SLOT_BYTES, b"\0")


def _next_turn(path: Path, uuid: bytes) -> tuple[int, int]:
    """Return the slot to overwrite, the one that is damaged or older, and the number of the turn."""
    turns = [-1 if mark is None else mark.turn for mark in _slots(path, uuid)]
    return turns.index(min(turns)), max(turns) + 1


def _slots(path: Path, uuid: bytes) -> list[Mark | None]:
    return [_unpack(body, uuid) for body in slots.read_file(path, _MAGIC)]


def _unpack(body: bytes | None, uuid: bytes) -> Mark | None:
    if body is None:
        return None
    owner, next_offset, updated_ms, turn = _BODY.unpack(body)
    return Mark(next_offset, updated_ms, turn) if owner == uuid else None


def read_marks(directory: Path, uuid: bytes) -> dict[str, Mark]:
    """Return the marks of the log in ``directory`` by name. A mark that does not check out stands at 0.

    At 0 it keeps the log from forgetting until its owner moves it again, or it is dropped.
    """
    try:
        paths = sorted((directory / MARKS).iterdir())
    except FileNotFoundError:
        return {}
    return {name_of_file(path.name): _latest(path, uuid) for path in paths if not path.name.endswith(FILLING)}


def _latest(path: Path, uuid: bytes) -> Mark:
    found = [mark for mark in _slots(path, uuid) if mark is not None]
    return max(found, key=lambda mark: mark.turn, default=Mark(0, 0))


def list_marks(data_dir: Path) -> list[PlacedMark]:
    """Return every mark of every segment log under ``data_dir``."""
    placed = []
    for number, directory in log_directories(data_dir).items():
        identity = read_identity(directory)
        marks = read_marks(directory, identity.uuid)
        placed += [PlacedMark(number, identity.log_id, name, mark) for name, mark in marks.items()]
    return placed


def drop_marks(data_dir: Path, consumer: str) -> int:
    """Forget every mark of ``consumer``, so that it no longer keeps logs from forgetting; return how many."""
    prefix = consumer_mark(consumer, "")
    dropped = 0
    for directory in log_directories(data_dir).values():
        for path in (directory / MARKS).glob("*"):
            if name_of_file(path.name).startswith(prefix):
                path.unlink(missing_ok=True)
                dropped += 1
    return dropped
