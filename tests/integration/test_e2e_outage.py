"""Promises 1, 2 and 4 while Kafka is absent, killed under load, and back again."""

from pathlib import Path

from tests.command_line import imbridge
from tests.integration.callers import Callers, tencent_invite
from tests.looking import Event, firsts, on_kafka
from tests.parts import KafkaServer
from tests.process_kit import Bridge, environment, post, running, until

GROUP = "im.group.v1"
RULE = """\
kind: rule
id: not-this-one
rev: {rev}
on: [invite]
members: {{fact: invitee.id, eq: {refused}}}
effect: refuse_members
"""


def caught_up(bridge: Bridge) -> None:
    until(
        lambda: bridge.part("relay of journal 1").get("lag_records") == 0,
        "the relay has moved everything",
        60,
    )


def in_order_per_key(events: list[Event]) -> bool:
    """Say whether each group's members, at their first occurrence, joined in the order they were sent."""
    groups: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: (event.partition, event.offset)):
        groups.setdefault(event.key, []).extend(event.users)
    numbers = {
        group: [int(user.rpartition("-")[2]) for user in firsts(users)] for group, users in groups.items()
    }
    return all(found == sorted(found) for found in numbers.values())


def test_kafka_absent_then_killed_under_load_changes_no_answer_and_loses_nothing(
    tmp_path: Path, own_kafka: KafkaServer, prefix: str
) -> None:
    own_kafka.stop()
    settings = {"KAFKA__BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    data_dir = tmp_path / "data"
    with running("run", data_dir=data_dir, RULES__GRACE_SECONDS="1", **settings) as bridge:
        early = absent_at_start(bridge)
        own_kafka.start()
        caught_up(bridge)
        publish(bridge, data_dir, settings, "mallory", 1)
        with Callers(bridge.ingress, refused="mallory") as callers:
            callers.until_acknowledged(150)
            own_kafka.stop(kill=True)
            callers.until_acknowledged(150)
            until(
                lambda: bridge.part("relay of journal 1")["ok"] is False, "the relay says it is stalled", 40
            )
            assert bridge.readyz()[0] == 200
            own_kafka.start()
            callers.until_acknowledged(150)
        caught_up(bridge)
        assert (callers.wrong, callers.unanswered) == ([], [])
        assert len(callers.decided) > 20
        assert max(answer.seconds for answer in callers.decided) < 5  # no answer waited for Kafka
        publish(bridge, data_dir, settings, "trudy", 2)
        assert bridge.stop() == 0
    events = on_kafka(own_kafka, prefix + GROUP)
    assert {user for event in events for user in event.users} >= {*early, *callers.acknowledged}
    assert in_order_per_key(events)


def publish(bridge: Bridge, data_dir: Path, settings: dict[str, str], refused: str, rev: int) -> None:
    """Publish a rule against this one user; return once it decides."""
    rule = data_dir.parent / "rule.yaml"
    rule.write_text(RULE.format(refused=refused, rev=rev))
    said = imbridge("rules", "publish", str(rule), env=environment(data_dir, **settings))
    assert said.code == 0, said.err
    asked = tencent_invite("g", "ada", refused, refused=refused)
    until(lambda: post(bridge.ingress + asked.path, asked.body)[1] == asked.wanted, "the rule decides")


def absent_at_start(bridge: Bridge) -> list[str]:
    """Call while no broker was ever seen; return who was acknowledged."""
    with Callers(bridge.ingress, "early") as callers:
        callers.until_acknowledged(20)
    assert (callers.wrong, callers.unanswered) == ([], [])
    return callers.acknowledged
