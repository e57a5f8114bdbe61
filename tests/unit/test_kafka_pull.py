import asyncio

import pytest

from bridge.log.kafka.connection import Connection
from bridge.log.kafka.pull import Pull


class ConsumerOfAFailedFetch:
    """Stops as the driver does when a fetch failed a moment ago."""

    def __init__(self) -> None:
        self._client = self
        self.connections = 1

    async def stop(self) -> None:
        fetch = asyncio.ensure_future(asyncio.sleep(60))
        fetch.cancel()
        await fetch

    async def close(self) -> None:
        self.connections = 0


async def test_a_fetch_that_failed_a_moment_ago_does_not_cancel_whoever_stops_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pull = Pull(Connection("127.0.0.1:1"), "")
    await pull.stop()
    consumer = ConsumerOfAFailedFetch()
    monkeypatch.setattr(pull, "consumer", consumer)
    async with asyncio.timeout(5):
        await pull.stop()
    assert consumer.connections == 0
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_stopping_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    pull = Pull(Connection("127.0.0.1:1"), "")
    await pull.stop()
    monkeypatch.setattr(pull.consumer, "stop", lambda: asyncio.sleep(60))
    stopping = asyncio.create_task(pull.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping], timeout=5)
    assert stopping.cancelled()
