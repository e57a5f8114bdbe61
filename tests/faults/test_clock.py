"""A wall clock that steps: order by receipt never goes back, and a later leave beats an earlier join.

The clock is moved at the system call (``shim``), back and forth, with restarts between.
"""

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.command_line import imbridge
from tests.faults.calls import is_stored, kept, send, until_members
from tests.faults.kit import assert_kept, assert_legal, calling, caught_up, drained, over
from tests.faults.scale import chance, scaled
from tests.faults.shim import Shim
from tests.faults.test_sync import RULE, bridge_on
from tests.integration.callers import Call, openim_join, tencent_invite, tencent_join
from tests.integration.test_e2e_doors import TOKEN, signed
from tests.parts import KafkaServer
from tests.process_kit import Bridge, environment, until

HOUR = 3600.0
YEAR = 365 * 24 * HOUR
STEPS = (0.0, -HOUR, HOUR, -HOUR, 0.0)
IN_2286 = 9_999_999_999_999
IN_1970 = 1_000


def now_ms() -> int:
    """Return the true time."""
    return time.time_ns() // 1_000_000


def events(data_dir: Path, **settings: str) -> list[dict[str, Any]]:
    """Return the events of groups in the order of the journal."""
    said = imbridge("topics", "read", "im.group.v1", "--json", env=environment(data_dir, **settings))
    return list(said.lines())


def ms(event: dict[str, Any], attribute: str) -> int:
    """Return an attribute that is a time, in milliseconds."""
    return round(datetime.fromisoformat(event[attribute]).astimezone(UTC).timestamp() * 1000)


def openim_quit(group: str, user: str) -> Call:
    call = openim_join(group, user, time.monotonic_ns())
    command = "callbackAfterQuitGroupCommand"
    body = {"callbackCommand": command, "groupID": group, "userID": user}
    return call._replace(path=f"/openim/{command}?contenttype=json", body=body)


def tencent_exit(group: str, user: str) -> Call:
    call = tencent_join(group, user)
    command = "Group.CallbackAfterMemberExit"
    body = {
        **call.body,
        "CallbackCommand": command,
        "ExitType": "Quit",
        "ExitMemberList": [{"Member_Account": user}],
    }
    for of_a_join in ("JoinType", "NewMemberList"):
        del body[of_a_join]
    return call._replace(path=call.path.replace("Group.CallbackAfterNewMemberJoin", command), body=body)


def at(call: Call, event_ms: int) -> Call:
    """Return the callback with this vendor's time."""
    return call._replace(body={**call.body, "EventTime": str(event_ms)})


def test_by_receipt_nothing_goes_back_within_a_journal_whatever_the_clock_and_restarts_do(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir, by = tmp_path / "data", chance("clock")
    steps = [*STEPS, *(by.uniform(-2 * HOUR, 2 * HOUR) for _ in range(scaled(1, 100)))]
    sent = 0
    for turn in range(0, len(steps), 2):
        with bridge_on(shim, data_dir) as bridge:
            for step in steps[turn : turn + 2]:
                shim.step(step)
                for _ in range(20):
                    assert is_stored(bridge, openim_join("g", f"u{sent}", sent))
                    sent += 1
            bridge.kill()
    found = events(data_dir)
    assert [event["data"]["members"][0]["user_id"] for event in found] == [f"u{n}" for n in range(sent)]
    sequences = [event["sequence"] for event in found]
    assert sequences == sorted(set(sequences))
    assert {event["timebasis"] for event in found} == {"received"}
    assert all(event["time"] == event["recordedtime"] for event in found)
    received = [ms(event, "recordedtime") for event in found]
    assert received == sorted(received)
    assert max(received) <= now_ms() + 1000 * max(steps)


def test_what_the_vendor_timed_has_one_sequence_and_id_whenever_it_comes(tmp_path: Path, shim: Shim) -> None:
    data_dir = tmp_path / "data"
    call = at(tencent_join("g", "ada"), now_ms() - 1000)
    for step in (0.0, HOUR, -HOUR):
        shim.step(step)
        with bridge_on(shim, data_dir) as bridge:
            assert is_stored(bridge, call)
            assert bridge.stop() == 0
    found = events(data_dir)
    assert len(found) == 3
    assert {(event["id"], event["sequence"], event["time"]) for event in found} == {
        (found[0]["id"], f"{int(call.body['EventTime']) << 16:016x}", found[0]["time"])
    }
    assert all("timebasis" not in event for event in found)


def test_a_vendor_time_that_cannot_be_is_not_believed_and_moves_nothing_else(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir = tmp_path / "data"
    for _ in range(2):
        with bridge_on(shim, data_dir) as bridge:
            assert is_stored(bridge, at(tencent_join("g", "ada"), IN_2286))
            assert is_stored(bridge, at(tencent_join("g", "eli"), IN_1970))
            assert is_stored(bridge, openim_join("g", "bob", time.monotonic_ns()))
            assert is_stored(bridge, at(tencent_join("g", "cyd"), now_ms()))
            bridge.kill()
    found = events(data_dir)
    assert [event.get("timebasis") for event in found] == ["received", "received", "received", None] * 2
    assert all(abs(ms(event, "time") - now_ms()) < 120_000 for event in found)
    assert [event["sequence"] for event in found] == sorted(event["sequence"] for event in found)


def test_a_later_leave_beats_an_earlier_join_across_steps_and_restarts(tmp_path: Path, shim: Shim) -> None:
    data_dir, began = tmp_path / "data", now_ms()
    by_receipt = {"leaves": openim_quit, "joins": openim_join}
    for place, (step, then) in enumerate(((HOUR, -HOUR), (0.0, -HOUR))):
        shim.step(step)
        with bridge_on(shim, data_dir) as bridge:
            for user in ("leaves", "joins"):
                assert is_stored(bridge, openim_join(f"o{place}", user, time.monotonic_ns()))
            assert is_stored(bridge, openim_quit(f"o{place}", "joins"))
            assert is_stored(bridge, at(tencent_join(f"t{place}", "leaves"), began + 10_000 * place))
            assert is_stored(bridge, at(tencent_exit(f"t{place}", "joins"), began + 10_000 * place))
            shim.step(then)
            bridge.kill()
        with bridge_on(shim, data_dir) as bridge:
            for user, call in by_receipt.items():
                assert is_stored(bridge, call(f"o{place}", user))
            assert is_stored(bridge, at(tencent_exit(f"t{place}", "leaves"), began + 10_000 * place + 1))
            assert is_stored(bridge, at(tencent_join(f"t{place}", "joins"), began + 10_000 * place + 1))
            assert is_stored(bridge, at(tencent_join(f"t{place}", "leaves"), began + 10_000 * place))
            for group in (f"o{place}", f"t{place}"):
                until_members(data_dir, group, {"joins"})
            assert bridge.stop() == 0


def test_a_signed_callback_is_judged_by_the_clock_and_a_repeat_is_stored_once_across_a_step(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir = tmp_path / "data"
    with bridge_on(shim, data_dir, TENCENT__TOKENS=TOKEN) as bridge:
        first = signed(at(tencent_join("g", "ada"), now_ms()))
        assert is_stored(bridge, first)
        for step in (200.0, -200.0):
            shim.step(step)
            assert is_stored(bridge, first)
        for step in (HOUR, -HOUR):
            shim.step(step)
            assert send(bridge, signed(tencent_join("g", "eve")))[0] == 403
        shim.step(0)
        assert is_stored(bridge, signed(tencent_join("g", "bob", 1)))
        assert bridge.stop() == 0
    assert kept(data_dir) == ["ada", "bob"]


def test_no_step_forgets_what_nobody_has_read(tmp_path: Path, shim: Shim) -> None:
    data_dir = tmp_path / "data"
    settings = {"KEEP_SECONDS": str(HOUR), "SEGMENT_BYTES": str(64 << 10), "MAX_BYTES": str(512 << 10)}
    settings = {f"JOURNAL__{name}": value for name, value in settings.items()}
    stored: list[str] = []
    with bridge_on(shim, data_dir, role="ingress", **settings) as bridge:

        def is_full() -> bool:
            shim.step((-YEAR, 0.0, YEAR)[len(stored) % 3])
            call = openim_join("g", f"u{len(stored)}", len(stored))
            call.body["ex"] = "x" * 8000
            stored.extend([call.user] * is_stored(bridge, call))
            return len(stored) > 15 and str(bridge.part("journal")["says"]).startswith("full")

        until(is_full, "the journal is full of what nobody has read", 30)
        shim.step(YEAR)
        assert kept(data_dir) == stored
        bridge.kill()
    with bridge_on(shim, data_dir, **settings) as bridge:
        until_members(data_dir, "g", set(stored))
        until(lambda: bridge.events("segments.forgotten"), "what was read and is old by now is forgotten", 30)
        assert bridge.stop() == 0


def decides(bridge: Bridge, call: Call) -> bool:
    return send(bridge, call) == (200, call.wanted)


def test_rules_go_on_deciding_across_steps(tmp_path: Path, shim: Shim) -> None:
    data_dir, rule = tmp_path / "data", tmp_path / "rule.yaml"
    rule.write_bytes(RULE)
    with bridge_on(shim, data_dir, RULES__MAX_STALE_SECONDS="60") as bridge:
        assert imbridge("rules", "publish", str(rule), env=environment(data_dir)).code == 0
        call = tencent_invite("g", "jared", "ada", refused="jared")
        for step in (0.0, HOUR, -HOUR, 0.0):
            shim.step(step)
            until(partial(decides, bridge, call), f"the rules decide at {step:g} s", 30)
        assert bridge.stop() == 0


def test_over_kafka_relay_and_tables_go_on_under_load_while_the_clock_steps(
    tmp_path: Path, shim: Shim, kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(kafka, prefix)
    with (
        bridge_on(shim, data_dir, **settings) as bridge,
        calling(bridge.ingress, tmp_path, "--before", "0.2", rate=50, seconds=120) as load,
    ):
        for place, step in enumerate((0.0, -HOUR, HOUR, 0.0)):
            shim.step(step)
            load.until_acknowledged(100)
            assert is_stored(bridge, at(tencent_join(f"g{place}", "ada"), now_ms()))
            caught_up(bridge, "relay of journal 1")
            until_members(data_dir, f"g{place}", {"ada"})
        assert_legal(load.stop())
        drained(bridge)
        assert bridge.readyz()[0] == 200
        assert bridge.stop() == 0
    assert_kept(load.ledgers, data_dir, **settings)
