"""Real parts for every test that asks for them, started once a session, and how many tests met them."""

import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

from tests.parts import KafkaServer, PartMissing, PostgresServer, start_kafka, start_postgres
from tests.parts.proxy import Proxy

Part = TypeVar("Part")
FIXTURES = {
    "kafka": {"kafka", "own_kafka", "absent_kafka", "sasl_kafka", "distant_kafka", "yielding_kafka"},
    "postgres": {"postgres", "postgres_url", "postgres_database", "own_postgres"},
}
MET = "met"
NOT_TESTED = "NOT TESTED AGAINST A REAL PART: "
_ran: Counter[str] = Counter()
_missing: set[str] = set()

pytest_plugins = ["tests.side_by_side"]


def pytest_configure() -> None:
    """Heed interrupts, and so what we start does: what a shell runs in the background ignores them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def had(part: AbstractContextManager[Part]) -> Iterator[Part]:
    """Skip the test where the part cannot be had; under CI that is a failure."""
    try:
        server = part.__enter__()
    except PartMissing as reason:
        if os.environ.get("CI"):
            pytest.fail(f"{NOT_TESTED}{reason}", pytrace=False)
        pytest.skip(f"{NOT_TESTED}{reason}")
    try:
        yield server
    finally:
        part.__exit__(None, None, None)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """The broker all tests share: use topics and groups of your own (a prefix made per test)."""
    with had(start_kafka(quick=True)) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """A topic prefix of this test alone."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def own_kafka() -> Iterator[KafkaServer]:
    """A broker of this test alone, to stop and start again."""
    with had(start_kafka(own=True, quick=True)) as server:
        yield server


@pytest.fixture
def absent_kafka() -> Iterator[KafkaServer]:
    """A broker of this test alone that has an address and is not started yet."""
    with had(start_kafka(own=True, running=False, quick=True)) as server:
        yield server


@pytest.fixture
def distant_kafka() -> Iterator[tuple[KafkaServer, Proxy]]:
    """A broker of this test alone, reached only through a proxy that can become a black hole."""
    with _behind_a_proxy() as reached:
        yield reached


@pytest.fixture
def yielding_kafka() -> Iterator[tuple[KafkaServer, Proxy]]:
    """The same, and the broker takes what others leave of the cores, as another machine's would."""
    with _behind_a_proxy(yielding=True) as reached:
        yield reached


@contextmanager
def _behind_a_proxy(*, yielding: bool = False) -> Iterator[tuple[KafkaServer, Proxy]]:
    with Proxy() as proxy:
        broker = start_kafka(own=True, quick=True, advertised=proxy.address, yielding=yielding)
        with had(broker) as server:
            proxy.target = server.listens_at
            yield server, proxy


@pytest.fixture(scope="session")
def sasl_kafka() -> Iterator[KafkaServer]:
    """A broker that wants its clients to log in; ``security`` says as whom."""
    with had(start_kafka(sasl=True, quick=True)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server all tests share: use a database of your own (``postgres_database``)."""
    with had(start_postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: PostgresServer) -> str:
    """The address of the shared server's own database, ``postgresql://user@host:port/db``."""
    return postgres.url


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of this test alone, to stop and start again."""
    with had(start_postgres(own=True)) as server:
        yield server


@pytest.fixture
def postgres_database(postgres: PostgresServer) -> Iterator[str]:
    """The address of an empty database of this test alone."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres.url_of(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses a real part, also where its author did not; its report names the part."""
    for item in items:
        for mark, fixtures in FIXTURES.items():
            if fixtures & set(getattr(item, "fixturenames", ())) and item.get_closest_marker(mark) is None:
                item.add_marker(mark)
            if item.get_closest_marker(mark) is not None:
                item.user_properties.append((MET, mark))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests that ran against each part, whatever their outcome; note what could not be had."""
    if report.when == "call" and not report.skipped:
        _ran.update(str(part) for name, part in report.user_properties if name == MET)
    if NOT_TESTED in report.longreprtext:
        _missing.add(report.longreprtext.rpartition(NOT_TESTED)[2].rstrip("')"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests met a real Kafka and a real PostgreSQL, and why others did not."""
    terminalreporter.write_line(f"kafka tests: {_ran['kafka']} ran, postgres tests: {_ran['postgres']} ran")
    for reason in sorted(_missing):
        terminalreporter.write_line(f"{NOT_TESTED}{reason}", red=True, bold=True)
