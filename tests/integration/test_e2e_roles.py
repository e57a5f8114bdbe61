"""The roles as processes of their own, over Kafka and embedded, and two of ingress behind one port."""

from contextlib import ExitStack
from pathlib import Path

from tests.command_line import imbridge
from tests.integration.callers import Callers
from tests.looking import members, on_kafka
from tests.parts import KafkaServer
from tests.parts.process import free_port
from tests.process_kit import environment, running, until


def test_ingress_relay_and_consume_work_apart_over_kafka(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir = tmp_path / "data"
    settings = {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    with ExitStack() as roles:
        ingress = roles.enter_context(running("ingress", data_dir=data_dir, **settings))
        with Callers(ingress.ingress) as callers:
            callers.until_acknowledged(40)
            relay = roles.enter_context(running("relay", data_dir=data_dir, **settings))
            callers.until_acknowledged(40)
            ingress.kill()  # what it acknowledged is moved all the same
        # Elsewhere: nothing but Kafka and the store is shared with the machine that takes callbacks in.
        elsewhere = tmp_path / "elsewhere" / "data"
        consume = roles.enter_context(running("consume", data_dir=elsewhere, **settings))
        acknowledged = set(callers.acknowledged)
        until(
            lambda: members(f"sqlite:///{elsewhere}/imbridge.sqlite") >= acknowledged, "all is in the tables"
        )
        assert "relay of journal 1" in relay.readyz()[1]["parts"]
        assert {"projection groups", "projection decisions"} <= set(consume.readyz()[1]["parts"])
        assert (relay.stop(), consume.stop()) == (0, 0)
    events = on_kafka(kafka, f"{prefix}im.group.v1")
    assert {user for event in events for user in event.users} >= acknowledged


def test_two_ingress_processes_share_a_port_and_one_consumer_reads_both_journals(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    port = str(free_port())
    shared = {"INGRESS__PORT": port, "INGRESS__SHARE_PORT": "true"}
    with (
        running("ingress", data_dir=data_dir, **shared) as one,
        running("consume", data_dir=data_dir) as consume,
        running("ingress", data_dir=data_dir, **shared) as two,
    ):
        ends = [one, two]
        # The kernel spreads connections: enough of them reach either process.
        with Callers(f"http://127.0.0.1:{port}", count=16) as callers:
            callers.until_acknowledged(160)
        assert (callers.wrong, callers.unanswered) == ([], [])
        acknowledged = set(callers.acknowledged)
        until(
            lambda: members(f"sqlite:///{data_dir}/imbridge.sqlite") == acknowledged, "all is in the tables"
        )
        assert sorted(bridge.part("journal")["number"] for bridge in ends) == [1, 2]
        assert all(bridge.part("journal")["end"] > 0 for bridge in ends)
        assert [bridge.stop() for bridge in (one, two, consume)] == [0, 0, 0]
    listed = imbridge("topics", "list", "--json", env=environment(data_dir)).json()
    held = {topic["topic"]: topic["partitions"] for topic in listed}["im.group.v1"]
    assert sum(each["end"] - each["begin"] for each in held) >= len(acknowledged)
    read = imbridge("topics", "read", "im.group.v1", "--json", env=environment(data_dir)).lines()
    assert {member["user_id"] for event in read for member in event["data"]["members"]} == acknowledged
