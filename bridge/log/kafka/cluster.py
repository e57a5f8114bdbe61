"""Questions to the cluster: topics and their ids, offsets, configuration, the groups that read a topic."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka import errors as driver
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.offset import OffsetRequest

from bridge.backoff import Backoff
from bridge.errors import LogUnavailable
from bridge.log.base import TopicPartition
from bridge.log.kafka.connection import Connection
from bridge.log.kafka.errors import DRIVER_ERRORS, is_passing, translate, translated
from bridge.log.kafka.groups import GroupReading, groups_of
from bridge.log.kafka.protocol import TopicIdsRequest
from bridge.log.kafka.state import ClusterState, cluster_state, raise_for

EARLIEST: Final = -2
LATEST: Final = -1
EXISTS: Final = "exists"
_TOPIC_RESOURCE: Final = 2
Answer = TypeVar("Answer")


class TopicSpec(NamedTuple):
    """A topic to create; -1 replicas is the broker's default."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


class Cluster:
    """One client for questions. It connects when first asked, and anew after a failure."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: AIOKafkaClient | None = None
        self._connecting = asyncio.Lock()

    async def state(self, topics: Collection[str] | None) -> ClusterState:
        """Return the cluster with those of ``topics`` that exist (all with None). Creates none."""

        async def ask(client: AIOKafkaClient) -> ClusterState:
            answer = await client.send(client.get_random_node(), TopicIdsRequest(topics))
            return cluster_state(answer)

        return await self._ask("ask for topics", ask)

    async def create(self, topics: Iterable[TopicSpec]) -> Mapping[str, str]:
        """Create topics and wait until they are to be seen.

        Returns for each why it could not be created: empty when it was, EXISTS when it stood already.
        """
        wanted: list[Any] = [
            (spec.name, spec.partitions, spec.replicas, [], [*spec.config.items()]) for spec in topics
        ]
        seconds = self._connection.request_seconds

        async def ask(client: AIOKafkaClient) -> Mapping[str, str]:
            request = CreateTopicsRequest(wanted, round(seconds * 1000), validate_only=False)
            answer = await client.send(await self._controller(client), request)
            return {name: _trouble(code, message) for name, code, message in answer.topic_errors}

        made = await self._ask("create topics", ask)
        await self._ask(
            "see new topics", self._see({name for name, why in made.items() if why in {"", EXISTS}})
        )
        return made

    async def configs(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the configuration of each topic in force, defaults included."""

        async def ask(client: AIOKafkaClient) -> Mapping[str, Mapping[str, str]]:
            request = DescribeConfigsRequest([(_TOPIC_RESOURCE, name, None) for name in topics])
            answer = await client.send(client.get_random_node(), request)
            found = {}
            for code, message, _, name, entries in answer.resources:
                raise_for(code, message)
                found[name] = {entry[0]: entry[1] for entry in entries}
            return found

        return await self._ask("ask for topic configuration", ask) if topics else {}

    async def offsets(self, wanted: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """Return the first offset at or after a time (ms), or EARLIEST, or LATEST; -1 where there is none."""

        async def ask(client: AIOKafkaClient) -> Mapping[TopicPartition, int]:
            topics = {partition.topic for partition in wanted}
            state = cluster_state(await client.send(client.get_random_node(), TopicIdsRequest(topics)))
            found: dict[TopicPartition, int] = {}
            for leader, asked in _by_leader(wanted, state).items():
                answer = await client.send(leader, OffsetRequest(-1, 0, asked))
                for topic, partitions in answer.topics:
                    for partition, code, _, offset, *_ in partitions:
                        raise_for(code, f"{topic}/{partition}")
                        found[TopicPartition(topic, partition)] = offset
            return found

        return await self._ask("ask for offsets", ask) if wanted else {}

    async def groups_of(self, topic: str) -> list[GroupReading]:
        """Return the consumer groups with a member on the topic, or with committed offsets in it."""
        return await self._ask("ask for consumer groups", lambda client: groups_of(client, topic))

    async def leave(self, group: str, member_id: str) -> bool:
        """Take a member out of a consumer group; return whether it was in it. Raises LogUnavailable."""

        async def ask(client: AIOKafkaClient) -> bool:
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
            answer = await client.send(coordinator, LeaveGroupRequest(group, member_id))
            if answer.error_code == driver.UnknownMemberIdError.errno:
                return False
            raise_for(answer.error_code, group)
            return True

        return await self._ask("leave a consumer group", ask)

    async def close(self) -> None:
        """Close the connections; the next question opens them again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ask(self, doing: str, ask: Callable[[AIOKafkaClient], Awaitable[Answer]]) -> Answer:
        """Ask, and for ``request_seconds`` again while the trouble is one that passes, such as an election.

        A cluster out of reach is said at once.
        """
        doing = f"cannot {doing} of Kafka at {self._connection.name}"
        backoff = Backoff(0.05, 0.8)
        deadline = time.monotonic() + self._connection.request_seconds
        while True:
            client = await self._connected()
            try:
                async with asyncio.timeout(self._connection.request_seconds):
                    answer = await ask(client)
            except DRIVER_ERRORS as error:
                await self._drop(client)
                trouble = translate(error, doing)
                if time.monotonic() >= deadline or not is_passing(error):
                    self._connection.lost(trouble, "ask")
                    raise trouble from error
            else:
                self._connection.found("ask")
                return answer
            await backoff.pause()

    async def _connected(self) -> AIOKafkaClient:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(**self._connection.options())
                try:
                    with translated(f"cannot reach Kafka at {self._connection.name}"):
                        await client.bootstrap()
                except BaseException as error:
                    await client.close()
                    if isinstance(error, LogUnavailable):
                        self._connection.lost(error, "ask")
                    raise
                self._client = client
            return self._client

    async def _drop(self, client: AIOKafkaClient) -> None:
        if self._client is client:
            await self.close()

    def _see(self, names: Collection[str]) -> Callable[[AIOKafkaClient], Awaitable[None]]:
        """Brokers hear of a topic a moment after the controller created it."""

        async def ask(client: AIOKafkaClient) -> None:
            state = cluster_state(await client.send(client.get_random_node(), TopicIdsRequest(names)))
            if unseen := set(names) - state.topics.keys():
                raise driver.UnknownTopicOrPartitionError(", ".join(unseen))

        return ask

    async def _controller(self, client: AIOKafkaClient) -> int:
        answer = await client.send(client.get_random_node(), TopicIdsRequest([]))
        controller: int = answer.controller_id
        return controller


def _by_leader(
    wanted: Mapping[TopicPartition, int], state: ClusterState
) -> dict[int, list[tuple[str, list[tuple[int, int]]]]]:
    """Group the partitions as requests want them: by leader, then by topic."""
    grouped: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for (topic, partition), timestamp in wanted.items():
        held = state.topics.get(topic)
        if held is None or partition not in held.partitions:
            raise driver.UnknownTopicOrPartitionError(f"{topic}/{partition}")
        if (leader := held.partitions[partition].leader) < 0:
            raise driver.LeaderNotAvailableError(f"{topic}/{partition}")
        grouped[leader][topic].append((partition, timestamp))
    return {leader: list(topics.items()) for leader, topics in grouped.items()}


def _trouble(code: int, message: str | None) -> str:
    if code == driver.TopicAlreadyExistsError.errno:
        return EXISTS
    return (message or driver.for_code(code).__name__) if code else ""
