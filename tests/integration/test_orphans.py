"""Journals without a writer: recovered under their lock, relayed to their end, read, forgotten."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.config import JournalSettings, KafkaSettings, Settings
from bridge.log.base import Record
from bridge.log.segments import RELAY, LogView, SegmentLog, open_journal
from bridge.main import orphans
from bridge.main.orphans import Orphans, adopt_journal
from tests.command_line import imbridge
from tests.integration.callers import Callers
from tests.looking import members, on_kafka
from tests.parts import KafkaServer
from tests.process_kit import Bridge, environment, running, until
from tests.segment_log import append
from tests.workers_kit import journal_of, kill, pids_of, service, users_in

SEGMENT = 64 * 1024


def over(kafka: KafkaServer, prefix: str) -> dict[str, str]:
    return {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}


def on_topic(kafka: KafkaServer, prefix: str) -> set[str]:
    return {user for event in on_kafka(kafka, f"{prefix}im.group.v1") for user in event.users}


def call(bridge: Bridge, name: str, journals: int) -> set[str]:
    """Call until so many journals hold something of it; return who was acknowledged."""
    with Callers(bridge.ingress, name, count=4 * journals) as callers:
        callers.until_acknowledged(40 * journals)
    assert (callers.wrong, callers.unanswered) == ([], [])
    return set(callers.acknowledged)


def test_four_workers_then_two_then_four_keep_every_journal_read_and_none_written_by_two(
    tmp_path: Path,
) -> None:
    data_dir = tmp_path / "data"
    acknowledged: set[str] = set()
    with running("consume", data_dir=data_dir) as consume:
        for turn, workers in enumerate((4, 2, 4)):
            with service("ingress", workers=workers, data_dir=data_dir) as bridge:
                acknowledged |= call(bridge, f"turn{turn}g", workers)
                written = [journal_of(bridge, worker) for worker in range(1, workers + 1)]
                assert sorted(written) == list(range(1, workers + 1))
                assert bridge.stop() == 0
        until(
            lambda: members(f"sqlite:///{data_dir}/imbridge.sqlite") == acknowledged, "all is in the tables"
        )
        assert consume.stop() == 0
    assert sorted(path.name for path in (data_dir / "journals").iterdir()) == ["0001", "0002", "0003", "0004"]


def test_four_workers_then_two_then_four_keep_every_journal_relayed(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(kafka, prefix)
    acknowledged: set[str] = set()
    with running("relay", data_dir=data_dir, **settings) as relay:
        for turn, workers in enumerate((4, 2, 4)):
            with service("ingress", workers=workers, data_dir=data_dir, **settings) as bridge:
                acknowledged |= call(bridge, f"turn{turn}g", workers)
                assert bridge.stop() == 0
        assert {f"relay of journal {number}" for number in (1, 2, 3, 4)} <= relay.readyz()[1]["parts"].keys()
        assert relay.stop() == 0  # it ends once every journal is empty
        assert relay.events("relay.ended")[-1]["journals"] == dict.fromkeys("1234", 0)
    assert on_topic(kafka, prefix) == acknowledged


@contextmanager
def power_cut(bridge: Bridge, data_dir: Path) -> Iterator[None]:
    """Let the machine lose its power after the block: what was published and not synced is gone."""
    synced = {end: end.read_bytes() for end in data_dir.glob("journals/*/end")}
    yield
    workers = pids_of(bridge).values()
    bridge.kill()
    for pid in workers:
        kill(pid)
    until(lambda: not any(Path(f"/proc/{pid}/fd/0").exists() for pid in workers), "the workers are gone")
    for end, content in synced.items():
        end.write_bytes(content)


def test_a_volume_left_behind_is_relayed_to_its_end_with_what_a_power_cut_hid(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(kafka, prefix)
    with service("ingress", workers=2, data_dir=data_dir, **settings) as bridge, power_cut(bridge, data_dir):
        acknowledged = call(bridge, "g", 2)
    assert not users_in(environment(data_dir)) & acknowledged, "the power cut hid nothing: the test is none"
    volume = tmp_path / "elsewhere" / "volume"
    shutil.move(data_dir, volume)
    env = environment(tmp_path / "none", **settings)
    words = ("relay", "--until-empty", "--data-dir", str(volume), "--timeout", "60")
    said = imbridge(*words, "--json", env=env)
    assert said.code == 0, said.err
    told = said.json()
    assert told["empty"]
    assert [(found["journal"], found["left"], found["reason"]) for found in told["journals"]] == [
        (1, 0, ""),
        (2, 0, ""),
    ]
    assert sum(found["relayed"] for found in told["journals"]) >= len(acknowledged)
    assert on_topic(kafka, prefix) == acknowledged
    again = imbridge(*words, env=env)
    assert (again.code, again.out.count("relayed to its end")) == (0, 1)
    assert on_topic(kafka, prefix) == acknowledged


def test_what_is_left_at_the_deadline_is_said_and_the_exit_code_is_1(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    nowhere = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    with service("ingress", workers=2, data_dir=data_dir, **nowhere) as bridge:
        acknowledged = call(bridge, "g", 2)
        assert bridge.stop() == 0
    env = environment(data_dir, **nowhere)
    said = imbridge("relay", "--until-empty", "--timeout", "2", "--json", env=env)
    assert said.code == 1
    told = said.json()
    assert not told["empty"]
    assert sum(found["left"] for found in told["journals"]) >= len(acknowledged)
    assert all("127.0.0.1:9" in found["reason"] for found in told["journals"])
    people = imbridge("relay", "--until-empty", "--timeout", "1", env=env)
    assert people.code == 1
    assert "Not everything is relayed" in people.out


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "kafka.bootstrap_servers is not set"),
        ({"KAFKA__BOOTSTRAP_SERVERS": "k:9092"}, "no data directory"),
    ],
)
def test_a_command_that_could_relay_nothing_is_refused(
    tmp_path: Path, settings: Mapping[str, str], complaint: str
) -> None:
    said = imbridge("relay", "--until-empty", env=environment(tmp_path / "none", **settings))
    assert said.code == 2
    assert complaint in said.err


def test_an_unreadable_journal_is_named_and_the_others_are_relayed(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(kafka, prefix)
    with service("ingress", workers=2, data_dir=data_dir, **settings) as bridge:
        acknowledged = call(bridge, "g", 2)
        assert bridge.stop() == 0
    identity = data_dir / "journals" / "0003" / "identity"
    identity.parent.mkdir()
    identity.write_bytes(b"nonsense")
    said = imbridge(
        "relay", "--until-empty", "--timeout", "60", "--json", env=environment(data_dir, **settings)
    )
    assert said.code == 1
    reasons = {found["journal"]: found["reason"] for found in said.json()["journals"]}
    assert reasons.pop(3)
    assert reasons == {1: "", 2: ""}
    assert on_topic(kafka, prefix) == acknowledged


def test_stopping_says_what_each_journal_still_holds(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    settings = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "DRAIN_SECONDS": "2"}
    with running("run", data_dir=data_dir, **settings) as bridge:
        acknowledged = call(bridge, "g", 1)
        assert bridge.stop() == 1
        ended = bridge.events("relay.ended")[-1]
        assert ended["left"] == ended["journals"]["1"] >= len(acknowledged)


def test_stopping_relays_until_nothing_is_left_though_kafka_comes_back_late(
    tmp_path: Path, own_kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(own_kafka, prefix)
    with ExitStack() as stack:
        bridge = stack.enter_context(running("run", data_dir=data_dir, DRAIN_SECONDS="60", **settings))
        acknowledged = call(bridge, "early", 1)
        own_kafka.stop()
        acknowledged |= call(bridge, "late", 1)
        until(lambda: not bridge.part("relay of journal 1")["ok"], "the relay says that Kafka is away", 40)
        bridge.terminate()
        until(lambda: bridge.readyz()[0] == 503, "it is stopping")
        own_kafka.start()
        assert bridge.wait(60) == 0
        assert bridge.events("relay.ended")[-1]["left"] == 0
    assert on_topic(own_kafka, prefix) == acknowledged


# In this process: what adoption does to one journal


def settings_of(data_dir: Path, **journal: Any) -> Settings:
    kept = {"segment_bytes": SEGMENT, "max_bytes": 64 * SEGMENT} | journal
    kafka = KafkaSettings(bootstrap_servers=("k:9092",))
    return Settings(data_dir=data_dir, journal=JournalSettings(**kept), kafka=kafka)


async def journal(data_dir: Path) -> SegmentLog:
    return await asyncio.to_thread(
        open_journal,
        data_dir,
        loop=asyncio.get_running_loop(),
        segment_bytes=SEGMENT,
        max_bytes=64 * SEGMENT,
    )


def records(count: int) -> list[Record]:
    return [Record("im.group.v1", "g", b"x" * 1000, {}, 1) for _ in range(count)]


async def test_a_journal_that_somebody_writes_is_not_adopted(tmp_path: Path) -> None:
    written = await journal(tmp_path)
    assert adopt_journal(settings_of(tmp_path), written.directory) is None
    await written.close()
    adopted = adopt_journal(settings_of(tmp_path), written.directory)
    assert adopted is not None
    assert (adopted.number, adopted.revealed, adopted.lost) == (1, 0, 0)


async def test_adoption_shows_readers_what_was_synced_and_no_longer_published(tmp_path: Path) -> None:
    written = await journal(tmp_path)
    published = (written.directory / "end").read_bytes()
    await written.append(records(5))
    await written.close()
    (written.directory / "end").write_bytes(published)
    view = LogView(written.directory)
    assert view.end() == 0
    adopted = adopt_journal(settings_of(tmp_path), written.directory)
    assert adopted is not None
    assert (adopted.revealed, adopted.lost, view.end()) == (5, 0, 5)
    view.close()


async def test_adoption_forgets_what_was_relayed_and_is_old_and_nothing_else(tmp_path: Path) -> None:
    written = await journal(tmp_path)
    for _ in range(20):
        await append(written, *records(10))
    await written.close()
    brief = settings_of(tmp_path, keep_seconds=0.001)
    for relayed, forgets in ((None, False), (100, True), (200, True)):
        view = LogView(written.directory)
        if relayed is not None:
            view.write_mark(RELAY, relayed, 1)
        begin = view.bounds().begin
        adopted = adopt_journal(brief, written.directory)
        assert adopted is not None
        assert (adopted.forgotten > 0) is forgets
        assert (view.bounds().begin > begin) is forgets
        assert view.bounds().begin <= (relayed or 0)
        view.close()
    assert adopt_journal(settings_of(tmp_path), written.directory) is not None


async def test_orphans_are_adopted_in_time_and_a_journal_in_use_never_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(orphans, "_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(orphans, "_LOOK_SECONDS", 0.05)
    left = await journal(tmp_path)
    used = await journal(tmp_path)
    published = {each: (each.directory / "end").read_bytes() for each in (left, used)}
    for each in (left, used):
        await each.append(records(3))
    await left.close()
    for each, content in published.items():
        (each.directory / "end").write_bytes(content)
    views = {each: LogView(each.directory) for each in (left, used)}
    looking = Orphans(settings_of(tmp_path))
    with capture_logs() as said:
        task = asyncio.create_task(looking.run())
        async with asyncio.timeout(20):
            while len(adopted := [each for each in said if each["event"] == "journal.adopted"]) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # every look is one at both
    assert {each["directory"] for each in adopted} == {str(left.directory)}
    assert [each["revealed"] for each in adopted] == [3, 0, 0]
    assert (views[left].end(), views[used].end()) == (3, 0)
    looking.stop()
    await task
    await used.close()
    for view in views.values():
        view.close()
