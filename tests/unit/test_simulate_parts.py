"""Latencies, mixes, targets, schedules, ledgers, the tally: what a simulator is made of."""

import asyncio
import os
from errno import ENOSPC
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import LedgerUnusable, UsageError
from bridge.simulate.latencies import Latencies
from bridge.simulate.ledger import Entry, Ledger, read_ledger
from bridge.simulate.markers import Marker, new_run, read_marker
from bridge.simulate.mix import read_mix
from bridge.simulate.schedule import Schedule
from bridge.simulate.simulator import check_target

ENTRY = Entry(Marker("testruns", 3), "tencent", "Group.CallbackAfterSendMsg", 100, 200, 1)


@given(st.lists(st.floats(0, 50), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_never_too_low_and_hardly_too_high(seconds: list[float], share: float) -> None:
    latencies = Latencies()
    for one in seconds:
        latencies.add(one)
    in_order = sorted(round(one * 1e6) for one in seconds)
    exact = next(value for rank, value in enumerate(in_order, 1) if rank >= share * len(in_order)) / 1000
    assert exact <= latencies.percentile(share) <= exact * 1.016
    assert latencies.summary()["max"] == in_order[-1] / 1000
    assert latencies.summary()["count"] == len(seconds)


def test_without_latencies_there_are_no_percentiles() -> None:
    assert Latencies().summary() == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0, "count": 0}


@given(st.text(), st.integers(0, 10**9 - 1))
def test_a_marker_is_read_back_and_nothing_else_is_one(text: str, number: int) -> None:
    assert read_marker(str(Marker("testruns", number))) == Marker("testruns", number)
    found = read_marker(text)
    assert found is None or str(found) == text or text.rpartition("-")[2].startswith("0")
    assert read_marker(number) is None


def test_no_two_runs_have_a_name_in_common() -> None:
    assert len({new_run() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("name", "content"), [("m.toml", '"State.StateChange" = 2'), ("m.json", '{"State.StateChange": 2}')]
)
def test_a_mix_is_toml_or_json(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_mix(tmp_path / name) == {"State.StateChange": 2}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.toml", "a = ", "cannot be read"),
        ("m.json", "[]", "no table"),
        ("m.json", '{"a": -1, "b": "x", "c": 1, "d": true}', "for a, b, d"),
        ("absent.toml", None, "cannot be read"),
    ],
)
def test_a_mix_that_is_none_is_refused_with_its_reason(
    tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=says):
        read_mix(tmp_path / name)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost:1/", "http://[::1]:8080", "https://127.3.2.1"]
)
def test_this_machine_may_be_tried(url: str) -> None:
    assert check_target(url, allow_remote=False) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7:8080", "https://bridge.example.test", "http://127.0.0.1.example.test"]
)
def test_another_machine_is_tried_only_when_that_is_said(url: str) -> None:
    with pytest.raises(UsageError, match="--allow-remote"):
        check_target(url, allow_remote=False)
    assert check_target(url, allow_remote=True) == url


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://127.0.0.1/?a=b"])
def test_what_is_no_root_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no root"):
        check_target(url, allow_remote=True)


async def test_due_times_do_not_move_when_whoever_takes_them_is_slow() -> None:
    schedule = Schedule(rate=200, seconds=1000)
    first = await schedule.next()
    assert first is not None
    await asyncio.sleep(0.06)
    late = [await schedule.next() for _ in range(5)]
    assert [round((due - first) * 200) for due in late if due is not None] == [1, 2, 3, 4, 5]


async def test_a_schedule_ends_and_says_how_many_nobody_took() -> None:
    schedule = Schedule(rate=100, seconds=0.05)
    assert await schedule.next() is not None
    await asyncio.sleep(0.06)
    assert await schedule.next() is None
    assert schedule.missed() == 4


async def test_stopping_wakes_whoever_waits_for_the_next_due_time() -> None:
    schedule = Schedule(rate=0.01, seconds=1000)
    await schedule.next()
    waiting = asyncio.create_task(schedule.next())
    await asyncio.sleep(0)
    schedule.stop()
    assert await asyncio.wait_for(waiting, 5) is None
    assert await schedule.next() is None
    assert not await schedule.pause(1000)


async def test_what_was_noted_is_read_back(tmp_path: Path) -> None:
    full = ENTRY._replace(twin=1, apart=True, restless=True, type="t", group="g", users=("u", "v"), app="1")
    async with Ledger(tmp_path / "l") as ledger:
        ledger.note(ENTRY)
        ledger.note(full)
    async with Ledger(tmp_path / "l") as ledger:
        ledger.note(ENTRY._replace(acked_ns=300))
    assert list(read_ledger(tmp_path / "l")) == [ENTRY, full, ENTRY._replace(acked_ns=300)]
    first = orjson.loads((tmp_path / "l").read_bytes().splitlines()[0])
    assert first.keys() == {"marker", "provider", "command", "sent_ns", "acked_ns", "events"}


async def test_an_acknowledgement_is_on_disk_while_the_run_goes_on(tmp_path: Path) -> None:
    async with Ledger(tmp_path / "l") as ledger, asyncio.timeout(10):
        ledger.note(ENTRY)
        while not list(read_ledger(tmp_path / "l")):  # noqa: ASYNC110 the file is all there is to look at
            await asyncio.sleep(0.01)


async def test_a_torn_last_line_is_no_entry_and_is_cut_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(ENTRY.line() + b"\n" + ENTRY.line()[:20])
    assert list(read_ledger(tmp_path / "l")) == [ENTRY]
    async with Ledger(tmp_path / "l") as ledger:
        ledger.note(ENTRY)
    assert list(read_ledger(tmp_path / "l")) == [ENTRY, ENTRY]


@pytest.mark.parametrize(
    "line", [b"{}", b"nonsense", b'{"marker":"x"}', ENTRY.line().replace(b"testruns-3", b"no marker")]
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "l").write_bytes(ENTRY.line() + b"\n" + line + b"\n" + ENTRY.line() + b"\n")
    with pytest.raises(LedgerUnusable, match="line 2"):
        list(read_ledger(tmp_path / "l"))


async def test_a_ledger_that_cannot_be_opened_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="cannot be written"):
        await Ledger(tmp_path).__aenter__()


async def test_a_disk_that_fails_under_the_ledger_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(LedgerUnusable, match="No space"):
        async with Ledger(tmp_path / "l") as ledger:
            ledger.note(ENTRY)


def test_a_ledger_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="absent"):
        list(read_ledger(tmp_path / "absent"))
