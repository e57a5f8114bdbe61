"""Records as Kafka holds them. Text that is no UTF-8 survives both ways (surrogateescape)."""

from typing import Any

from bridge.log.base import Record, StoredRecord

Headers = list[tuple[str, bytes]]


def key_bytes(key: str | None) -> bytes | None:
    """Return a key as Kafka holds it."""
    return None if key is None else key.encode("utf-8", "surrogateescape")


def header_bytes(record: Record) -> Headers:
    """Return the record's headers as Kafka holds them."""
    return [(name, value.encode("utf-8", "surrogateescape")) for name, value in record.headers.items()]


def size_of(record: Record) -> int:
    """Return how many bytes the record takes at least, without what a batch adds."""
    headers = sum(len(name) + len(value) for name, value in record.headers.items())
    return len(record.key or "") + len(record.value or b"") + headers


def stored(topic: str, message: Any) -> StoredRecord:
    """Return one of the driver's messages as a record of ``topic``."""
    key = None if message.key is None else message.key.decode("utf-8", "surrogateescape")
    headers = {name: (value or b"").decode("utf-8", "surrogateescape") for name, value in message.headers}
    return StoredRecord(message.offset, Record(topic, key, message.value, headers, message.timestamp))
