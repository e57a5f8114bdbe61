"""imbridge simulate as a process of its own, against a receiver that misbehaves on purpose."""

import signal
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.simulate.ledger import read_ledger
from tests.command_line import imbridge
from tests.misbehaving import Receiver
from tests.parts.process import free_port
from tests.process_kit import Bridge, environment, until

PROVIDERS = ("tencent", "openim")
DEEDS = ("accept", "refuse", "accept", "illegal", "reset", "accept", "cut", "late")
OUTCOMES = {
    "accept": "accepted",
    "refuse": "refused",
    "illegal": "illegal",
    "late": "late",
    "reset": "failed",
    "cut": "failed",
}
LIMIT_SECONDS = 60.0


def simulator(provider: str, url: str, place: Path, *options: str) -> Bridge:
    """Start one, with its ledger in ``place`` and its report as JSON."""
    ledger = ("--ledger", str(place / "ledger"))
    return Bridge("simulate", provider, "--url", url, "--json", *ledger, *options, data_dir=place / "none")


def until_heard(receiver: Receiver, process: Bridge, more: int = 20) -> None:
    """Return once so many more callbacks arrived; fail at once when the simulator ends instead."""
    wanted = len(receiver.heard) + more

    def arrived() -> bool:
        assert process.is_running, process.err
        return len(receiver.heard) >= wanted

    until(arrived, f"{more} callbacks arrive")


def report_of(process: Bridge) -> dict[str, Any]:
    assert process.wait(LIMIT_SECONDS) == 0, process.err
    report: dict[str, Any] = orjson.loads(process.out)
    return report


def simulated(provider: str, url: str, place: Path, *options: str) -> dict[str, Any]:
    process = simulator(provider, url, place, *options)
    try:
        return report_of(process)
    finally:
        process.end()


def misdeed(number: int, _: int) -> str:
    """Do everything there is, and be late seldom: each late answer costs a worker its time-out."""
    deed = DEEDS[number % len(DEEDS)]
    return "accept" if deed == "late" and number % (4 * len(DEEDS)) != len(DEEDS) - 1 else deed


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_request_is_counted_for_what_became_of_it(provider: str, tmp_path: Path) -> None:
    options = ("--rate", "60", "--seconds", "3", "--before", "0.2", "--repeat", "0.1", "--identical", "0.1")
    more = ("--timeout", "0.5", "--services", "2") if provider == "openim" else ()
    with Receiver(provider, misdeed) as receiver:
        report = simulated(provider, receiver.url, tmp_path, *options, *more)
    expected: Counter[str] = Counter()
    for heard in receiver.heard:
        # Tencent knows no refusal of a question but at the door.
        unsayable = provider == "tencent" and heard.asks and heard.deed == "refuse"
        expected["illegal" if unsayable else OUTCOMES[heard.deed]] += 1
    assert {name: report[name] for name in set(OUTCOMES.values())} == expected
    assert (report["sent"], report["lost"]) == (len(receiver.heard), 0)
    assert min(expected.values()) > 0
    assert report["before"]["sent"] == sum(heard.asks for heard in receiver.heard) > 0
    assert report["latency_ms"]["after"]["count"] + report["latency_ms"]["before"]["count"] == (
        report["sent"] - report["late"] - report["failed"]
    )
    assert report["examples"][0]["why"]
    entries = Counter(str(entry.marker) for entry in read_ledger(tmp_path / "ledger"))
    assert entries == Counter(heard.marker for heard in receiver.did("accept") if not heard.asks)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_sent_looks_as_the_vendor_sends_it(provider: str, tmp_path: Path) -> None:
    options = {
        "tencent": ("--token", "xxxxyyyy", "--app", "1400000007"),
        "openim": ("--path-secret", "sesame"),
    }
    with Receiver(provider, lambda *_: "accept") as receiver:
        simulated(provider, receiver.url, tmp_path, "--rate", "40", "--seconds", "1", *options[provider])
    assert receiver.heard
    for heard in receiver.heard:
        body = orjson.loads(heard.body)
        if provider == "openim":
            assert heard.headers["content-type"] == "application/json; charset=utf-8"
            assert heard.headers["operationid"]
            assert heard.headers["user-agent"] == "Go-http-client/1.1"
            assert heard.body.endswith(b"}\n")
            assert body["callbackCommand"] == heard.command
            continue
        query = heard.query
        signed = sha256(f"xxxxyyyy{query['RequestTime']}".encode()).hexdigest()
        assert (query["SdkAppid"], query["Sign"], query["contenttype"]) == ("1400000007", signed, "json")
        assert body["CallbackCommand"] == heard.command
        assert {"ClientIP", "OptPlatform"} <= query.keys()
        assert "RequestID" not in query


def test_a_stuck_receiver_costs_openim_what_finds_no_slot_within_three_seconds(tmp_path: Path) -> None:
    """240 callbacks in 2 s: two workers hold one each, 100 find a slot, the callers of the rest give up."""
    options = ("--rate", "120", "--seconds", "2", "--before", "0", "--timeout", "9")
    with Receiver("openim", lambda *_: "late") as receiver:
        report = simulated("openim", receiver.url, tmp_path, *options)
    counts = {name: report[name] for name in ("sent", "late", "unsent", "accepted")}
    assert counts == {"sent": 2, "late": 2, "unsent": 100, "accepted": 0}
    assert report["lost"] + report["behind"] == 138
    assert report["lost"] > 100
    assert receiver.most_under_way == 2
    assert not list(read_ledger(tmp_path / "ledger"))


@pytest.mark.parametrize("services", [1, 3])
def test_each_service_of_openim_has_two_callbacks_under_way_at_most(services: int, tmp_path: Path) -> None:
    options = ("--rate", "100", "--seconds", "2", "--before", "0", "--services", str(services))
    with Receiver("openim", lambda *_: "slow") as receiver:
        report = simulated("openim", receiver.url, tmp_path, *options)
    assert receiver.most_under_way == 2 * services
    assert (report["accepted"] + report["behind"], report["lost"]) == (200, 0)


def test_questions_of_openim_do_not_wait_behind_its_queue(tmp_path: Path) -> None:
    mix = tmp_path / "mix.json"
    mix.write_text('{"callbackAfterUserOnlineCommand": 1, "callbackBeforeInviteJoinGroupCommand": 1}')
    options = ("--rate", "50", "--seconds", "2", "--mix", str(mix), "--timeout", "9")
    with Receiver("openim", lambda *_: "late") as receiver:
        simulated("openim", receiver.url, tmp_path, *options)
    asked = [heard for heard in receiver.heard if heard.asks]
    assert len(receiver.heard) - len(asked) == 2
    assert len(asked) > 30


def test_tencent_repeats_what_timed_out_where_that_is_switched_on_and_never_a_question(
    tmp_path: Path,
) -> None:
    options = ("--rate", "20", "--seconds", "2", "--before", "0.3", "--repeat-on-timeout", "--request-ids")
    with Receiver(
        "tencent", lambda number, came: "late" if number % 4 == 0 and not came else "accept"
    ) as receiver:
        report = simulated("tencent", receiver.url, tmp_path, *options)
    late = {heard.marker: heard for heard in receiver.did("late")}
    again = [heard for heard in receiver.did("accept") if heard.marker in late]
    assert {heard.marker for heard in again} == {marker for marker, heard in late.items() if not heard.asks}
    assert any(heard.asks for heard in late.values())
    for heard in again:
        first = late[heard.marker]
        assert (heard.body, heard.query["RequestID"]) == (first.body, first.query["RequestID"])
    assert (report["late"], report["repeats"]) == (len(late), len(again))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_report(provider: str, number: signal.Signals, tmp_path: Path) -> None:
    with Receiver(provider, lambda *_: "accept") as receiver:
        process = simulator(provider, receiver.url, tmp_path, "--rate", "100", "--seconds", "600")
        try:
            until_heard(receiver, process)
            process.signal(number)
            report = report_of(process)
        finally:
            process.end()
        assert report["accepted"] == report["sent"] == len(receiver.heard)
        assert report["after"]["accepted"] == len(list(read_ledger(tmp_path / "ledger")))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_nobody_there_is_an_outcome_of_each_callback_and_no_end_of_the_run(
    provider: str, tmp_path: Path
) -> None:
    report = simulated(
        provider, f"http://127.0.0.1:{free_port()}", tmp_path, "--rate", "40", "--seconds", "1"
    )
    assert report["sent"] + report["behind"] == 40
    assert report["failed"] == report["sent"] > 20
    assert "Cannot connect" in report["complaints"]["failed"][0]["why"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_receiver_that_is_restarted_is_called_again(provider: str, tmp_path: Path) -> None:
    port = free_port()
    process = simulator(provider, f"http://127.0.0.1:{port}", tmp_path, "--rate", "50", "--seconds", "600")
    try:
        with Receiver(provider, lambda *_: "accept", port) as receiver:
            until_heard(receiver, process)
        with Receiver(provider, lambda *_: "accept", port) as receiver:
            until_heard(receiver, process)
            process.terminate()
            report = report_of(process)
    finally:
        process.end()
    assert report["accepted"] >= 40
    assert report["illegal"] == 0


def test_the_rate_is_kept_however_slow_the_answers_are(tmp_path: Path) -> None:
    """Open loop: the latency of what waited for a connection counts from when it was due."""
    options = ("--rate", "50", "--seconds", "2", "--connections", "1", "--before", "0")
    with Receiver("tencent", lambda *_: "slow") as receiver:
        report = simulated("tencent", receiver.url, tmp_path, *options)
    assert report["sent"] + report["behind"] == 100
    assert report["sent"] < 45
    assert report["latency_ms"]["after"]["max"] > 900


def test_another_machine_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    done = imbridge("simulate", "tencent", "--url", "http://192.0.2.1:8080", env=environment(tmp_path))
    assert (done.code, "--allow-remote" in done.err) == (2, True)


def test_what_a_vendor_does_not_do_is_refused(tmp_path: Path) -> None:
    for words in (
        ("openim", "--token", "x"),
        ("openim", "--repeat-on-timeout"),
        ("tencent", "--path-secret", "x"),
    ):
        done = imbridge("simulate", *words, "--url", "http://127.0.0.1:1", env=environment(tmp_path))
        assert (done.code, "not something" in done.err) == (2, True)
