"""Records as bytes: how one record stands inside a batch.

A frame is length of the head (4), length of the value (4, all ones for a tombstone), timestamp (8), the head
(JSON ``[topic, key, headers]``) and the value.
"""

import json
from collections.abc import Collection
from struct import Struct, error
from typing import Any, Final

import orjson

from bridge.errors import RecordRefused
from bridge.log.base import Record, StoredRecord
from schemas.named import make

_FRAME: Final = Struct("<IIq")
_pack = _FRAME.pack
_unpack_from = _FRAME.unpack_from
_TOMBSTONE: Final = 0xFFFFFFFF


def encode(record: Record) -> bytes:
    """Return the frame of one record. Raises RecordRefused when it has none."""
    topic, key, value, headers, timestamp = record
    try:
        head = orjson.dumps((topic, key, headers))
    except TypeError:
        head = _encode_plainly([topic, key, dict(headers)])
    try:
        if value is None:
            return _pack(len(head), _TOMBSTONE, timestamp) + head
        return _pack(len(head), len(value), timestamp) + head + value
    except (error, OverflowError) as cause:
        raise RecordRefused(
            f"a record of {topic} cannot be written: its timestamp is {timestamp}, "
            f"its value has {len(value or b'')} bytes ({cause})"
        ) from cause


def _encode_plainly(head: list[Any]) -> bytes:
    """Encode text that is not valid Unicode: lone surrogates, as surrogateescape leaves them."""
    return json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _decode_head(head: bytes) -> list[Any]:
    try:
        decoded: list[Any] = orjson.loads(head)
    except orjson.JSONDecodeError:
        decoded = json.loads(head.decode("utf-8", "surrogatepass"))
    return decoded


def topic_prefixes(topics: Collection[str]) -> tuple[bytes, ...]:
    """Return what the heads of the topics' records begin with, so that others need no decoding."""
    return tuple(b"[" + orjson.dumps(topic) + b"," for topic in topics)


def decode(
    data: bytes, position: int, stop: int, offset: int, prefixes: tuple[bytes, ...] | None = None
) -> list[StoredRecord]:
    """Return the records framed in ``data[position:stop]``, the first of which stands at ``offset``.

    With ``prefixes``, only those of these topics.
    """
    records = []
    while position < stop:
        head_bytes, value_bytes, timestamp = _unpack_from(data, position)
        head = position + _FRAME.size
        body = head + head_bytes
        position = body if value_bytes == _TOMBSTONE else body + value_bytes
        if prefixes is None or data.startswith(prefixes, head):
            topic, key, headers = _decode_head(data[head:body])
            value = None if value_bytes == _TOMBSTONE else data[body:position]
            record = make(Record, (topic, key, value, headers, timestamp))
            records.append(make(StoredRecord, (offset, record)))
        offset += 1
    return records
