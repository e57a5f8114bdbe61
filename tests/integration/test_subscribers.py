"""The consumers on schemas/SUBSCRIBERS.md, each run as it stands there against a real broker."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.log.kafka import KafkaLog
from schemas.topics import GROUP, TOPICS
from tests.consuming import joined, record
from tests.parts import KafkaServer
from tests.parts.jars import QUICK, kafka_jars
from tests.parts.process import Command, PartMissing, Server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "schemas" / "SUBSCRIBERS.md"
PINNED = ROOT / "tests" / "subscribers"
BUILD_SECONDS, READ_SECONDS = 200, 30
EVENTS = [joined(1, group="g1"), joined(2, group="g2"), joined(1, group="g1"), joined(3, group="g1")]
"""The third repeats the first."""

pytestmark = pytest.mark.timeout(BUILD_SECONDS + READ_SECONDS + 60)


def blocks(language: str) -> list[str]:
    """Return the page's code in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def tool(name: str) -> str:
    """Return the path of a tool of the toolchain, skipping loudly where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"A CONSUMER OF {PAGE.name} IS NOT RUN: {name} is missing")
    return found


def build(command: Command, place: Path) -> None:
    said = run_in(command, place)
    assert said is None, said


def run_in(command: Command, place: Path) -> str | None:
    """Return what a command says of its failure, None where it succeeds."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words, cwd=place, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    return done.stderr if done.returncode else None


def client_jars() -> str:
    try:
        return f"{kafka_jars()}/*"
    except PartMissing as reason:
        pytest.skip(f"A CONSUMER OF {PAGE.name} IS NOT RUN: {reason}")


def fetch_modules(go: str, place: Path) -> None:
    """Fetch what the consumer in Go needs, where this machine does not have it yet."""
    for name in ("go.mod", "go.sum"):
        shutil.copy(PINNED / name, place)
    said = run_in([go, "mod", "download"], place)
    if said is not None:
        says = f"A CONSUMER OF {PAGE.name} IS NOT RUN: its Go modules cannot be fetched: {said}"
        pytest.fail(says, pytrace=False) if os.environ.get("CI") else pytest.skip(says)


@pytest.fixture
async def topic(kafka: KafkaServer, prefix: str) -> AsyncIterator[str]:
    """A topic of this test alone that holds the events."""
    log = KafkaLog(
        kafka.bootstrap_servers, topic_prefix=prefix, topics=[TOPICS[GROUP]._replace(partitions=2)]
    )
    await log.ensure_topics()
    await log.append([record(event) for event in EVENTS])
    yield prefix + GROUP
    await log.close()


def printed(command: Command, kafka: KafkaServer, topic: str, place: Path) -> list[list[str]]:
    """Run a consumer until it has printed as many lines as there are events; return their words."""
    where = {"BROKERS": kafka.bootstrap_servers, "TOPIC": topic, "GROUP": topic}
    environment = [f"{name}={value}" for name, value in where.items()]
    consumer = Server(["env", *environment, *command], place / "printed")

    def lines() -> list[list[str]]:
        return [line.split(" ", 3) for line in consumer.said().splitlines() if line.startswith("e")]

    try:
        consumer.wait_until(lambda: len(lines()) >= len(EVENTS), READ_SECONDS)
        return lines()
    finally:
        consumer.end(kill=True)


def check(lines: list[list[str]]) -> None:
    """Hold that every event was printed, repeats with their id, those of one group in their order."""
    sent = [[event.id, event.type, event.sequence, event.binary()[1].decode()] for event in EVENTS]
    assert sorted(lines) == sorted(sent)
    of_one_group = [line[0] for line in lines if '"g1"' in line[3]]
    assert of_one_group == ["e1", "e1", "e3"]


@pytest.mark.kafka
def test_the_consumer_in_python_reads_the_events(kafka: KafkaServer, topic: str, tmp_path: Path) -> None:
    source = tmp_path / "subscriber.py"
    source.write_text(blocks("python")[0])
    check(printed([sys.executable, source], kafka, topic, tmp_path))


@pytest.mark.kafka
def test_the_consumer_in_java_reads_the_events(kafka: KafkaServer, topic: str, tmp_path: Path) -> None:
    javac, java, jars = tool("javac"), tool("java"), client_jars()
    (tmp_path / "Subscriber.java").write_text(blocks("java")[0])
    build([javac, "-cp", jars, "Subscriber.java"], tmp_path)
    check(printed([java, *QUICK, "-cp", f"{jars}:{tmp_path}", "Subscriber"], kafka, topic, tmp_path))


@pytest.mark.kafka
@pytest.mark.slow
def test_the_consumer_in_go_reads_the_events(kafka: KafkaServer, topic: str, tmp_path: Path) -> None:
    go = tool("go")
    fetch_modules(go, tmp_path)
    (tmp_path / "main.go").write_text(blocks("go")[0])
    build([go, "build", "-o", "subscriber", "."], tmp_path)
    check(printed([tmp_path / "subscriber"], kafka, topic, tmp_path))


def test_the_recipe_takes_the_newest_whatever_comes_twice_or_late() -> None:
    found: dict[str, Any] = {}
    exec(blocks("python")[1], found)
    is_news = found["is_news"]
    first, second, third = (joined(number).binary()[0] for number in range(3))
    told = [is_news("u1", event) for event in (second, second, first, third, second)]
    assert told == [True, False, False, True, False]
    assert is_news("u2", first), "another thing stands for itself"
