"""What tests may do to a broker: stop it in its tracks, and let its network swallow everything."""

import asyncio
import time

import pytest

from bridge.errors import LogUnavailable
from bridge.log.base import Record
from bridge.log.kafka import KafkaLog
from tests.parts import KafkaServer
from tests.parts.proxy import Proxy

RECORD = Record("im.group.v1", "g", b"{}", {"ce_id": "1"}, 1_700_000_000_000)


async def appended(log: KafkaLog, seconds: float = 20.0) -> None:
    """Return once an append was taken."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await log.append([RECORD])
        except LogUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("fault", ["suspended", "black hole", "killed"])
async def test_a_broker_does_not_answer_and_goes_on_with_what_it_had(
    distant_kafka: tuple[KafkaServer, Proxy], prefix: str, fault: str
) -> None:
    server, proxy = distant_kafka
    begin, end = {
        "suspended": (server.suspend, server.resume),
        "black hole": (proxy.black_hole, proxy.heal),
        "killed": (lambda: server.stop(kill=True), server.start),
    }[fault]
    log = KafkaLog(server.bootstrap_servers, topic_prefix=prefix, append_seconds=1, request_seconds=1)
    try:
        await appended(log)
        await asyncio.to_thread(begin)
        with pytest.raises(LogUnavailable):
            await log.append([RECORD])
        await asyncio.to_thread(end)
        await appended(log)
        assert sum(held.end - held.begin for held in (await log.bounds("im.group.v1")).values()) >= 2
    finally:
        await log.close()
