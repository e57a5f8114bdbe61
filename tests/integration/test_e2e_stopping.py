"""How a process ends, and what it does while it cannot keep what it is told."""

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import imbridge
from tests.integration.callers import (
    OPENIM_OK,
    TENCENT_OK,
    Call,
    openim_join,
    tencent_invite,
    tencent_join,
)
from tests.process_kit import Bridge, environment, post, running, until


def send(bridge: Bridge, call: Call) -> tuple[int, Any]:
    return post(bridge.ingress + call.path, call.body, call.headers)


def is_refusal(call: Call, status: int, body: Any) -> bool:
    """Say whether this is the vendor's way of hearing that nothing was stored."""
    if call.wanted == TENCENT_OK:
        return status == 503 and (body["ActionStatus"], body["ErrorCode"]) == ("FAIL", 1)
    return status == 503 and (body["actionCode"], body["errCode"], body["nextCode"]) == (1, 20001, 0)


def kept(data_dir: Path) -> set[str]:
    """Return the users on the topic of groups, read beside or after the process."""
    said = imbridge("topics", "read", "im.group.v1", "--json", env=environment(data_dir))
    return {member["user_id"] for event in said.lines() for member in event["data"]["members"]}


@pytest.mark.parametrize(("workers", "unfinished"), [("0", "relay"), ("1", "relay and projections")])
def test_a_second_signal_ends_the_waiting_for_a_kafka_that_does_not_answer(
    tmp_path: Path, workers: str, unfinished: str
) -> None:
    data_dir = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = {"KAFKA__BOOTSTRAP_SERVERS": servers, "DRAIN_SECONDS": "60", "RULES__GRACE_SECONDS": "0.1"}
        with running("run", data_dir=data_dir, INGRESS__WORKERS=workers, **settings) as bridge:
            assert send(bridge, tencent_join("g", "ada")) == (200, TENCENT_OK)
            until(lambda: bridge.part("relay of journal 1"), "the relay is at work")
            bridge.signal(signal.SIGTERM)
            until(lambda: bridge.part("process"), "it says that it is stopping")
            assert bridge.readyz()[0] == 503
            bridge.signal(signal.SIGTERM)
            assert bridge.wait(10) == 1
    assert unfinished in bridge.events("service.stopped")[-1]["unfinished"]
    assert kept(data_dir) == {"ada"}


@pytest.mark.parametrize("port", ["INGRESS__PORT", "OPS__PORT"])
def test_a_port_in_use_is_said_in_a_sentence_and_exits_with_2(tmp_path: Path, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        said = imbridge("run", env=environment(tmp_path / "data", **{port: taken}))
    assert said.code == 2
    complaints = [line for line in said.err.splitlines() if not line.startswith("{")]
    assert len(complaints) == 1
    assert complaints[0].startswith("imbridge: cannot listen")
    assert f"127.0.0.1:{taken}" in complaints[0]


def test_without_a_journal_questions_are_answered_facts_refused_and_it_heals(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    in_the_way = data_dir / "journals"
    in_the_way.write_text("not a directory")
    with running("run", data_dir=data_dir) as bridge:
        refuses_facts_and_answers_questions(bridge)
        status, content = bridge.readyz()
        assert (status, content["ready"]) == (503, False)
        assert content["parts"]["journal"]["says"].startswith("unusable, after-callbacks are refused: ")
        assert str(in_the_way) in content["parts"]["journal"]["says"]
        in_the_way.unlink()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        assert send(bridge, tencent_join("g", "ada")) == (200, TENCENT_OK)
        assert send(bridge, openim_join("g", "bob")) == (200, OPENIM_OK)
        assert bridge.stop() == 0
    assert kept(data_dir) == {"ada", "bob"}


def refuses_facts_and_answers_questions(bridge: Bridge) -> None:
    for call in (tencent_join("g", "eve"), openim_join("g", "eve")):
        assert is_refusal(call, *send(bridge, call))
    assert send(bridge, tencent_invite("g", "eve")) == (200, TENCENT_OK)
