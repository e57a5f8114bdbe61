"""Several workers behind one port, as real processes: shared, killed, restarted, stopped, orphaned."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import orjson
import pytest

from tests.faults.kit import assert_kept, assert_legal, calling, over
from tests.integration.callers import Call, Callers, openim_join
from tests.looking import members
from tests.parts import KafkaServer
from tests.parts.process import free_port
from tests.process_kit import Bridge, command, environment, post, running, until
from tests.published import publish_not_mallory
from tests.workers_kit import (
    callers_of,
    children_of,
    counted,
    is_listened_on,
    is_ready,
    is_running,
    journal_of,
    kill,
    pids_of,
    service,
    users_in,
)


def test_workers_share_a_port_a_journal_each_and_consumers_read_all_of_them(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with (
        service("ingress", workers=3, data_dir=data_dir) as bridge,
        running("consume", data_dir=data_dir) as consume,
    ):
        with Callers(bridge.ingress, count=24) as callers:
            until(lambda: all(callers_of(pid) for pid in pids_of(bridge).values()), "each has callers")
            callers.until_acknowledged(400)
        assert (callers.wrong, callers.unanswered) == ([], [])
        acknowledged = set(callers.acknowledged)
        until(
            lambda: members(f"sqlite:///{data_dir}/imbridge.sqlite") == acknowledged, "all is in the tables"
        )
        assert counted(bridge, "imbridge_callbacks_total", outcome="acked") == len(acknowledged)
        assert counted(bridge, "imbridge_decisions_total") == len(callers.decided)
        assert counted(bridge, "imbridge_callback_seconds_count") == len(callers.answers)
        assert sorted(journal_of(bridge, worker) for worker in (1, 2, 3)) == [1, 2, 3]
        until(
            lambda: all(bridge.part(f"worker {worker}: journal")["end"] for worker in (1, 2, 3)),
            "each has written its journal",
        )
        assert (bridge.stop(), consume.stop()) == (0, 0)
        assert not is_listened_on(bridge.ingress)
    assert users_in(environment(data_dir)) == acknowledged


class Caller:
    """One keep-alive connection that calls as long as it lasts."""

    def __init__(self, address: str, name: str, over: Event) -> None:
        self.name, self._over = name, over
        self.connection = http.client.HTTPConnection(address, timeout=20)
        self.connection.connect()
        self.port: int = self.connection.sock.getsockname()[1]
        self.acknowledged: list[str] = []
        self.broke: Exception | None = None
        self._thread = Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        for number in count():
            if self._over.is_set():
                break
            call = openim_join(self.name, f"{self.name}-{number}", number)
            try:
                assert ask(self.connection, call) == call.wanted
            except (OSError, http.client.HTTPException) as error:
                self.broke = error
                break
            self.acknowledged.append(call.user)
            self._over.wait(0.01)
        self.connection.close()

    def join(self) -> None:
        self._thread.join(30)


def ask(connection: http.client.HTTPConnection, call: Call) -> Any:
    connection.request("POST", call.path, orjson.dumps(call.body), call.headers)
    return orjson.loads(connection.getresponse().read())


@contextmanager
def holding(address: str, number: int) -> Iterator[list[Caller]]:
    over = Event()
    made = [Caller(address, f"held{place}", over) for place in range(number)]
    try:
        yield made
    finally:
        over.set()
        for caller in made:
            caller.join()


def test_a_killed_worker_takes_its_own_connections_down_and_nothing_else(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with service("ingress", workers=3, data_dir=data_dir) as bridge, ExitStack() as stack:
        address = bridge.ingress.removeprefix("http://")
        held = stack.enter_context(holding(address, 18))
        until(lambda: all(len(caller.acknowledged) > 3 for caller in held), "all call")
        victim = pids_of(bridge)[2]
        its_own = callers_of(victim)
        assert its_own
        new, slowest, killed = [], 0.0, time.monotonic()
        kill(victim)
        for number in count():  # everybody who comes meanwhile, each on a connection of his own
            begun = time.monotonic()
            call = openim_join("new", f"new-{number}", number)
            assert post(bridge.ingress + call.path, call.body, call.headers) == (200, call.wanted)
            slowest = max(slowest, time.monotonic() - begun)
            new.append(call.user)
            if pids_of(bridge).get(2, victim) != victim and is_ready(bridge, 2):
                break
        assert len(new) > 20
        away = time.monotonic() - killed
        assert slowest < away / 2, "a connection waited for the dead worker's successor"
        before = {caller.name: len(caller.acknowledged) for caller in held}
        survivors = [caller for caller in held if caller.port not in its_own]
        until(lambda: all(len(c.acknowledged) > before[c.name] + 3 for c in survivors), "the others call on")
        stack.close()
        assert {caller.port for caller in held if caller.broke} == its_own
        assert counted(bridge, "imbridge_worker_restarts_total", worker="worker 2") == 1
        assert bridge.readyz()[0] == 200
        ended = bridge.events("worker.ended")
        assert [(event["worker"], event["how"]) for event in ended] == [("worker 2", "ended by SIGKILL")]
        assert sorted(journal_of(bridge, worker) for worker in (1, 2, 3)) == [1, 2, 3]
        assert bridge.stop() == 0
    wanted = {*new, *(user for caller in held for user in caller.acknowledged)}
    assert users_in(environment(data_dir)) >= wanted


def test_connections_that_wait_for_dead_workers_are_served_by_their_successors(tmp_path: Path) -> None:
    """No worker is alive to accept: the queues of the sockets, which the supervisor keeps open, hold them."""
    with service("ingress", workers=2, data_dir=tmp_path / "data") as bridge:
        address = bridge.ingress.removeprefix("http://")
        first = pids_of(bridge)
        for pid in first.values():
            kill(pid, signal.SIGSTOP)
        waiting = [http.client.HTTPConnection(address, timeout=30) for _ in range(12)]
        calls = [openim_join("g", f"u{number}", number) for number in range(12)]
        for connection, call in zip(waiting, calls, strict=True):
            connection.request("POST", call.path, orjson.dumps(call.body), call.headers)
        for pid in first.values():
            kill(pid)
        answers = [orjson.loads(connection.getresponse().read()) for connection in waiting]
        assert answers == [call.wanted for call in calls]
        assert not set(pids_of(bridge).values()) & set(first.values())
        for connection in waiting:
            connection.close()
        assert bridge.stop() == 0


def test_a_worker_that_keeps_dying_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    with service("ingress", workers=2, data_dir=tmp_path / "data") as bridge:
        for deaths in (1, 2, 3):
            until(lambda: 1 in pids_of(bridge), "it runs")
            kill(pids_of(bridge)[1])
            until(partial(has_died, bridge, deaths), "that is noticed")
        assert "ended by SIGKILL, 3 times in a row" in bridge.part("worker 1")["says"]
        status, told = bridge.readyz()
        assert (status, told["ready"]) == (200, True)
        assert told["parts"]["workers"]["says"] == "1 of 2 take callbacks"
        until(lambda: is_ready(bridge, 1), "it is ready again")
        assert counted(bridge, "imbridge_worker_restarts_total", worker="worker 1") == 3
        waits = [event["row"] for event in bridge.events("worker.ended")]
        assert waits == [1, 2, 3]
        assert bridge.stop() == 0


def has_died(bridge: Bridge, times: int) -> bool:
    return bool(bridge.part("worker 1")["ended_in_a_row"] == times)


def test_a_worker_told_to_stop_ends_in_order_and_is_replaced(tmp_path: Path) -> None:
    with service("ingress", workers=2, data_dir=tmp_path / "data") as bridge:
        pid = pids_of(bridge)[1]
        kill(pid, signal.SIGTERM)
        until(lambda: pids_of(bridge).get(1, pid) != pid and is_ready(bridge, 1), "its successor is ready")
        assert bridge.events("worker.ended")[-1]["how"] == "ended with exit code 0"
        assert bridge.stop() == 0


def test_a_worker_whose_loop_stands_still_is_replaced(tmp_path: Path) -> None:
    prelude = "import bridge.main.workers.child as child\nchild._SILENT_SECONDS = 5.0"
    with service("ingress", workers=2, data_dir=tmp_path / "data", prelude=prelude) as bridge:
        pid = pids_of(bridge)[1]
        kill(pid, signal.SIGSTOP)
        until(lambda: pids_of(bridge).get(1, pid) != pid and is_ready(bridge, 1), "it is replaced", 40)
        assert bridge.events("worker.hung")[-1]["pid"] == pid
        assert bridge.stop() == 0


def test_workers_end_in_order_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    port = str(free_port())
    with service("ingress", workers=2, data_dir=data_dir, INGRESS__PORT=port) as bridge:
        workers = pids_of(bridge)
        with Callers(bridge.ingress) as callers:
            callers.until_acknowledged(20)
            bridge.kill()
            until(lambda: not any(map(is_running, workers.values())), "the workers end by themselves")
        assert len(bridge.events("supervisor.gone")) == 2
        assert len(bridge.events("worker.stopped")) == 2
        assert not is_listened_on(bridge.ingress)
    with service("ingress", workers=2, data_dir=data_dir, INGRESS__PORT=port) as again:
        assert sorted(journal_of(again, worker) for worker in (1, 2)) == [1, 2]
        assert again.stop() == 0
    assert users_in(environment(data_dir)) >= set(callers.acknowledged)


def test_what_is_in_flight_at_a_stop_is_answered(tmp_path: Path) -> None:
    with service("ingress", workers=2, data_dir=tmp_path / "data") as bridge:
        host, port = bridge.ingress.removeprefix("http://").split(":")
        call = openim_join("g", "ada")
        body = orjson.dumps(call.body)
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            head = f"POST {call.path} HTTP/1.1\r\nHost: b\r\nContent-Length: {len(body)}\r\n\r\n"
            slow.sendall(head.encode() + body[:10])
            until(lambda: any(callers_of(pid) for pid in pids_of(bridge).values()), "it was accepted")
            bridge.signal(signal.SIGTERM)
            until(lambda: not is_listened_on(bridge.ingress), "nothing more is accepted")
            assert bridge.readyz()[0] == 503
            slow.sendall(body[10:])
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        assert bridge.wait() == 0


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    with service("ingress", workers=2, data_dir=tmp_path / "data", DRAIN_SECONDS="60") as bridge:
        host, port = bridge.ingress.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.sendall(b"POST /openim/x HTTP/1.1\r\nHost: b\r\nContent-Length: 100\r\n\r\n{")
            until(lambda: any(callers_of(pid) for pid in pids_of(bridge).values()), "it was accepted")
            bridge.signal(signal.SIGTERM)
            until(lambda: not is_listened_on(bridge.ingress), "nothing more is accepted")
            begun = time.monotonic()
            bridge.signal(signal.SIGTERM)
            bridge.wait()
            assert time.monotonic() - begun < 20


NO_PRIORITIES = """
import ctypes, platform, struct
number = {"x86_64": 141, "aarch64": 140}[platform.machine()]  # setpriority
steps = ((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)), 0, 0) == 0
"""
"""What a sandbox does that lets nobody set priorities (a filter of system calls): EPERM."""


def test_a_sandbox_that_forbids_priorities_keeps_nothing_from_working(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with service("run", workers=1, data_dir=data_dir, prelude=NO_PRIORITIES) as bridge:
        call = openim_join("g", "ada")
        assert post(bridge.ingress + call.path, call.body) == (200, call.wanted)
        until(lambda: members(f"sqlite:///{data_dir}/imbridge.sqlite"), "it is in the tables")
        others = bridge.part("relay and projections")["pid"]
        assert os.getpriority(os.PRIO_PROCESS, others) == os.getpriority(os.PRIO_PROCESS, 0)
        assert "Operation not permitted" in bridge.until_event("process.not_yielding")["reason"]
        assert bridge.stop() == 0


def test_settings_that_a_process_refuses_end_the_whole_start(tmp_path: Path) -> None:
    bridge = Bridge(
        "run", "--workers", "2", data_dir=tmp_path / "data", CONSUMERS__PROJECTIONS="groups,nonsense"
    )
    try:
        assert bridge.wait() == 2
        assert "consumers.projections names 'nonsense'" in bridge.err
        assert "refused its settings" in bridge.err
    finally:
        bridge.end()


def test_a_port_that_is_taken_is_refused_though_it_could_be_shared(tmp_path: Path) -> None:
    with service("ingress", workers=2, data_dir=tmp_path / "data") as one:
        port = one.ingress.rpartition(":")[2]
        two = Bridge("ingress", "--workers", "2", data_dir=tmp_path / "other", INGRESS__PORT=port)
        try:
            assert two.wait() == 2
            assert f"cannot listen on 127.0.0.1:{port}" in two.err
        finally:
            two.end()


def test_run_with_workers_projects_what_they_write(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with service("run", workers=2, data_dir=data_dir) as bridge:
        with Callers(bridge.ingress, count=8) as callers:
            callers.until_acknowledged(80)
        acknowledged = set(callers.acknowledged)
        until(
            lambda: members(f"sqlite:///{data_dir}/imbridge.sqlite") == acknowledged, "all is in the tables"
        )
        assert bridge.part("projection groups")["ok"]
        others, ours = bridge.part("relay and projections")["pid"], os.getpriority(os.PRIO_PROCESS, 0)
        urgency = [os.getpriority(os.PRIO_PROCESS, pid) - ours for pid in (*pids_of(bridge).values(), others)]
        assert urgency == [0, 0, 10], "what answers nobody leaves the cores to what does"
        assert bridge.stop() == 0


def test_every_worker_decides_by_the_rules_that_are_published_and_keeps_them(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with service("ingress", workers=3, data_dir=data_dir) as bridge:
        publish_not_mallory(data_dir)

        def decided() -> bool:
            parts = bridge.readyz()[1]["parts"]
            return all(
                "version 1, 1 rules" in parts[f"worker {worker}: rules"]["says"] for worker in (1, 2, 3)
            )

        until(decided, "every worker has the set")
        with Callers(bridge.ingress, count=24, refused="mallory") as callers:
            until(lambda: len(callers.decided) > 60, "questions are answered", 40)
        assert (callers.wrong, callers.unanswered) == ([], [])
        kill(pids_of(bridge)[1])
        until(lambda: bridge.events("worker.ended") and is_ready(bridge, 1), "its successor is ready")
        assert decided()
        assert bridge.stop() == 0
    assert [path.name for path in (data_dir / "rules").glob("*.rules")] == ["default.rules"]


def test_killed_workers_lose_nothing_that_the_vendors_were_told_is_safe(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    """Simulators call; verify looks every acknowledged callback up in Kafka, in order."""
    data_dir, settings = tmp_path / "data", over(kafka, prefix)
    with (
        service("run", workers=3, data_dir=data_dir, **settings) as bridge,
        calling(bridge.ingress, tmp_path, rate=60, seconds=60) as load,
    ):
        for worker in (1, 2, 3):
            load.until_acknowledged(150)
            kill(pids_of(bridge)[worker])
            until(partial(was_replaced, bridge, worker), "it is replaced")
        load.until_acknowledged(150)
        reports = load.stop()
        assert_legal(reports)
        assert bridge.stop() == 0
        assert bridge.events("relay.ended")[-1]["left"] == 0
    assert_kept(load.ledgers, data_dir, **settings)


def was_replaced(bridge: Bridge, worker: int) -> bool:
    ended = {event["worker"] for event in bridge.events("worker.ended")}
    return f"worker {worker}" in ended and is_ready(bridge, worker)


def test_the_supervisor_works_as_the_first_process_of_a_container(tmp_path: Path) -> None:
    container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a namespace of processes")
    settings = environment(tmp_path / "data")
    words = [*container, *command("ingress", "--workers", "2", "--quiet")]
    said = tmp_path / "said"
    with said.open("wb") as err, subprocess.Popen(words, stderr=err, env=settings) as outside:
        try:
            until(lambda: b"service.started" in said.read_bytes(), "it has started", 40)
            (first,) = children_of(outside.pid)
            workers = children_of(first)
            assert len(workers) == 2
            kill(workers[0])
            until(lambda: (now := children_of(first)) != workers and len(now) == 2, "a dead one is replaced")
            kill(first, signal.SIGTERM)
            assert outside.wait(30) == 0
        finally:
            outside.kill()


@pytest.mark.parametrize("workers", ["-1", "65", "many"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(tmp_path: Path, workers: str) -> None:
    bridge = Bridge("ingress", "--workers", workers, data_dir=tmp_path / "data")
    try:
        assert bridge.wait() == 2
    finally:
        bridge.end()
