"""What a parked record looks like on ``im.dlq.v1``: the original key, bytes and headers, and why.

Made by the runner (a projection cannot apply it) and by the relay (Kafka refuses it for itself).
"""

from hashlib import blake2b
from typing import Final, Literal

from bridge.log.base import Position, Record
from schemas.topics import DLQ

PREFIX: Final = "im-dlq-"
Disposition = Literal["poison", "refused", "gap"]
_REASON_CHARS: Final = 2000


def dead_letter_id(consumer: str, log_id: str, position: Position) -> str:
    """Return the id of the dead letter a consumer makes of one record, the same each time it is parked."""
    text = "\n".join((consumer, log_id, *map(str, position)))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def dead_letter(
    record: Record,
    position: Position,
    *,
    consumer: str,
    log_id: str,
    reason: str,
    attempts: int,
    disposition: Disposition,
    now_ms: int,
) -> Record:
    """Return the dead letter for ``record``, which stands at ``position`` of the log ``log_id``."""
    said = {
        "id": dead_letter_id(consumer, log_id, position),
        "consumer": consumer,
        "log": log_id,
        "topic": position.topic,
        "partition": str(position.partition),
        "offset": str(position.offset),
        "timestamp": str(record.timestamp),
        "reason": reason[:_REASON_CHARS],
        "attempts": str(attempts),
        "disposition": disposition,
    }
    headers = {**record.headers, **{PREFIX + name: text for name, text in said.items()}}
    return Record(DLQ, record.key, record.value, headers, now_ms)
