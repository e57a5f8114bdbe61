"""What is found about topics on clusters that a test broker is not: several brokers, older releases."""

from collections.abc import Collection, Iterable, Mapping

import pytest

pytest.importorskip("aiokafka")

from bridge.log.kafka.cluster import EXISTS, TopicSpec
from bridge.log.kafka.state import ClusterState, PartitionState, TopicState
from bridge.log.kafka.topics import TopicKeeper
from schemas.topics import GROUP, TOPICS

TOPIC = TOPICS[GROUP]._replace(partitions=2)
ANY_TIME = "message.timestamp.after.max.ms"


class Cluster:
    """A cluster in memory; ``knows_any_time`` is false for brokers before 3.6."""

    def __init__(self, brokers: int, replicas: int | None = None, *, knows_any_time: bool = True) -> None:
        self.brokers = {number: f"broker{number}:9092" for number in range(brokers)}
        self.topics: dict[str, TopicState] = {}
        self.config: dict[str, Mapping[str, str]] = {}
        self.knows_any_time = knows_any_time
        if replicas is not None:
            config = {"cleanup.policy": "delete", "max.message.bytes": "10000000"}
            self._stand(TopicSpec(GROUP, 2, replicas, config))

    def _stand(self, spec: TopicSpec) -> None:
        states = {number: PartitionState(0, spec.replicas) for number in range(spec.partitions)}
        self.topics[spec.name] = TopicState(spec.name, "id", states)
        self.config[spec.name] = spec.config

    async def state(self, topics: Collection[str]) -> ClusterState:
        held = {name: state for name, state in self.topics.items() if name in topics}
        return ClusterState("cluster", 0, self.brokers, held)

    async def configs(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        return {name: self.config[name] for name in topics}

    async def create(self, topics: Iterable[TopicSpec]) -> Mapping[str, str]:
        answers = {}
        for spec in topics:
            if spec.name in self.topics:
                answers[spec.name] = EXISTS
            elif ANY_TIME in spec.config and not self.knows_any_time:
                answers[spec.name] = f"Unknown topic config name: {ANY_TIME}"
            else:
                self._stand(spec)
                answers[spec.name] = ""
        return answers


def keeper(cluster: Cluster, replicas: int | None = None) -> TopicKeeper:
    return TopicKeeper(cluster, [TOPIC], prefix="", replicas=replicas, body_bytes=1_000_000)  # type: ignore[arg-type]


async def test_one_copy_on_several_brokers_is_said() -> None:
    report = await keeper(Cluster(brokers=3, replicas=1)).look(create=False)
    assert [found.says for found in report.findings] == [
        "im.group.v1 stands on 1 of 3 brokers: losing that one loses its events; raise its replication factor"
    ]


async def test_one_copy_on_one_broker_is_all_there_can_be() -> None:
    assert (await keeper(Cluster(brokers=1, replicas=1)).look(create=False)).findings == ()


async def test_a_replication_factor_other_than_wished_is_said() -> None:
    report = await keeper(Cluster(brokers=3, replicas=2), replicas=3).look(create=False)
    assert [found.says for found in report.findings] == ["im.group.v1 has replication factor 2 instead of 3"]


async def test_topics_take_events_of_any_time() -> None:
    """A broker's own limit is an hour ahead: a clock that is wrong would turn events into refused ones."""
    cluster = Cluster(brokers=1)
    assert [found.kind for found in (await keeper(cluster).look(create=True)).findings] == ["created"]
    assert cluster.config[GROUP][ANY_TIME] == str(2**63 - 1)


async def test_brokers_that_know_no_such_limit_get_their_topics_too() -> None:
    cluster = Cluster(brokers=1, knows_any_time=False)
    assert [found.kind for found in (await keeper(cluster).look(create=True)).findings] == ["created"]
    assert ANY_TIME not in cluster.config[GROUP]
