"""The cluster and its topics as a metadata response tells them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import errors as driver

_ABSENT: Final = {driver.UnknownTopicOrPartitionError.errno, driver.InvalidTopicError.errno}
# While these are said of a topic its partitions are told all the same.
_TOLERABLE: Final = {0, driver.LeaderNotAvailableError.errno, driver.ReplicaNotAvailableError.errno}


class PartitionState(NamedTuple):
    """Who leads a partition (-1 for nobody), and on how many brokers it stands."""

    leader: int
    replicas: int


class TopicState(NamedTuple):
    """A topic as it stands on the cluster."""

    name: str
    topic_id: str
    partitions: Mapping[int, PartitionState]


class ClusterState(NamedTuple):
    """The cluster, its brokers as ``host:port``, and the topics that were asked for and exist."""

    cluster_id: str
    controller: int
    brokers: Mapping[int, str]
    topics: Mapping[str, TopicState]


def cluster_state(answer: Any) -> ClusterState:
    """Return what a metadata response says. Raises the driver's errors."""
    topics = {}
    for code, name, topic_id, _, partitions, *_ in answer.topics:
        if code in _ABSENT:
            continue
        if code not in _TOLERABLE:
            raise_for(code, name)
        states = {
            number: PartitionState(leader, len(replicas)) for _, number, leader, _, replicas, *_ in partitions
        }
        topics[name] = TopicState(name, topic_id, states)
    brokers = {node: f"{host}:{port}" for node, host, port, *_ in answer.brokers}
    return ClusterState(answer.cluster_id or "", answer.controller_id, brokers, topics)


def raise_for(code: int, message: str | None) -> None:
    """Raise the driver's error for a code of the broker; 0 is none."""
    if code:
        raise driver.for_code(code)(message or "")
