"""The consumer when the log fails, the disk fails, a clock jumps or a rule raises."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.errors import LogUnavailable, OffsetGone, RecordRefused
from bridge.log.base import Bounds, Position, Reader, Record, TopicPartition
from bridge.log.memory import MemoryLog
from bridge.telemetry import RULES_AGE_SECONDS, RULES_ERRORS
from consumers.rules import RulesConsumer, publish
from consumers.rules import following as following_module
from consumers.rules import keeping as keeping_module
from consumers.rules.acts import known_acts
from consumers.rules.answering import Answering
from consumers.rules.index import Index
from consumers.rules.rule import compile_rule
from consumers.rules.served import Served
from consumers.rules.topic import REQUEST_SECONDS
from schemas.catalog import Catalog
from schemas.decisions import Effect
from schemas.topics import RULES
from tests.rules_kit import SET, consuming, documents, question, rule, until

DENY = Effect("deny")


class Clock:
    """Milliseconds that pass when told to."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class UnsteadyLog:
    """A log that can be away, fail its next read once, or be replaced by another behind the same name."""

    def __init__(self) -> None:
        self.inner = MemoryLog()
        self.away = False
        self.next_failure: Exception | None = None
        self.opened = 0
        self.asked = 0
        self.unread = 0
        """How many records stand beyond what readers are given."""

    async def bounds(self, topic: str) -> Mapping[int, Bounds]:
        self._check()
        self.asked += 1
        held = await self.inner.bounds(topic)
        return {number: Bounds(begin, end + self.unread) for number, (begin, end) in held.items()}

    async def log_id(self, partition: TopicPartition) -> str:
        self._check()
        return await self.inner.log_id(partition)

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        return await self.inner.append(records)

    async def offset_at(self, partition: TopicPartition, timestamp: int) -> int:
        return await self.inner.offset_at(partition, timestamp)

    def reader(self, starts: Mapping[TopicPartition, int]) -> Reader:
        self.opened += 1
        return UnsteadyReader(self, self.inner.reader(starts))

    def subscribe(self, *_: Any) -> Any:
        raise AssertionError("the rules are in no group")

    async def close(self) -> None:
        await self.inner.close()

    def _check(self) -> None:
        if self.away:
            raise LogUnavailable("the broker is away")


class UnsteadyReader:
    """Silent while its log is away, as a Kafka client is."""

    def __init__(self, log: UnsteadyLog, reader: Reader) -> None:
        self._log, self._reader = log, reader

    async def read(self, max_records: int, timeout: float) -> Any:
        failure, self._log.next_failure = self._log.next_failure, None
        if failure is not None:
            raise failure
        if self._log.away:
            await asyncio.sleep(min(timeout, 0.01))
            return None
        batch = await self._reader.read(max_records, timeout)
        return batch and batch._replace(end_offset=batch.end_offset + self._log.unread)

    async def close(self) -> None:
        await self._reader.close()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the loop look often, so that the tests are quick."""
    monkeypatch.setattr(following_module, "CONFIRM_SECONDS", 0.05)
    monkeypatch.setattr(following_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(keeping_module, "SEEN_EVERY_SECONDS", 0.05)


@pytest.fixture
def log() -> UnsteadyLog:
    return UnsteadyLog()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def version(consumer: RulesConsumer) -> int:
    served = consumer.status().rule_set
    return served.version if served else 0


def live(consumer: RulesConsumer) -> int:
    """Return the version that is served from a topic being read, 0 when there is none."""
    return version(consumer) if consumer.status().connected else 0


async def test_an_idle_topic_is_asked_for_its_end_so_the_rules_stay_fresh(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: live(consumer) == 1)
        clock.now_ms += 3_600_000
        await until(lambda: consumer.decide(question("u1")).staleness_ms == 0)


async def test_with_the_log_gone_the_rules_age_and_go_on_until_it_is_back(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, tmp_path, now_ms=clock, max_stale_seconds=60.0) as consumer:
        await until(lambda: live(consumer) == 1)
        with capture_logs() as said:
            log.away = True
            await until(lambda: not consumer.status().connected)
            clock.now_ms += 60_000
            decision = consumer.decide(question("u1"))
            assert (decision.sent, decision.fallback, decision.staleness_ms) == (DENY, None, 60_000)
            clock.now_ms += 1
            stale = consumer.decide(question("u1"))
            assert (stale.sent.kind, stale.fallback, stale.staleness_ms) == ("allow", "too_stale", 60_001)
            assert stale.rule_set is not None
            assert stale.rule_set.version == 1
            await until(lambda: RULES_AGE_SECONDS._value.get() == 60.001)
            log.away = False
            await until(lambda: consumer.status().connected)
        back = consumer.decide(question("u1"))
        assert (back.sent, back.fallback, back.staleness_ms) == (DENY, None, 0)
        events = [one["event"] for one in said if one["event"] != "rules.published"]
        assert events == ["rules.disconnected", "rules.connected"]


async def test_without_a_limit_rules_answer_however_old_and_say_their_age(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: live(consumer) == 1)
        log.away = True
        await until(lambda: not consumer.status().connected)
        clock.now_ms += 30 * 86_400_000
        decision = consumer.decide(question("u1"))
        assert (decision.sent, decision.fallback) == (DENY, None)
        assert decision.staleness_ms == 30 * 86_400_000
        assert consumer.status().staleness_seconds == 30 * 86_400


async def test_what_was_published_during_an_outage_is_served_after_it(
    log: UnsteadyLog, tmp_path: Path
) -> None:
    await publish(log, documents(rule()))
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: live(consumer) == 1)
        log.away = True
        await until(lambda: not consumer.status().connected)
        await publish(log.inner, documents(rule(rev=2, priority=2)))
        assert version(consumer) == 1
        log.away = False
        await until(lambda: live(consumer) == 2)


async def test_a_gone_offset_means_reading_anew_from_the_beginning(log: UnsteadyLog, tmp_path: Path) -> None:
    await publish(log, documents(rule()))
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: live(consumer) == 1)
        log.next_failure = OffsetGone(RULES, 0, 2, 5, 9)
        await until(lambda: log.opened == 3)  # the publisher's read, the first, the second
        await until(lambda: consumer.status().connected)
        await publish(log.inner, documents(rule(rev=2, priority=2)))
        await until(lambda: live(consumer) == 2)


async def test_what_is_known_to_stand_beyond_does_not_count_as_read(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: live(consumer) == 1)
        log.unread = 1
        clock.now_ms += 4_000
        await log.append([Record(RULES, "note", b"{}", {}, 1)])
        await until(lambda: consumer.status().bad_records)
        await until(lambda: RULES_AGE_SECONDS._value.get() == 4)
        log.unread = 0
        await until(lambda: consumer.decide(question("u1")).staleness_ms == 0)


async def test_a_topic_cut_short_is_noticed_and_read_anew(
    log: UnsteadyLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its identity and is shorter than what was read: the reader alone would wait for ever."""

    async def same(_: TopicPartition) -> str:
        return "kafka:c:t"

    monkeypatch.setattr(log, "log_id", same)
    for rev in range(1, 4):
        await publish(log, documents(rule(rev=rev, priority=rev)))
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: live(consumer) == 3)
        log.inner = MemoryLog()
        await publish(log.inner, documents(rule("other", "allow")))
        await until(lambda: consumer.decide(question("u1")).reason_rule == "other")
        assert version(consumer) == 1


async def test_a_topic_made_anew_with_as_many_records_is_noticed_by_its_identity(
    log: UnsteadyLog, tmp_path: Path
) -> None:
    await publish(log, documents(rule()))
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: live(consumer) == 1)
        log.inner = MemoryLog()
        await publish(log.inner, documents(rule("other", "allow")))
        await until(lambda: consumer.decide(question("u1")).reason_rule == "other")


async def test_a_topic_that_lost_its_manifest_does_not_disarm_the_rules(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    """Nobody withdrew the set, so the last good one goes on, ages, and this is said."""
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: live(consumer) == 1)
        log.inner = MemoryLog()
        await until(lambda: consumer.status().missing)
        clock.now_ms += 5_000
        asked = log.asked
        await until(lambda: log.asked >= asked + 3)
        decision = consumer.decide(question("u1"))
        assert (decision.sent, decision.staleness_ms) == (DENY, 5_000)
        await publish(log.inner, documents(rule("other", "allow")))
        await until(lambda: not consumer.status().missing)
        assert consumer.decide(question("u1")).reason_rule == "other"


async def test_a_topic_with_several_partitions_is_refused_with_what_to_do(tmp_path: Path) -> None:
    class Split(UnsteadyLog):
        async def bounds(self, _: str) -> Mapping[int, Bounds]:
            return {0: Bounds(0, 0), 1: Bounds(0, 0)}

    async with consuming(Split(), tmp_path) as consumer:
        await until(lambda: consumer.status().disconnected_because)
        said = str(consumer.status().disconnected_because)
        assert said == "im.rules.v1 has 2 partitions and must have one: make the topic anew with one"
        assert consumer.decide(question("u1")).fallback == "not_ready"


async def test_a_log_that_refuses_to_say_anything_is_waited_for(log: UnsteadyLog, tmp_path: Path) -> None:
    log.next_failure = RecordRefused("there is no topic im.rules.v1")
    await log.append([Record(RULES, "rule/unused/1", b"{}", {}, 1)])
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: consumer.status().connected)


async def test_it_stops_soon_though_the_log_does_not_answer(tmp_path: Path) -> None:
    asked = asyncio.Event()

    class Mute(UnsteadyLog):
        async def bounds(self, _: str) -> Mapping[int, Bounds]:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    consumer = RulesConsumer(Mute(), directory=tmp_path)
    work = asyncio.create_task(consumer.run())
    await asked.wait()
    consumer.stop()
    await asyncio.wait_for(work, REQUEST_SECONDS / 2)


async def test_before_the_first_reading_it_is_ready_only_after_its_grace(
    log: UnsteadyLog, tmp_path: Path
) -> None:
    log.away = True
    seconds = 100.0
    consumer = RulesConsumer(log, directory=tmp_path, grace_seconds=10.0, monotonic=lambda: seconds)
    decision = consumer.decide(question("u1"))
    assert (decision.fallback, decision.sent.kind, decision.staleness_ms) == ("not_ready", "allow", None)
    assert not consumer.is_ready()
    seconds = 109.9
    assert not consumer.is_ready()
    seconds = 110.0
    assert consumer.is_ready()
    assert consumer.decide(question("u1")).fallback == "not_ready"


async def test_not_even_the_first_question_waits_for_the_catalog_to_be_read(
    log: UnsteadyLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_acts.cache_clear()
    consumer = RulesConsumer(log, directory=tmp_path)
    monkeypatch.setattr(Catalog, "load", lambda: pytest.fail("read while a caller waits"))
    assert consumer.decide(question("u1")).fallback == "not_ready"


async def test_the_fallback_can_be_to_deny(log: UnsteadyLog, tmp_path: Path) -> None:
    decision = RulesConsumer(log, directory=tmp_path, fallback="deny").decide(question("u1"))
    assert (decision.sent, decision.wanted, decision.fallback) == (DENY, DENY, "not_ready")
    assert decision.reason_text == "No decision can be made at the moment."


async def _kept(log: UnsteadyLog, clock: Clock, directory: Path) -> None:
    """Serve version 1 once, so that it stands on disk, and stop."""
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, directory, now_ms=clock) as consumer:
        await until(lambda: live(consumer) == 1)
        await until((directory / "default.rules").exists)


async def test_the_age_of_rules_from_disk_counts_from_when_the_topic_was_read_last(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await publish(log, documents(rule()), now_ms=clock)
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: live(consumer) == 1)
        clock.now_ms += 3_600_000
        await until(lambda: consumer.decide(question("u1")).staleness_ms == 0)
    log.away = True
    clock.now_ms += 7_000
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: version(consumer) == 1)
        assert consumer.decide(question("u1")).staleness_ms == 7_000
        assert consumer.status().source == "disk"


async def test_a_lost_note_of_freshness_only_makes_the_rules_look_older(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await _kept(log, clock, tmp_path)
    (tmp_path / "default.seen").write_bytes(b"\x00damaged")
    log.away = True
    clock.now_ms += 9_000
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: version(consumer) == 1)
        assert consumer.decide(question("u1")).staleness_ms == 9_000


async def test_a_note_about_another_set_does_not_make_this_one_fresh(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    """The newer set was noted as read, and could not be kept: what is on disk is the one before."""
    await _kept(log, clock, tmp_path)
    note = json.loads((tmp_path / "default.seen").read_bytes())
    clock.now_ms += 9_000
    (tmp_path / "default.seen").write_text(json.dumps({**note, "id": "another", "read_at_ms": clock.now_ms}))
    log.away = True
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: version(consumer) == 1)
        assert consumer.decide(question("u1")).staleness_ms == 9_000


async def test_rules_kept_under_a_clock_that_was_ahead_do_not_count_as_fresh_for_long(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await _kept(log, clock, tmp_path)
    log.away = True
    clock.now_ms -= 86_400_000
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: version(consumer) == 1)
        clock.now_ms += 5_000
        assert consumer.decide(question("u1")).staleness_ms == 5_000


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _newer(file: Path) -> None:
    head, _, body = file.read_bytes().partition(b"\n")
    file.write_bytes(head.replace(b"imbridge-rules 1 ", b"imbridge-rules 2 ") + b"\n" + body)


def _unreadable(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_cut, "is damaged (its digest differs)"),
        (_flip, "is damaged (its digest differs)"),
        (_empty, "is no snapshot of rules"),
        (_newer, "has format 2, this program reads up to 1: upgrade it"),
        (_unreadable, "Is a directory"),
    ],
)
async def test_a_damaged_snapshot_is_passed_over_and_said(
    log: UnsteadyLog, clock: Clock, tmp_path: Path, harm: Callable[[Path], None], says: str
) -> None:
    await _kept(log, clock, tmp_path)
    harm(tmp_path / "default.rules")
    log.away = True
    with capture_logs() as said:
        async with consuming(log, tmp_path, now_ms=clock) as consumer:
            await until(lambda: consumer.status().disk_problem)
            assert says in str(consumer.status().disk_problem)
            assert consumer.decide(question("u1")).fallback == "not_ready"
            log.away = False
            await until(lambda: version(consumer) == 1)
    assert [one["event"] for one in said if one["log_level"] == "error"][:1] == ["rules.snapshot_failed"]


async def test_a_snapshot_that_is_whole_but_no_longer_checks_out_is_not_served(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    await _kept(log, clock, tmp_path)
    file = tmp_path / "default.rules"
    body = json.loads(file.read_bytes().partition(b"\n")[2])
    body["records"]["rule/r1/1"] = body["records"]["rule/r1/1"].replace("deny", "allow")
    from consumers.rules.snapshots import Snapshot, save

    records = {key: value.encode() for key, value in body["records"].items()}
    file.unlink()
    save(tmp_path, Snapshot("default", body["log_id"], 1, body["manifest"].encode(), records))
    log.away = True
    async with consuming(log, tmp_path, now_ms=clock) as consumer:
        await until(lambda: consumer.status().disk_problem)
        assert "its digest is not the one the manifest names" in str(consumer.status().disk_problem)
        assert consumer.decide(question("u1")).fallback == "not_ready"


async def test_a_full_or_forbidden_disk_does_not_stop_the_rules_and_is_tried_again(
    log: UnsteadyLog, tmp_path: Path
) -> None:
    directory = tmp_path / "rules"
    directory.write_bytes(b"in the way")
    await publish(log, documents(rule()))
    async with consuming(log, directory) as consumer:
        await until(lambda: live(consumer) == 1)
        await until(lambda: consumer.status().disk_problem)
        assert consumer.decide(question("u1")).sent == DENY
        directory.unlink()
        await until((directory / "default.rules").exists)
        await until(lambda: consumer.status().disk_problem is None)


async def test_a_slower_process_does_not_put_an_older_set_back_on_disk(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    from consumers.rules.snapshots import load, save

    await _kept(log, clock, tmp_path)
    old = load(tmp_path, "default")
    assert old is not None
    await publish(log, documents(rule(rev=2, priority=1)))
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: live(consumer) == 2)
    save(tmp_path, old)
    kept = load(tmp_path, "default")
    assert kept is not None
    assert json.loads(kept.manifest)["version"] == 2


def test_nothing_but_whole_files_is_left_on_disk(log: UnsteadyLog, clock: Clock, tmp_path: Path) -> None:
    asyncio.run(_kept(log, clock, tmp_path))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["default.rules", "default.seen"]


def test_what_a_killed_process_left_behind_is_removed_in_time(
    log: UnsteadyLog, clock: Clock, tmp_path: Path
) -> None:
    old, fresh = tmp_path / ".default.rules.0a.writing", tmp_path / ".default.rules.0b.writing"
    for file in (old, fresh):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    asyncio.run(_kept(log, clock, tmp_path))
    assert (old.exists(), fresh.exists()) == (False, True)


def _raising(_: Any) -> bool:
    raise ZeroDivisionError("a bug")


def _answering(**options: Any) -> Answering:
    """Return an answering whose one rule raises."""
    broken = replace(compile_rule(rule("broken"), {}), match=_raising)
    answering = Answering(
        **{"fallback": "allow", "max_stale_seconds": None, "now_ms": Clock(1_000), **options}
    )
    answering.swap(Served(SET, Index([broken]), 1, 0, 0, b"", {}), 400)
    return answering


def test_a_rule_that_raises_lets_the_fallback_answer_and_is_counted() -> None:
    before = RULES_ERRORS._value.get()
    answering = _answering()
    decision = answering.decide(question("u1"))
    assert (decision.sent.kind, decision.fallback, decision.rule_set) == ("allow", "error", SET)
    assert decision.staleness_ms == 600
    assert (answering.errors, RULES_ERRORS._value.get()) == (1, before + 1)
    assert answering.last_error == "ZeroDivisionError('a bug') in rule broken rev 1"
    assert _answering(fallback="deny").decide(question("u1")).sent == DENY


@pytest.mark.parametrize("fallback", ["allow", "deny"])
@pytest.mark.parametrize("served", [True, False])
def test_an_act_no_rule_can_be_about_goes_ahead_whatever_the_fallback(fallback: str, served: bool) -> None:
    answering = _answering(fallback=fallback, max_stale_seconds=0.1)
    if not served:
        answering.served = None
    decision = answering.decide(question("u1", act="call"))
    assert (decision.wanted.kind, decision.sent.kind, decision.fallback) == ("allow", "allow", None)
    assert answering.errors == 0


@pytest.mark.parametrize("fallback", ["allow", "deny"])
def test_without_a_set_the_fallback_answers_about_every_act(fallback: str) -> None:
    answering = _answering(fallback=fallback)
    answering.served = None
    for act in known_acts():
        decision = answering.decide(question("u1", act=act))
        assert (decision.sent.kind, decision.fallback) == (fallback, "not_ready")


def test_even_a_decision_that_goes_wrong_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as said:
        _answering().decide(question("u1"))
    assert said == []
    assert capsys.readouterr() == ("", "")


async def test_rules_that_raise_are_logged_beside_the_decisions(
    log: UnsteadyLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(log, documents(rule()))
    async with consuming(log, tmp_path) as consumer:
        await until(lambda: live(consumer) == 1)
        served = consumer._answering.served
        assert served is not None
        broken = replace(compile_rule(rule("broken"), {}), match=_raising)
        monkeypatch.setattr(consumer._answering, "served", served._replace(compiled=Index([broken])))
        with capture_logs() as said:
            for _ in range(3):
                consumer.decide(question("u1"))
            await until(lambda: [one for one in said if one["event"] == "rule.failed"])
        failed = [one for one in said if one["event"] == "rule.failed"]
        assert sum(one["decisions"] for one in failed) == 3
        assert "in rule broken rev 1" in failed[0]["error"]
        assert (consumer.status().errors, consumer.status().last_error) == (3, failed[0]["error"])


def test_a_decision_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([1_000_000, 1_042_000])
    monkeypatch.setattr("consumers.rules.answering.time.perf_counter_ns", lambda: next(ticks))
    answering = Answering(fallback="allow", max_stale_seconds=None, now_ms=Clock())
    assert answering.decide(question("u1")).elapsed_us == 42


def test_the_package_brings_in_no_driver_and_no_web_server() -> None:
    """Rules are decided in the ingress: what they import is what every ingress process loads."""
    drivers = {"aiokafka", "psycopg", "aiohttp", "sqlalchemy"}
    code = f"import sys, consumers.rules; print({drivers} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
