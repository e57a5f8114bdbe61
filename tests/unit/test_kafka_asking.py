"""Questions to a cluster are asked again while what stands in their way passes, for a bounded time."""

import time
from typing import Any

import pytest
from structlog.testing import capture_logs

driver = pytest.importorskip("aiokafka.errors")

from bridge.backoff import Backoff  # noqa: E402
from bridge.errors import LogUnavailable  # noqa: E402
from bridge.log.base import TopicPartition  # noqa: E402
from bridge.log.kafka import cluster as module  # noqa: E402
from bridge.log.kafka.cluster import LATEST, Cluster  # noqa: E402
from bridge.log.kafka.connection import Connection  # noqa: E402


class Electing(Cluster):
    """A cluster whose partitions have no leader for a while."""

    def __init__(self, failures: int, seconds: float) -> None:
        super().__init__(Connection("nowhere:1", request_seconds=seconds))
        self.failures, self.asked = failures, 0

    async def _connected(self) -> Any:
        return self

    async def _drop(self, client: Any) -> None: ...

    def get_random_node(self) -> int:
        return 1

    async def send(self, _: int, __: Any) -> Any:
        self.asked += 1
        if self.asked <= self.failures:
            raise driver.NotLeaderForPartitionError("im.group.v1/0")
        raise driver.TopicAuthorizationFailedError("the question arrived")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Backoff", lambda *_: Backoff(0.001, 0.002))


async def test_an_election_is_waited_for_however_often_it_is_met() -> None:
    cluster = Electing(failures=40, seconds=30.0)
    with pytest.raises(LogUnavailable, match="the question arrived"):
        await cluster.offsets({TopicPartition("im.group.v1", 0): LATEST})
    assert cluster.asked == 41


async def test_an_election_that_does_not_end_is_said_in_time() -> None:
    cluster, since = Electing(failures=10**9, seconds=0.1), time.monotonic()
    with pytest.raises(LogUnavailable, match="NotLeaderForPartition"):
        await cluster.offsets({TopicPartition("im.group.v1", 0): LATEST})
    assert cluster.asked > 1
    assert time.monotonic() - since < 10


def test_a_cluster_that_answers_and_takes_nothing_is_lost_once_and_found_when_it_takes_again() -> None:
    connection = Connection("nowhere:1")
    with capture_logs() as said:
        connection.found("ask")
        for _ in range(3):
            connection.lost("too few replicas are in sync", "append")
            connection.found("ask")
            connection.fetched(answered_at=time.time() + 1, began_at=time.time())
        assert [entry["event"] for entry in said] == ["kafka.lost"]
        connection.found("append")
        connection.found("append")
    assert [entry["event"] for entry in said] == ["kafka.lost", "kafka.found"]


def test_silence_is_a_loss_and_the_next_answer_ends_it() -> None:
    connection, now = Connection("nowhere:1"), time.time()
    with capture_logs() as said:
        connection.fetched(answered_at=now - 60, began_at=now - 60)
        connection.fetched(answered_at=now - 60, began_at=now - 60)
        connection.fetched(answered_at=now + 60, began_at=now - 60)
    assert [entry["event"] for entry in said] == ["kafka.lost", "kafka.found"]
