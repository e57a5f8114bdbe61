"""How a process ends, and what it does while it cannot keep what it is told."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import imbridge
from tests.integration.callers import (
    OPENIM_OK,
    TENCENT_OK,
    Call,
    Callers,
    openim_join,
    tencent_invite,
    tencent_join,
)
from tests.process_kit import Bridge, environment, post, running, until

BROKEN_SYNC = """
import errno, os, pathlib
sync = os.fdatasync
def fdatasync(fd):
    if pathlib.Path("the-disk-is-broken").exists():
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    sync(fd)
os.fdatasync = fdatasync
"""


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


def test_sigterm_under_load_ends_orderly_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running("run", data_dir=data_dir, DRAIN_SECONDS="10") as bridge, Callers(bridge.ingress) as callers:
        callers.until_acknowledged(100)
        begun = time.monotonic()
        assert bridge.stop() == 0
        assert time.monotonic() - begun < 10
        until(lambda: callers.unanswered, "callers find nobody")
    assert all(is_refusal(answer.call, answer.status, answer.body) for answer in callers.wrong)
    assert kept(data_dir) >= set(callers.acknowledged)
    assert bridge.events("service.stopped")[-1]["unfinished"] == []


def test_a_second_signal_ends_the_waiting_for_a_kafka_that_does_not_answer(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = {"KAFKA__BOOTSTRAP_SERVERS": servers, "DRAIN_SECONDS": "60", "RULES__GRACE_SECONDS": "0.1"}
        with running("run", data_dir=data_dir, **settings) as bridge:
            assert send(bridge, tencent_join("g", "ada")) == (200, TENCENT_OK)
            until(lambda: bridge.part("relay of journal 1"), "the relay is at work")
            bridge.signal(signal.SIGTERM)
            until(lambda: bridge.part("process"), "it says that it is stopping")
            assert bridge.readyz()[0] == 503
            bridge.signal(signal.SIGTERM)
            assert bridge.wait(10) == 1
    assert "relay" in bridge.events("service.stopped")[-1]["unfinished"]
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data directory with 12 MiB to itself; skipped, loudly, where this user may not mount one."""
    disk = tmp_path / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED ON A FULL DISK: mount of a tmpfs failed: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_refuses_facts_and_answers_questions_until_space_is_freed(
    small_disk: Path,
) -> None:
    acknowledged: set[str] = set()

    def full() -> bool:
        user = f"u{len(acknowledged)}"
        call = openim_join("g", user)
        call.body["ex"] = "x" * 60_000
        status, body = send(bridge, call)
        if (status, body) == (200, OPENIM_OK):
            acknowledged.add(user)
            return False
        assert is_refusal(call, status, body)
        return str(bridge.part("journal")["says"]).startswith("full")

    fill(small_disk / "ballast")
    with running("run", data_dir=small_disk) as bridge:
        refuses_facts_and_answers_questions(bridge)
        assert bridge.part("journal")["says"].startswith("unusable, after-callbacks are refused: ")
        (small_disk / "ballast").unlink()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        until(lambda: bridge.part("projection groups")["ok"], "the tables are made")

        fill(small_disk / "ballast")
        until(full, "the journal is full", 30)
        refuses_facts_and_answers_questions(bridge)
        assert bridge.readyz()[0] == 503
        (small_disk / "ballast").unlink()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        assert send(bridge, tencent_join("g", "ada")) == (200, TENCENT_OK)
        assert bridge.stop() == 0
    assert kept(small_disk) == acknowledged | {"ada"}


def fill(ballast: Path) -> None:
    """Take all the space there is."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_sync_that_fails_is_not_acknowledged_and_ends_the_process(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running("run", data_dir=data_dir, prelude=BROKEN_SYNC) as bridge:
        assert send(bridge, tencent_join("g", "ada")) == (200, TENCENT_OK)
        (tmp_path / "the-disk-is-broken").touch()
        call = tencent_join("g", "eve")
        assert is_refusal(call, *send(bridge, call))
        assert bridge.wait() == 1
    assert "can no longer be written" in bridge.events("service.failed")[-1]["reason"]
    with running("run", data_dir=data_dir) as bridge:
        assert send(bridge, tencent_join("g", "bob")) == (200, TENCENT_OK)
        assert bridge.stop() == 0
    assert kept(data_dir) >= {"ada", "bob"}
