"""The yardstick of a relay: aiokafka's own producer with the same records, used as its guide says to be fast.

Idempotent with acks=all as ours is, batches as large as ours, 10 ms of linger, ``send`` without waiting for
each record, one wait for every ten thousand. Keys, headers and values are bytes beforehand: nothing is read.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from bridge.log.base import Record
from bridge.log.kafka.producer import BATCH_BYTES

LINGER_MS: Final = 10
WINDOW: Final = 10_000

Message = dict[str, Any]


def messages(records: Sequence[Record]) -> list[Message]:
    """Return the records as arguments of ``send``."""
    return [
        {
            "key": None if record.key is None else record.key.encode(),
            "value": record.value,
            "headers": [(name, value.encode()) for name, value in record.headers.items()],
            "timestamp_ms": record.timestamp,
        }
        for record in records
    ]


def producer(bootstrap_servers: str) -> AIOKafkaProducer:
    """Return the tuned producer; enter it."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        enable_idempotence=True,
        acks="all",
        max_batch_size=BATCH_BYTES,
        linger_ms=LINGER_MS,
    )


async def send(driver: AIOKafkaProducer, topic: str, sent: Sequence[Message]) -> None:
    """Return once the broker has taken all of them."""
    for start in range(0, len(sent), WINDOW):
        waiting = [await driver.send(topic, **message) for message in sent[start : start + WINDOW]]
        await asyncio.gather(*waiting)
