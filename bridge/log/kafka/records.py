"""Records as Kafka holds them. Text that is no UTF-8 survives both ways (surrogateescape)."""

from collections.abc import Mapping
from typing import Any

from bridge.log.base import Record, StoredRecord

Headers = list[tuple[str, bytes]]


def key_bytes(key: str | None) -> bytes | None:
    """Return a key as Kafka holds it."""
    return None if key is None else key.encode("utf-8", "surrogateescape")


def header_bytes(headers: Mapping[str, str]) -> Headers:
    """Return headers as Kafka holds them."""
    try:  # naming a treatment of errors costs more than the encoding, ten times a record
        return [(name, value.encode()) for name, value in headers.items()]
    except UnicodeEncodeError:
        return [(name, value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]


def size_of(record: Record) -> int:
    """Return how many bytes the record takes at least, without what a batch adds."""
    headers = sum(len(name) + len(value) for name, value in record.headers.items())
    return len(record.key or "") + len(record.value or b"") + headers


def stored(topic: str, message: Any) -> StoredRecord:
    """Return one of the driver's messages as a record of ``topic``."""
    key = None if message.key is None else message.key.decode("utf-8", "surrogateescape")
    headers = {name: (value or b"").decode("utf-8", "surrogateescape") for name, value in message.headers}
    return StoredRecord(message.offset, Record(topic, key, message.value, headers, message.timestamp))
