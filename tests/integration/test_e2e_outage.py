"""Promises 1 and 7 while Kafka was never there: it is started after the bridge."""

from pathlib import Path

from tests.integration.callers import Callers, tencent_invite
from tests.looking import on_kafka
from tests.parts import KafkaServer
from tests.process_kit import Bridge, post, running, until
from tests.published import publish_not_mallory

GROUP = "im.group.v1"


def test_kafka_absent_at_start_changes_no_answer_and_has_everything_once_it_is_there(
    tmp_path: Path, absent_kafka: KafkaServer, prefix: str
) -> None:
    settings = {"KAFKA__BOOTSTRAP_SERVERS": absent_kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    data_dir = tmp_path / "data"
    with running("run", data_dir=data_dir, RULES__GRACE_SECONDS="1", **settings) as bridge:
        with Callers(bridge.ingress, "early") as callers:
            callers.until_acknowledged(20)
        assert (callers.wrong, callers.unanswered) == ([], [])
        absent_kafka.start()
        until(
            lambda: bridge.part("relay of journal 1").get("lag_records") == 0,
            "the relay has moved everything",
            60,
        )
        publish(bridge, data_dir, settings)
        assert bridge.stop() == 0
    events = on_kafka(absent_kafka, prefix + GROUP)
    assert {user for event in events for user in event.users} >= set(callers.acknowledged)


def publish(bridge: Bridge, data_dir: Path, settings: dict[str, str]) -> None:
    """Publish a rule; return once it decides."""
    publish_not_mallory(data_dir, **settings)
    asked = tencent_invite("g", "ada", "mallory", refused="mallory")
    until(lambda: post(bridge.ingress + asked.path, asked.body)[1] == asked.wanted, "the rule decides")
