"""The consumer groups that read a topic, ours and others'."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.protocol.admin import DescribeGroupsRequest, ListGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest

from bridge.log.kafka.protocol import TopicIdsRequest
from bridge.log.kafka.state import cluster_state, raise_for


class GroupReading(NamedTuple):
    """One consumer group that reads a topic: who, how it is, and its committed next offsets there."""

    group: str
    state: str
    members: int
    committed: Mapping[int, int]


async def groups_of(client: AIOKafkaClient, topic: str) -> list[GroupReading]:
    """Return the groups with a member on the topic, or with committed offsets in it.

    Members of groups of Kafka's newer protocol (KIP-848) do not show; their offsets do.
    """
    state = cluster_state(await client.send(client.get_random_node(), TopicIdsRequest([topic])))
    partitions = sorted(state.topics[topic].partitions) if topic in state.topics else []
    names: set[str] = set()
    for broker in state.brokers:
        answer = await client.send(broker, ListGroupsRequest())
        raise_for(answer.error_code, "list groups")
        names |= {name for name, _ in answer.groups}
    found = [await _reading(client, name, topic, partitions) for name in sorted(names)]
    return [reading for reading in found if reading.members or reading.committed]


async def _reading(client: AIOKafkaClient, group: str, topic: str, partitions: list[int]) -> GroupReading:
    coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
    described = await client.send(coordinator, DescribeGroupsRequest([group]))
    _, _, state, _, _, members, *_ = described.groups[0]
    fetched = await client.send(coordinator, OffsetFetchRequest(group, [(topic, partitions)]))
    raise_for(fetched.error_code, group)
    committed = {
        partition: offset
        for _, held in fetched.topics
        for partition, offset, _, code in held
        if offset >= 0 and not code
    }
    return GroupReading(group, state, sum(topic in _subscribed(member[3]) for member in members), committed)


def _subscribed(member_metadata: bytes | None) -> Collection[str]:
    """Return the topics a member says it reads; nothing for members of another kind of group."""
    if not member_metadata:
        return ()
    try:
        return ConsumerProtocol.METADATA.decode(member_metadata).subscription
    except (ValueError, TypeError):
        return ()
