"""A bed for the log contract over a real broker."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition as Place

from bridge.log.base import Log
from bridge.log.kafka import KafkaLog
from schemas.topics import DLQ, GROUP, RULES, TOPICS, USER
from tests.parts import KafkaServer

BODY_BYTES = 1250
PARTITIONS = {GROUP: 2, USER: 1, DLQ: 1, RULES: 1}


class KafkaBed:
    """Topics of this test alone, on the broker that all share."""

    seconds = 20.0
    keeps = True
    max_record_bytes = 12 * BODY_BYTES

    def __init__(self, server: KafkaServer) -> None:
        self._server = server
        self._prefix = f"c{uuid.uuid4().hex[:10]}."

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[KafkaLog]:
        log = KafkaLog(
            self._server.bootstrap_servers,
            topic_prefix=self._prefix,
            topics=[TOPICS[name]._replace(partitions=count) for name, count in PARTITIONS.items()],
            body_bytes=BODY_BYTES,
            session_seconds=6.0,
        )
        try:
            await log.ensure_topics()
            yield log
        finally:
            await log.close()

    async def forget(self, log: Log) -> None:
        bounds = await log.bounds(GROUP)
        first = {
            Place(self._prefix + GROUP, partition): RecordsToDelete(before_offset=held.begin + 1)
            for partition, held in bounds.items()
            if held.end > held.begin
        }
        async with self._admin() as admin:
            await admin.delete_records(first)

    async def make_anew(self) -> None:
        """Delete the topics; return once the broker no longer knows them, which comes after its answer."""
        gone = {self._prefix + name for name in PARTITIONS}
        async with self._admin() as admin, asyncio.timeout(self.seconds):
            await admin.delete_topics([*gone])
            while not gone.isdisjoint(await admin.list_topics()):  # noqa: ASYNC110 nothing tells us
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        client = AIOKafkaAdminClient(bootstrap_servers=self._server.bootstrap_servers)
        await client.start()
        try:
            yield client
        finally:
            await client.close()
