"""The benches' own parts work; what they measure is nobody's test."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web
from rich.console import Console

from tests.bench import ack, backlog, bare, before, memory, relay
from tests.bench.generator import generate, generator
from tests.bench.load import Figures, Load, Sender, percentile
from tests.bench.report import Report, Table, keep, show
from tests.bench.servers import BARE, BURST, DECIDING, SUSTAINED, Target
from tests.bench.traffic import INVITEES, Traffic


class Listening:
    """A server in this process that keeps the bodies and targets it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.targets: list[str] = []
        self.status = 200
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.targets.append(request.path_qs)
        return web.Response(text=bare.ANSWER, status=self.status, content_type="application/json")


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    server = Listening()
    app = web.Application()
    app.router.add_post("/tencent", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


async def send(server: Listening, load: Load) -> Figures:
    return await Sender(Traffic(server.port, run=3), load).run("127.0.0.1", server.port)


async def test_the_generator_sends_exactly_the_callbacks_it_was_asked_for(listening: Listening) -> None:
    figures = await send(listening, Load(connections=3, seconds=10, requests=50))
    assert (figures.requests, figures.failed, len(listening.bodies)) == (50, 0, 50)
    assert 0 < figures.p50_us <= figures.p99_us <= figures.max_us


async def test_no_two_callbacks_are_the_same(listening: Listening) -> None:
    await send(listening, Load(connections=2, seconds=10, requests=40))
    members = {orjson.loads(body)["NewMemberList"][0]["Member_Account"] for body in listening.bodies}
    assert (len(members), len(set(listening.targets))) == (40, 40)
    assert not {Traffic(1, run=1).request(n) for n in range(9)} & {
        Traffic(1, run=2).request(n) for n in range(9)
    }


def test_a_question_names_its_invitees_and_is_never_the_same() -> None:
    bodies = [Traffic(1, run=2, kind="invited").request(n).partition(b"\r\n\r\n")[2] for n in (0, 1)]
    asked = [orjson.loads(body) for body in bodies]
    assert {one["CallbackCommand"] for one in asked} == {"Group.CallbackBeforeInviteJoinGroup"}
    assert [len(one["DestinationMembers"]) for one in asked] == [INVITEES, INVITEES]
    assert asked[0] != asked[1]


def test_questions_are_compared_with_the_bare_handler_load_by_load() -> None:
    runs = [
        before.Run(number, target, "closed @2", Figures(100, 1.0, 10, p99, 900, 0), 1.0)
        for number in range(3)
        for target, p99 in ((BARE, 100), (DECIDING, 200 + 100 * number))
    ]
    p99s = before.tables(runs)[1]
    assert list(p99s.rows[0]) == ["closed @2", "2.00", "3.00", "4.00", "3.00"]


def test_the_relay_is_compared_with_the_raw_producer_round_by_round() -> None:
    took = {relay.RAW: 2.0, relay.APPEND: 1.0, relay.RELAY: 2.5}
    spent = [
        relay.Spent(way, number, 1000, seconds, 0.5) for number in (0, 1) for way, seconds in took.items()
    ]
    medians, ratios = relay.tables(spent)
    assert list(medians.rows[0]) == [relay.RAW, "500", "500", "500.0"]
    assert [row[-1] for row in ratios.rows] == ["2.00", "0.80"]


def test_memory_is_told_as_growth_since_the_time_before() -> None:
    mib = 1 << 20
    held = [
        memory.Held(process, when, size * mib)
        for when, size in (("100 callbacks", 90), ("200 callbacks", 93))
        for process in ("ingress", "relay")
    ]
    grown, outage = memory.tables(held, [memory.Outage(1000, 1_100_000, 2_000_000, 4.0)])
    assert list(grown.rows[1]) == ["ingress", "200 callbacks", "93.0", "+3.0"]
    assert list(outage.rows[0]) == ["1,000", "1100", "2000", "4.0", "250"]


async def test_a_load_at_a_rate_sends_no_more_than_that(listening: Listening) -> None:
    figures = await send(listening, Load(connections=4, seconds=0.2, rate=100))
    assert 1 <= figures.requests <= 21


async def test_answers_other_than_200_count_as_failed(listening: Listening) -> None:
    listening.status = 503
    assert (await send(listening, Load(connections=2, seconds=10, requests=6))).failed == 6


async def test_broken_connections_count_as_failed() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        figures = await Sender(Traffic(port), Load(connections=2, seconds=10)).run("127.0.0.1", port)
    assert (figures.requests, figures.failed) == (0, 2)


@pytest.mark.skipif(generator() != "wrk", reason="wrk is not installed")
async def test_wrk_sends_the_same_callbacks(listening: Listening) -> None:
    figures = await asyncio.to_thread(generate, listening.port, 3, Load(connections=2, seconds=1))
    assert (figures.requests > 0, figures.failed) == (True, 0)
    ours = Traffic(listening.port, run=3)
    number = int(orjson.loads(listening.bodies[-1])["NewMemberList"][0]["Member_Account"][5:]) - ours.first
    head, _, body = ours.request(number).partition(b"\r\n\r\n")
    assert head.split(b" ")[1].decode() == listening.targets[-1]
    sent, shape = orjson.loads(listening.bodies[-1]), orjson.loads(body)
    assert {**sent, "EventTime": 0} == {**shape, "EventTime": 0}


def test_percentiles_are_values_that_were_measured() -> None:
    assert [percentile(Counter({10: 98, 20: 1, 90: 1}), p) for p in (50, 99, 100)] == [10, 20, 90]
    assert percentile(Counter(), 50) == 0


def test_a_backlog_is_flat_when_it_stops_growing_after_the_start() -> None:
    filling = backlog.Backlog([(0.0, 0), (0.2, 300), (1.0, 500), (2.0, 510), (3.0, 500)])
    growing = backlog.Backlog([(0.0, 0), (1.0, 1000), (2.0, 2000), (3.0, 3000)])
    figures = Figures(requests=30_000, seconds=3.0, p50_us=1, p99_us=1, max_us=1, failed=0)
    assert filling.is_flat(figures)
    assert not growing.is_flat(figures)
    assert growing.highest == 3000


def test_the_highest_flat_rate_is_found_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    def keeps_up_to_5000(_: Target, load: Load) -> tuple[Figures, backlog.Backlog]:
        rate = round(load.rate or 12_000)
        growth = max(0, rate - 5000)
        samples = [(float(second), second * growth) for second in range(4)]
        return Figures(rate, 1.0, 1, 1, 1, 0), backlog.Backlog(samples)

    monkeypatch.setattr(backlog, "watched", keeps_up_to_5000)
    rate = backlog.flat_rate(Target(SUSTAINED, 1, []), 64, 3.0)
    assert rate is not None
    assert 4500 <= rate <= 5150


def test_a_relay_that_keeps_up_at_full_speed_is_held_to_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = backlog.Backlog([(float(second), 100) for second in range(4)])
    monkeypatch.setattr(backlog, "watched", lambda *_: (Figures(9000, 1.0, 1, 1, 1, 0), flat))
    assert backlog.flat_rate(Target(SUSTAINED, 1, []), 64, 3.0) is None


def test_tables_tell_ratios_round_by_round_and_their_median() -> None:
    speeds = {
        (BARE, 0): 1000,
        (BURST, 0): 500,
        (BARE, 1): 1000,
        (BURST, 1): 700,
        (BARE, 2): 1000,
        (BURST, 2): 600,
    }
    runs = [
        ack.Run(number, variant, connections, Figures(speed, 1.0, 100_000 // speed, 200, 300, 0), sync_us=100)
        for (variant, number), speed in speeds.items()
        for connections in ack.CONNECTIONS
    ]
    ratios, medians = ack.tables(runs)[1:3]
    assert list(ratios.rows[0]) == [f"{BURST} / {BARE} @2", "0.50", "0.70", "0.60", "0.60"]
    assert [list(row)[1:] for row in medians.rows] == [["1.00", "0.71", "0.83", "0.83"]]


def test_kept_figures_name_no_machine_and_no_path(tmp_path: Path) -> None:
    report = Report(
        "trial",
        [Table("Speed", ["what", "per s"], [["one", "5"]])],
        ["a note", f"jars in {Path.cwd()}, run by /usr/bin/java"],
        {"speeds": [5]},
    )
    text = keep(report, tmp_path).read_text()
    assert json.loads(text)["raw"] == {"speeds": [5]}
    assert json.loads(text)["notes"] == ["a note", "jars in …, run by …"]
    for secret in (socket.gethostname() + ".", str(Path.cwd()), str(Path.home()) + "/"):
        assert secret not in text
    console = Console(record=True, width=100)
    show(report, console)
    assert "a note" in console.export_text()
