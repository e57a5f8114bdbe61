"""The real parts keep what they promise to tests: one address and the same data across a restart."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from tests.parts import KafkaServer, PartMissing, PostgresServer, kafka, start_kafka

T = TypeVar("T")


def is_listening(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def wait_for(look: Callable[[], T], seconds: float = 10) -> T:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)
    return seen


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_broker_accepts_clients_when_it_is_handed_over(kafka: KafkaServer) -> None:
    assert is_listening(kafka.bootstrap_servers)


def test_every_test_has_an_empty_database(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        tables = connection.execute("SELECT * FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == []


def test_a_killed_postgres_comes_back_with_its_data(own_postgres: PostgresServer) -> None:
    with psycopg.connect(own_postgres.url) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.url)
    own_postgres.start()
    with psycopg.connect(own_postgres.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes through /proc")
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also when that is killed: tests are interrupted in every way there is."""
    pid_file, output = tmp_path / "pid", tmp_path / "output"
    server = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(600)"
    owner = (
        "import pathlib, sys, time; from tests.parts.process import Server\n"
        f"kept = Server([sys.executable, '-c', {server!r}], pathlib.Path({str(output)!r})); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", owner], cwd=Path(__file__).parents[2]) as started:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("."))
        pid = int(pid_file.read_text()[:-1])
        assert is_alive(pid)
        started.kill()
    wait_for(lambda: not is_alive(pid))


def test_what_cannot_be_had_is_said_with_all_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise PartMissing("nothing of the kind here")

    monkeypatch.delenv(kafka.ADDRESS, raising=False)
    monkeypatch.setattr(kafka, "container", none)
    monkeypatch.setattr(kafka, "java", none)
    with pytest.raises(PartMissing, match=r"IMBRIDGE_TEST_KAFKA is not set.*nothing.*nothing"), start_kafka():
        pass


def test_an_address_in_the_environment_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kafka.ADDRESS, "broker.example:9092")
    with start_kafka() as server:
        assert server.bootstrap_servers == "broker.example:9092"
        with pytest.raises(PartMissing, match="not ours to stop"):
            server.stop()


def test_no_server_of_ours_runs_as_root(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    process = Path(f"/proc/{row[0]}")
    if process.exists() and os.geteuid() == 0:
        assert process.stat().st_uid != 0
