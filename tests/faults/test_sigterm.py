"""Fault 7: SIGTERM under load. What was read is finished and kept, what comes later finds nobody."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.kit import Load, assert_kept, assert_legal, calling, drained, over
from tests.faults.scale import chance, scaled
from tests.parts import KafkaServer
from tests.process_kit import Bridge, running, until

DRAIN_SECONDS = 10.0
STOPS = scaled(1, 50)
RATE = 120.0
SECONDS = 600.0


def stopped_in_time(bridge: Bridge, *unfinished: str) -> None:
    """Ask for an orderly stop and see it done within the deadline, with nothing cut short but this."""
    began = time.monotonic()
    assert bridge.stop() == bool(unfinished), bridge.err[-2000:]
    took = time.monotonic() - began
    assert bridge.events("service.stopped")[-1]["unfinished"] == [*unfinished]
    assert took < DRAIN_SECONDS, f"it took {took:.1f} s: {bridge.err[-2000:]}"


def at_some_moment(load: Load, name: str) -> None:
    """Return a random while after the callers came to work."""
    load.until_acknowledged(100)
    load.until_acknowledged(chance(name).randint(1, 200))


def assert_none_refused(reports: Mapping[Any, Mapping[str, Any]]) -> None:
    """Fail if anybody was told no: a callback was kept, or it met a closed door and was never read."""
    assert_legal(reports)
    for report in reports.values():
        told = {name: report[name] for name in ("sent", "accepted", "failed", "refused", "late", "lost")}
        assert (told["refused"], told["late"]) == (0, 0), (told, report["complaints"])
        assert told["accepted"] > 0


@pytest.mark.parametrize("number", range(STOPS))
@pytest.mark.parametrize("kafka_too", [False, True], ids=["embedded", "over Kafka"])
def test_the_whole_bridge_stops_in_time_and_keeps_all_it_had_read(
    tmp_path: Path, kafka: KafkaServer, prefix: str, kafka_too: bool, number: int
) -> None:
    settings = over(kafka, prefix) if kafka_too else {}
    data_dir = tmp_path / "data"
    with running("run", data_dir=data_dir, DRAIN_SECONDS=f"{DRAIN_SECONDS:g}", **settings) as bridge:
        if kafka_too:
            drained(bridge)
        with calling(bridge.ingress, tmp_path, rate=RATE, seconds=SECONDS) as load:
            at_some_moment(load, f"run {kafka_too} {number}")
            stopped_in_time(bridge)
            reports = load.stop()
    assert_none_refused(reports)
    if kafka_too:  # all it had accepted stands in Kafka before it is gone
        assert bridge.events("relay.ended")[-1]["left"] == 0
    assert_kept(load.ledgers, data_dir, **settings)


@pytest.mark.parametrize("number", range(STOPS))
def test_each_role_stops_in_time_and_what_it_left_is_taken_up(
    tmp_path: Path, kafka: KafkaServer, prefix: str, number: int
) -> None:
    data_dir = tmp_path / "data"
    settings = {**over(kafka, prefix), "DRAIN_SECONDS": f"{DRAIN_SECONDS:g}"}
    with (
        running("relay", data_dir=data_dir, **settings) as relay,
        running("consume", data_dir=data_dir, **settings) as consumer,
        running("ingress", data_dir=data_dir, **settings) as ingress,
        calling(ingress.ingress, tmp_path, rate=RATE, seconds=SECONDS) as load,
    ):
        drained(relay)
        until(lambda: consumer.events("batch.applied"), "the projections are at work", 30)
        for process, name in ((consumer, "consume"), (relay, "relay"), (ingress, "ingress")):
            at_some_moment(load, f"{name} {number}")
            stopped_in_time(process)
        reports = load.stop()
    assert_none_refused(reports)
    with running("relay", data_dir=data_dir, **settings) as relay:
        drained(relay)
        stopped_in_time(relay)
    assert_kept(load.ledgers, data_dir, **settings)


def test_a_bridge_whose_broker_does_not_answer_stops_in_time_and_says_what_is_left(
    tmp_path: Path, own_kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(own_kafka, prefix)
    with running("run", data_dir=data_dir, DRAIN_SECONDS=f"{DRAIN_SECONDS:g}", **settings) as bridge:
        drained(bridge)
        with calling(bridge.ingress, tmp_path, rate=RATE, seconds=SECONDS) as load:
            load.until_acknowledged(1)
            own_kafka.suspend()
            at_some_moment(load, "run without a broker")
            stopped_in_time(bridge, "relay and projections")
            reports = load.stop()
    assert_none_refused(reports)
    assert bridge.events("relay.ended")[-1]["left"] > 0
    own_kafka.resume()
    with running("relay", data_dir=data_dir, **settings) as relay:
        drained(relay)
    assert_kept(load.ledgers, data_dir, **settings)
