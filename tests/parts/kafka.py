"""A real Kafka broker (KRaft, one node): an address, a container, or Apache Kafka's published jars."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tests.parts.containers import START_SECONDS, Container, container
from tests.parts.jars import QUICK, formatted_data, java, kafka_jars
from tests.parts.process import Command, PartMissing, Server, free_port, free_ports

ADDRESS = "IMBRIDGE_TEST_KAFKA"
IMAGE = os.environ.get("IMBRIDGE_TEST_KAFKA_IMAGE", "apache/kafka:4.1.0")
CLUSTER_ID = "aW1icmlkZ2UtdGVzdHMtMQ"
USERNAME, PASSWORD = "imbridge", "open-sesame"
STARTED = "Kafka Server started"


class _Engine(Protocol):
    def start(self) -> None: ...
    def stop(self, *, kill: bool) -> None: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...


class KafkaServer:
    """One broker at ``bootstrap_servers``. ``how`` says where it comes from.

    ``listens_at`` is the broker's own port, another where clients are told an advertised address.
    With ``sasl`` clients speak SASL_PLAINTEXT, mechanism PLAIN, as USERNAME with PASSWORD.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        how: str,
        engine: _Engine | None,
        *,
        sasl: bool = False,
        listens_at: str = "",
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.listens_at = listens_at or bootstrap_servers
        self.how = how
        self.sasl = sasl
        self._engine = engine

    @property
    def security(self) -> dict[str, str]:
        """What a client needs to log in, as keyword arguments of KafkaLog; empty without SASL."""
        if not self.sasl:
            return {}
        return {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": USERNAME,
            "sasl_password": PASSWORD,
        }

    def stop(self, *, kill: bool = True) -> None:
        """End the broker, by default without warning; its data stay."""
        self._own().stop(kill=kill)

    def start(self) -> None:
        """Start the broker again at the same address with the same data; returns once it accepts clients."""
        self._own().start()

    def suspend(self) -> None:
        """Stop the broker in its tracks: connections stay open, nothing is answered."""
        self._own().suspend()

    def resume(self) -> None:
        """Let a suspended broker go on."""
        self._own().resume()

    def _own(self) -> _Engine:
        if self._engine is None:
            raise PartMissing(f"{self.bootstrap_servers} was given in {ADDRESS}: it is not ours to stop")
        return self._engine


@contextmanager
def start_kafka(
    *,
    own: bool = False,
    sasl: bool = False,
    running: bool = True,
    quick: bool = False,
    settings: Mapping[str, str] | None = None,
    advertised: str = "",
    yielding: bool = False,
) -> Iterator[KafkaServer]:
    """Yield a broker and end it afterwards. Raises PartMissing, saying everything that was tried.

    ``own``: not the shared one given in the environment, so that it may be stopped. With ``running=False``
    it has an address but is not started yet. ``quick``: it starts in half the time and is slower then, which
    is for tests, not for benches. ``settings`` are added to the broker's properties.
    ``advertised``: the address clients are told, where something of the caller's stands before the broker.
    ``yielding``: it takes what others leave of the cores, as if it had its own elsewhere (no container does).
    """
    address = os.environ.get(ADDRESS)
    if address and not (own or sasl or settings or advertised):
        yield KafkaServer(address, f"address in {ADDRESS}", None)
        return
    wanted = {**(_RESTARTS if own else {}), **(_SASL if sasl else {}), **(settings or {})}
    tried = []
    with ExitStack() as ending:
        for make in (_in_container, _from_jars):
            try:
                server = ending.enter_context(
                    make(
                        wanted,
                        sasl=sasl,
                        running=running,
                        quick=quick,
                        advertised=advertised,
                        yielding=yielding,
                    )
                )
            except PartMissing as reason:
                tried.append(str(reason))
            else:
                break
        else:
            raise PartMissing("no Kafka: " + "; ".join([f"{ADDRESS} is not set", *tried]))
        yield server


# A killed broker is let in again only once its old session has ended.
_RESTARTS = {"broker.session.timeout.ms": "1500", "broker.heartbeat.interval.ms": "300"}
_SASL = {
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.client.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USERNAME}="{PASSWORD}";'
    ),
}


@contextmanager
def start_locked_kafka(certificate: Path, key: Path) -> Iterator[KafkaServer]:
    """Yield a broker of the published jars that speaks TLS alone, to users of SCRAM-SHA-512 alone.

    ``certificate`` and ``key`` are the broker's own, as PEM; USERNAME and PASSWORD let clients in. Raises
    PartMissing.
    """
    with tempfile.TemporaryDirectory(prefix="imbridge-tls-") as place:
        both = Path(place) / "broker.pem"
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        wanted = {
            "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.client.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.client.ssl.keystore.type": "PEM",
            "listener.name.client.ssl.keystore.location": str(both),
        }
        user = f"SCRAM-SHA-512=[name={USERNAME},password={PASSWORD}]"
        with _from_jars(wanted, users=(user,)) as server:
            yield server


def _properties(listen: str, ports: tuple[int, int, int], advertised: str, data: str) -> dict[str, str]:
    client, internal, controller = ports
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"CLIENT://{listen}:{client},INTERNAL://127.0.0.1:{internal},"
        f"CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"CLIENT://{advertised},INTERNAL://127.0.0.1:{internal}",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "log.segment.delete.delay.ms": "100",
        "log.initial.task.delay.ms": "86400000",  # tests write records older than any retention
    }


class _Jars:
    """A broker of the published jars, run by Java as a child process."""

    def __init__(self, command: Command, output: Path) -> None:
        self._command = command
        self._output = output
        self._server: Server | None = None

    def start(self) -> None:
        server = self._server = Server(self._command, self._output)
        server.wait_until(lambda: STARTED in server.said(), START_SECONDS)

    def stop(self, *, kill: bool) -> None:
        if self._server is not None:
            self._server.end(kill=kill)

    def suspend(self) -> None:
        assert self._server is not None
        self._server.suspend()

    def resume(self) -> None:
        assert self._server is not None
        self._server.resume()


YIELDING = ("sh", "-c", 'echo 19 2>/dev/null > /proc/self/autogroup; exec nice -n 19 "$@"', "sh")
"""What makes a broker take what others leave: its compilers hold a core for some milliseconds at a time.

It has a session of its own, and the kernel weighs sessions against each other before it weighs processes.
"""


@contextmanager
def _from_jars(
    wanted: Mapping[str, str],
    *,
    sasl: bool = False,
    running: bool = True,
    quick: bool = True,
    advertised: str = "",
    yielding: bool = False,
    users: Sequence[str] = (),
) -> Iterator[KafkaServer]:
    runtime, jars = java(), kafka_jars()
    place = Path(tempfile.mkdtemp(prefix="imbridge-kafka-"))
    client, internal, controller = free_ports(3)
    ports = client, internal, controller
    address = f"127.0.0.1:{ports[0]}"
    told = advertised or address
    properties = {**_properties("127.0.0.1", ports, told, str(place / "data")), **wanted}
    config = place / "server.properties"
    config.write_text(_text(properties))
    options = ("-Xms256m", "-Xmx512m", *(QUICK if quick else ()))
    jvm: Command = [*(YIELDING if yielding else ()), runtime, "-cp", f"{jars}/*", *options]
    engine = _Jars([*jvm, "kafka.Kafka", config], place / "broker.log")
    try:
        plain = _properties("127.0.0.1", ports, address, "")
        del plain["log.dirs"]
        shutil.copytree(formatted_data(CLUSTER_ID, _text(plain), *users), place / "data")
        if running:
            engine.start()
        how = f"jars in {jars}, run by {runtime}"
        yield KafkaServer(told, how, engine, sasl=sasl, listens_at=address)
    finally:
        engine.stop(kill=True)
        shutil.rmtree(place, ignore_errors=True)


def _text(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


@contextmanager
def _in_container(
    wanted: Mapping[str, str], *, sasl: bool, running: bool, quick: bool, advertised: str, yielding: bool
) -> Iterator[KafkaServer]:
    box = container(IMAGE)
    port = free_port()
    address = f"{box.get_docker_client().host()}:{port}"
    told = advertised or address
    properties = {**_properties("0.0.0.0", (9092, 9094, 9093), told, "/tmp/kafka-data"), **wanted}
    box.with_bind_ports(9092, port).with_env("CLUSTER_ID", CLUSTER_ID)
    box.with_env("KAFKA_HEAP_OPTS", "-Xms256m -Xmx512m")
    if quick:
        box.with_env("KAFKA_JVM_PERFORMANCE_OPTS", " ".join(QUICK))
    for name, value in properties.items():
        box.with_env(_env_name(name), value)
    engine = Container(box, lambda said, starts: said.count(STARTED) >= starts)
    try:
        if running:
            engine.start()
        yield KafkaServer(told, f"container of {IMAGE}", engine, sasl=sasl, listens_at=address)
    finally:
        engine.remove()


def _env_name(name: str) -> str:
    """The image turns ``KAFKA_A_B__C___D`` into ``a.b_c-d``."""
    return "KAFKA_" + name.replace("-", "___").replace("_", "__").replace(".", "_").upper()
