"""A disk that fails: never an acknowledgement after it, an orderly end, a restart behind an open socket.

The failures are injected at the system call (``shim``): the bridge that runs is the one that ships.
"""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.log.base import Record
from bridge.log.segments import ControlLog
from tests.command_line import imbridge
from tests.faults.calls import (
    assert_answers_questions_only,
    fixed_ports,
    is_stored,
    kept,
    until_members,
)
from tests.faults.kit import assert_kept, assert_legal, calling, metric
from tests.faults.scale import scaled
from tests.faults.shim import Calls, Shim
from tests.integration.callers import tencent_join
from tests.process_kit import Bridge, environment, until

RULE = b"""
kind: rule
id: no-jared
rev: 1
on: [invite]
members: {fact: invitee.id, eq: jared}
effect: refuse_members
reason: {text: no}
"""


@contextmanager
def bridge_on(shim: Shim, data_dir: Path, role: str = "run", **settings: str) -> Iterator[Bridge]:
    """Yield a started ``imbridge run``, or another role, whose system calls may fail."""
    with shim.around():
        bridge = Bridge(role, data_dir=data_dir, **settings)
    try:
        yield bridge.until_started()
    finally:
        bridge.end()


def acknowledged_between(ledgers: list[Path], failed_ns: int, healed_ns: int) -> list[Any]:
    """Return what was sent after the disk had failed and acknowledged before it was well again."""
    lines = [line for ledger in ledgers for line in ledger.read_bytes().splitlines()]
    entries = [orjson.loads(line) for line in lines]
    return [each for each in entries if failed_ns < each["sent_ns"] and each["acked_ns"] < healed_ns]


def test_after_a_failed_sync_nothing_is_acknowledged_until_the_disk_is_well(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir, settings = tmp_path / "data", fixed_ports()
    for _ in range(scaled(1, 50)):
        with bridge_on(shim, data_dir, **settings) as bridge:
            url = bridge.ingress
            with calling(url, tmp_path, "--before", "0.3", rate=100, seconds=90) as load:
                load.until_acknowledged(200)
                shim.fail(Calls.SYNC, ".seg", after=20, times=1)  # and well again, if one trusts it
                ends_in_order(bridge)
                failed_ns = shim.failed_ns
                shim.fail(Calls.SYNC, "/journals/")
                with bridge_on(shim, data_dir, **settings) as successor:
                    waits_behind_an_open_socket(successor, shim)
                    healed_ns = time.monotonic_ns()
                    shim.heal()
                    until(lambda: successor.readyz()[0] == 200, "it is ready", 30)
                    load.until_acknowledged(200)
                    assert_legal(load.stop())
                    assert successor.stop() == 0
        assert acknowledged_between(load.ledgers, failed_ns, healed_ns) == []
        found = assert_kept(load.ledgers, data_dir)
        assert found["acknowledged"] >= 400


def ends_in_order(bridge: Bridge, why: str = "Input/output error") -> None:
    assert bridge.wait() == 1
    assert why in bridge.events("journal.failed")[-1]["error"]
    assert "can no longer be written" in bridge.events("service.failed")[-1]["reason"]
    assert bridge.events("service.stopped")[-1]["unfinished"] == []


def waits_behind_an_open_socket(bridge: Bridge, shim: Shim) -> None:
    """Fail unless it answers questions, refuses facts, says why, and keeps trying its journal."""
    tried = shim.failed
    until(lambda: shim.failed >= tried + 2, "it tries the journal again and again")
    assert_answers_questions_only(bridge)
    status, content = bridge.readyz()
    says = content["parts"]["journal"]["says"]
    assert (status, content["ready"]) == (503, False)
    assert says.startswith("unusable, after-callbacks are refused: ")
    assert "Input/output error" in says
    assert bridge.events("journal.unusable")
    assert bridge.is_running


@pytest.mark.parametrize(
    ("calls", "error", "file"),
    [
        (Calls.WRITE, errno.ENOSPC, ".seg"),
        (Calls.SYNC | Calls.WRITE | Calls.NAMES, errno.EIO, "/journals/"),
    ],
)
def test_whatever_fails_below_the_journal_ends_in_refusals_and_a_restart_heals_it(
    tmp_path: Path, shim: Shim, calls: Calls, error: int, file: str
) -> None:
    data_dir = tmp_path / "data"
    with bridge_on(shim, data_dir) as bridge:
        assert is_stored(bridge, tencent_join("g", "ada"))
        shim.fail(calls, file, error=error)
        assert not is_stored(bridge, tencent_join("g", "eve"))
        assert bridge.wait() == 1
        assert bridge.events("service.stopped")[-1]["unfinished"] == []
    shim.heal()
    with bridge_on(shim, data_dir) as bridge:
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        assert is_stored(bridge, tencent_join("g", "bob"))
        assert bridge.stop() == 0
    assert [user for user in kept(data_dir) if user != "eve"] == ["ada", "bob"]


def test_a_write_that_takes_half_its_bytes_is_finished(tmp_path: Path, shim: Shim) -> None:
    data_dir = tmp_path / "data"
    with bridge_on(shim, data_dir) as bridge:
        shim.fail(Calls.SHORT, ".seg")
        users = [f"u{number}" for number in range(20)]
        assert all(is_stored(bridge, tencent_join("g", user)) for user in users)
        assert shim.failed >= len(users)
        bridge.kill()
    with bridge_on(shim, data_dir) as bridge:
        assert bridge.stop() == 0
    assert kept(data_dir) == users


def test_while_the_next_segment_cannot_be_made_the_journal_says_so_and_goes_on_when_it_can(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir = tmp_path / "data"
    stored: list[str] = []
    with bridge_on(shim, data_dir) as bridge:

        def is_full() -> bool:
            call = tencent_join("g", f"u{len(stored)}")
            call.body["Type"] = "x" * 100_000
            if is_stored(bridge, call):
                stored.append(call.user)
                return False
            return metric(bridge, "imbridge_journal_full") == 1

        shim.fail(Calls.SYNC, "reserve.filling")
        until(is_full, "no segment is left", 30)
        assert "Input/output error" in bridge.events("journal.filled")[-1]["reason"]
        assert_answers_questions_only(bridge)
        assert bridge.readyz()[0] == 503
        shim.heal()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        assert is_stored(bridge, tencent_join("g", "ada"))
        assert bridge.stop() == 0
    assert kept(data_dir) == [*stored, "ada"]


def test_while_control_cannot_be_written_dead_letters_and_rules_wait_and_nothing_else_does(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir, rule = tmp_path / "data", tmp_path / "rule.yaml"
    rule.write_bytes(RULE)
    ControlLog(data_dir).append([Record("im.group.v1", "g", b"no event", {}, 0)])
    shim.fail(Calls.SYNC, "/control/")
    with bridge_on(shim, data_dir) as bridge:
        assert is_stored(bridge, tencent_join("g", "ada"))
        until(lambda: not bridge.part("projection groups").get("ok"), "the projection says that it waits")
        with shim.around():
            publishing = Bridge("rules", "publish", str(rule), data_dir=data_dir)
        assert publishing.wait() != 0
        assert "Input/output error" in publishing.err
        assert bridge.readyz()[0] == 200
        shim.heal()
        until(lambda: letters(data_dir), "the dead letter is there", 40)
        until_members(data_dir, "g", {"ada"})
        assert imbridge("rules", "publish", str(rule), env=environment(data_dir)).code == 0
        until(lambda: "version 1" in bridge.part("rules")["says"], "the rules are served")
        assert bridge.stop() == 0
    assert [letter["consumer"] for letter in letters(data_dir)] == ["groups"]


def letters(data_dir: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = imbridge("dlq", "list", "--json", env=environment(data_dir)).json()
    return found


def test_while_the_store_cannot_be_written_callbacks_are_stored_and_the_tables_follow_later(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir = tmp_path / "data"
    with bridge_on(shim, data_dir) as bridge:
        assert is_stored(bridge, tencent_join("g", "ada"))
        until_members(data_dir, "g", {"ada"})
        shim.fail(Calls.SYNC | Calls.WRITE, "imbridge.sqlite")
        users = [f"u{number}" for number in range(50)]
        assert all(is_stored(bridge, tencent_join("g", user)) for user in users)
        until(lambda: not bridge.part("projection groups")["ok"], "the projection says that it waits")
        assert bridge.readyz()[0] == 200
        shim.heal()
        until_members(data_dir, "g", {"ada", *users})
        assert bridge.stop() == 0
    assert letters(data_dir) == []
