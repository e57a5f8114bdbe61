"""How the topics should stand and how they do: findings in words. Topics are created, never altered."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from bridge.log.kafka.cluster import EXISTS, Cluster, TopicSpec
from bridge.log.kafka.state import ClusterState, TopicState
from schemas.topics import RULES, Topic, max_message_bytes

_BROKER_DEFAULT: Final = -1
# A clock that is wrong must not turn accepted events into refused ones: brokers take an hour ahead at most.
_ANY_TIME: Final = "message.timestamp.after.max.ms"
_NO_LIMIT: Final = str(2**63 - 1)
Kind = Literal["created", "missing", "differs", "unfit"]


class Finding(NamedTuple):
    """Something to know about a topic. ``unfit``: it is neither written nor read as it stands."""

    topic: str
    kind: Kind
    says: str


class ClusterReport(NamedTuple):
    """What a look at the cluster found."""

    cluster_id: str
    brokers: tuple[str, ...]
    topics: Mapping[str, TopicState]
    findings: tuple[Finding, ...]


class TopicKeeper:
    """Creates missing topics and compares standing ones with the list. Names of ours go in and come out."""

    def __init__(
        self, cluster: Cluster, topics: Iterable[Topic], *, prefix: str, replicas: int | None, body_bytes: int
    ) -> None:
        self._cluster = cluster
        self._topics = {prefix + topic.name: topic for topic in topics}
        self._replicas = replicas
        self._body_bytes = body_bytes

    async def look(self, *, create: bool) -> ClusterReport:
        """Return how the topics stand, after creating the missing ones if wanted. Raises LogUnavailable."""
        state = await self._cluster.state(self._topics)
        missing = [name for name in self._topics if name not in state.topics]
        findings = list(await self._create(missing) if create else self._report_missing(missing))
        if missing and create:
            state = await self._cluster.state(self._topics)
        configs = await self._cluster.configs(state.topics.keys())
        for name, held in state.topics.items():
            findings += self._compare(self._topics[name], held, configs[name], state)
        topics = {self._topics[name].name: held for name, held in state.topics.items()}
        return ClusterReport(state.cluster_id, tuple(state.brokers.values()), topics, tuple(findings))

    async def _create(self, missing: list[str]) -> Iterable[Finding]:
        if not missing:
            return ()
        troubles = dict(await self._cluster.create(self._specs(missing, {_ANY_TIME: _NO_LIMIT})))
        if unknown := [name for name, trouble in troubles.items() if _ANY_TIME in trouble]:
            troubles |= await self._cluster.create(self._specs(unknown, {}))  # before 3.6 no limit is known
        return [self._made(name, troubles[name]) for name in missing if troubles[name] != EXISTS]

    def _specs(self, names: Iterable[str], more: Mapping[str, str]) -> list[TopicSpec]:
        replicas = self._replicas or _BROKER_DEFAULT
        return [
            TopicSpec(name, self._topics[name].partitions, replicas, {**self._config(name), **more})
            for name in names
        ]

    def _made(self, name: str, trouble: str) -> Finding:
        topic = self._topics[name]
        if not trouble:
            return Finding(
                topic.name, "created", f"{name} was missing: created with {topic.partitions} partitions"
            )
        return Finding(topic.name, "missing", f"{name} does not exist and cannot be created: {trouble}")

    def _report_missing(self, missing: list[str]) -> Iterator[Finding]:
        for name in missing:
            yield Finding(
                self._topics[name].name, "missing", f"{name} does not exist: it is created at start"
            )

    def _config(self, name: str) -> dict[str, str]:
        topic = self._topics[name]
        return {
            "cleanup.policy": topic.cleanup,
            "retention.ms": str(topic.retention_ms),
            "max.message.bytes": str(max_message_bytes(topic.name, self._body_bytes)),
        }

    def _compare(
        self, topic: Topic, held: TopicState, config: Mapping[str, str], state: ClusterState
    ) -> Iterator[Finding]:
        said = [
            *_partitions(topic, held),
            *_cleanup(topic, held, config),
            *_size(held, config, max_message_bytes(topic.name, self._body_bytes)),
            *_replication(held, self._replicas, len(state.brokers)),
        ]
        for kind, says in said:
            yield Finding(topic.name, kind, says)


Said = Iterator[tuple[Kind, str]]


def _partitions(topic: Topic, held: TopicState) -> Said:
    count = len(held.partitions)
    if count == topic.partitions:
        return
    says = f"{held.name} has {count} partitions instead of {topic.partitions}"
    if topic.name == RULES:
        yield "unfit", f"{says}: rules must stand in one order; delete the topic and publish the rules again"
    else:
        yield "differs", f"{says}: fine for consumers; changing it now would move keys between partitions"


def _cleanup(topic: Topic, held: TopicState, config: Mapping[str, str]) -> Said:
    policy = config["cleanup.policy"].replace(" ", "")
    if set(policy.split(",")) == set(topic.cleanup.split(",")):
        return
    says = f"{held.name} has cleanup.policy={policy} instead of {topic.cleanup}"
    alter = f"kafka-configs.sh --alter --entity-type topics --entity-name {held.name}"
    advice = f"set it with `{alter} --add-config cleanup.policy={topic.cleanup}`"
    if topic.name == RULES:
        yield "unfit", f"{says}: rules would be forgotten; {advice}"
    else:
        yield "differs", f"{says}; {advice}"


def _size(held: TopicState, config: Mapping[str, str], wanted: int) -> Said:
    limit = int(config["max.message.bytes"])
    if limit < wanted:
        yield (
            "differs",
            f"{held.name} takes at most {limit} bytes a record instead of {wanted}: raise max.message.bytes",
        )


def _replication(held: TopicState, wanted: int | None, brokers: int) -> Said:
    factor = min((partition.replicas for partition in held.partitions.values()), default=0)
    if factor == 1 and brokers > 1:
        risk = f"{held.name} stands on 1 of {brokers} brokers: losing that one loses its events"
        yield "differs", f"{risk}; raise its replication factor"
    elif wanted is not None and factor != wanted:
        yield "differs", f"{held.name} has replication factor {factor} instead of {wanted}"
