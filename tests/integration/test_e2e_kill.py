"""Promise 1: what was acknowledged survives kill -9 of the whole bridge under load, several times over."""

from pathlib import Path

from tests.command_line import imbridge
from tests.integration.callers import Callers
from tests.looking import firsts, members, on_kafka
from tests.parts import KafkaServer
from tests.parts.process import free_port
from tests.process_kit import environment, running, until

ROUNDS = 3
A_ROUND = 150


def killed_again_and_again(data_dir: Path, **settings: str) -> Callers:
    """Call through several lives of a bridge, each ended by kill -9; return the callers."""
    port = str(free_port())
    with Callers(f"http://127.0.0.1:{port}") as callers:
        for _ in range(ROUNDS):
            with running("run", data_dir=data_dir, INGRESS__PORT=port, **settings) as bridge:
                callers.until_acknowledged(A_ROUND)
                bridge.kill()
    assert not callers.wrong
    assert len(callers.unanswered) >= ROUNDS
    return callers


def test_killed_under_load_every_acknowledged_event_reaches_kafka(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir = tmp_path / "data"
    settings = {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    callers = killed_again_and_again(data_dir, **settings)
    acknowledged = set(callers.acknowledged)
    with running("run", data_dir=data_dir, **settings) as bridge:
        until(lambda: bridge.part("relay of journal 1").get("lag_records") == 0, "the relay catches up")
        bridge.kill()
    events = on_kafka(kafka, f"{prefix}im.group.v1")
    ids = {user: {event.id for event in events if user in event.users} for user in acknowledged}
    assert {user for user, found in ids.items() if len(found) != 1} == set()
    for group in {call.group for call in (answer.call for answer in callers.answers)}:
        seen = firsts([user for event in events if event.key == group for user in event.users])
        assert seen == sorted(seen, key=lambda user: int(user.rpartition("-")[2]))


def test_killed_under_load_every_acknowledged_event_is_in_the_log_and_the_tables(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    acknowledged = set(killed_again_and_again(data_dir).acknowledged)
    with running("run", data_dir=data_dir) as bridge:
        until(lambda: members(f"sqlite:///{data_dir}/imbridge.sqlite") >= acknowledged, "tables catch up")
        assert bridge.part("journal")["says"] == "writable, 0 records found lost"
        bridge.kill()
    said = imbridge("topics", "read", "im.group.v1", "--json", env=environment(data_dir))
    read = [member["user_id"] for event in said.lines() for member in event["data"]["members"]]
    assert set(read) >= acknowledged
    assert len(read) == len(set(read))
