"""Fault 1: ``kill -9`` of any process at any moment, under load, again and again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.kit import Load, assert_kept, assert_legal, calling, drained, over
from tests.faults.scale import chance, scaled
from tests.faults.tables import TOPICS, Ends, fresh_tables, store_in, until_projected
from tests.looking import ends_on_kafka, tables
from tests.parts import KafkaServer
from tests.parts.process import free_port
from tests.process_kit import Bridge, until

ROLES = ("ingress", "relay", "consume")
KILLS = scaled(10, 1000)
KILLS_EMBEDDED = scaled(4, 200)
RATE = 150.0
ODDITIES = ("--identical", "0.05", "--repeat", "0.05")
MOST_BETWEEN = 250
A_KILL_SECONDS = 60.0


class Processes:
    """The processes of a bridge by role, each killed and started again at will."""

    def __init__(self, data_dir: Path, roles: tuple[str, ...], settings: Mapping[str, str]) -> None:
        self._data_dir, self._settings = data_dir, settings
        self.running = {role: self._started(role) for role in roles}
        self.killed: list[str] = []

    def _started(self, role: str) -> Bridge:
        return Bridge(role, data_dir=self._data_dir, **self._settings)

    def kill(self, role: str) -> None:
        """End this role's process without warning and start another at once."""
        self.running[role].kill()
        self.killed.append(role)
        self.running[role] = self._started(role)

    def until_started(self) -> None:
        """Return once every process says that it started."""
        for process in self.running.values():
            process.until_started()

    def end(self) -> None:
        """Make sure that none is left."""
        for process in self.running.values():
            process.end()


@contextmanager
def started(data_dir: Path, *roles: str, **settings: str) -> Iterator[Processes]:
    """Yield a process for each role, all started; none is left afterwards."""
    processes = Processes(data_dir, roles, settings)
    try:
        processes.until_started()
        yield processes
    finally:
        print(f"killed, in this order: {' '.join(processes.killed)}")
        processes.end()


def kill_at_random(processes: Processes, load: Load, victims: list[str], randomly: Random) -> None:
    """Kill the victims one after the other, some of them while they are starting."""
    randomly.shuffle(victims)
    for victim in victims:
        load.until_acknowledged(randomly.randint(1, MOST_BETWEEN), A_KILL_SECONDS)
        processes.kill(victim)
    load.until_acknowledged(MOST_BETWEEN, A_KILL_SECONDS)


def assert_exactly_once(data_dir: Path, place: Path, ends: Ends, **settings: str) -> None:
    """Fail unless the tables are what a projection that was never killed makes of the same records."""
    held = tables(store_in(data_dir))
    assert any(held.values())
    assert fresh_tables(data_dir, place, ends, **settings) == held


def test_any_role_killed_over_kafka_loses_nothing_acknowledged_and_keeps_the_order(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir, url = tmp_path / "data", f"127.0.0.1:{free_port()}"
    settings = {**over(kafka, prefix), "INGRESS__PORT": url.rpartition(":")[2]}
    victims = [ROLES[number % len(ROLES)] for number in range(KILLS)]
    seconds = KILLS * A_KILL_SECONDS
    with started(data_dir, *ROLES, **settings) as processes:
        with calling(f"http://{url}", tmp_path, *ODDITIES, rate=RATE, seconds=seconds) as load:
            kill_at_random(processes, load, victims, chance("kill"))
            reports = load.stop()
        processes.until_started()
        drained(processes.running["relay"])
        ends = ends_on_kafka(kafka, prefix, TOPICS)
        until_projected(store_in(data_dir), ends)
        assert processes.running["consume"].stop() == 0
        assert_exactly_once(data_dir, tmp_path / "fresh", ends, **settings)
    found = assert_kept(load.ledgers, data_dir, **settings)
    assert_legal(reports)
    print(told(reports), found)


def test_the_whole_bridge_killed_without_kafka_loses_nothing_acknowledged_and_keeps_the_order(
    tmp_path: Path,
) -> None:
    data_dir, url = tmp_path / "data", f"127.0.0.1:{free_port()}"
    settings = {"INGRESS__PORT": url.rpartition(":")[2]}
    seconds = KILLS_EMBEDDED * A_KILL_SECONDS
    with started(data_dir, "run", **settings) as processes:
        with calling(f"http://{url}", tmp_path, *ODDITIES, rate=RATE, seconds=seconds) as load:
            kill_at_random(processes, load, ["run"] * KILLS_EMBEDDED, chance("kill embedded"))
            reports = load.stop()
        bridge = processes.running["run"].until_started()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        journal = bridge.part("journal")
        assert journal["says"] == "writable, 0 records found lost"
        ends = {(topic, journal["number"]): journal["end"] for topic in TOPICS}
        until_projected(store_in(data_dir), ends)
        assert bridge.stop() == 0
        assert_exactly_once(data_dir, tmp_path / "fresh", ends)
    found = assert_kept(load.ledgers, data_dir)
    assert_legal(reports)
    print(told(reports), found)


def told(reports: Mapping[Any, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the counts of the reports, for whoever reads why a test failed."""
    names = ("sent", "accepted", "refused", "lost", "failed", "late", "illegal")
    return {provider: {name: report[name] for name in names} for provider, report in reports.items()}
