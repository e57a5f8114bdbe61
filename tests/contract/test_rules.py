"""Rules from a publication to a decision, over every log."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
from structlog.testing import capture_logs

from bridge.errors import RulesRefused, UsageError
from bridge.log.base import Log, Record, StoredRecord, TopicPartition
from bridge.log.embedded import EmbeddedLog
from bridge.log.memory import MemoryLog
from bridge.telemetry import RULES_REJECTED, RULES_VERSION
from consumers.rules import RulesConsumer, activations, publish, rollback, status
from consumers.rules.records import CHUNK_VALUES
from consumers.rules.schema import faults
from schemas.decisions import Effect
from schemas.topics import OPS, RULES, TOPICS
from tests.rules_kit import SECONDS, consuming, documents, named, question, rule, until

ALLOW, DENY = Effect("allow"), Effect("deny")
KEEP_OUT = rule("keep-out", "refuse_members", members={"fact": "invitee.id", "on_list": "blocked"})


@pytest.fixture(params=["memory", "embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    """A log with nothing on it; on Kafka the topics have been made, as the bridge does at its start."""
    opened = _open(request, tmp_path)
    if request.param == "kafka":
        await opened.ensure_topics()
    yield opened
    await opened.close()


def _open(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MemoryLog()
    if request.param == "embedded":
        return EmbeddedLog(tmp_path / "data")
    from bridge.log.kafka import KafkaLog

    server = request.getfixturevalue("kafka")
    topics = [TOPICS[RULES], TOPICS[OPS]]
    return KafkaLog(server.bootstrap_servers, topic_prefix=f"r{uuid.uuid4().hex[:10]}.", topics=topics)


@pytest.fixture
async def standing(log: Log) -> Log:
    """The log with a record on each topic that nobody names."""
    await log.append([Record(RULES, "rule/unused/1", b"{}", {}, 1)])
    await log.append([Record(OPS, "unused", b"{}", {}, 1)])
    return log


def serves(consumer: RulesConsumer, version: int) -> Callable[[], bool]:
    return lambda: (now := consumer.status().rule_set) is not None and now.version == version


async def records_of(log: Log, topic: str) -> Sequence[StoredRecord]:
    ((number, held),) = (await log.bounds(topic)).items()
    found: list[StoredRecord] = []
    next_offset = held.begin
    reader = log.reader({TopicPartition(topic, number): held.begin})
    try:
        async with asyncio.timeout(SECONDS):
            while next_offset < held.end:
                batch = await reader.read(100, 1.0)
                if batch is not None:
                    found += batch.records
                    next_offset = batch.next_offset
    finally:
        await reader.close()
    return found


async def keys(log: Log) -> list[str | None]:
    return [stored.record.key for stored in await records_of(log, RULES)]


async def test_a_published_set_answers_at_once_and_whole(standing: Log, tmp_path: Path) -> None:
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(consumer.is_ready)
        assert consumer.decide(question("u1", "u9")).fallback == "no_rules"
        first = await publish(standing, documents(named("blocked", "u9"), KEEP_OUT), published_by="ada")
        assert (first.version, first.previous, first.changed, first.confirmed) == (1, 0, True, True)
        await until(serves(consumer, 1))
        decision = consumer.decide(question("u1", "u9"))
        assert decision.sent == Effect("refuse_members", ("u9",))
        assert decision.rule_set == ("default", 1, first.digest)
        assert decision.staleness_ms is not None
        assert decision.staleness_ms < SECONDS * 1000
        second = await publish(standing, documents(rule("nobody"), named("blocked", "u9"), KEEP_OUT))
        assert (second.version, second.previous) == (2, 1)
        await until(serves(consumer, 2))
        assert consumer.decide(question("u1")).sent == DENY
        assert RULES_VERSION.labels("default")._value.get() == 2


async def test_a_log_that_was_never_written_takes_a_publication_and_a_consumer(
    log: Log, tmp_path: Path
) -> None:
    async with consuming(log, tmp_path / "rules") as consumer:
        assert (await publish(log, documents(rule("a")))).version == 1
        await until(serves(consumer, 1))
    assert len(await activations(log)) == 1


async def test_the_status_of_a_log_that_was_never_written_is_empty(log: Log) -> None:
    overview = await status(log)
    assert (overview.rule_set, overview.sets, overview.revisions) == (None, (), {})


async def test_a_consumer_started_later_serves_what_was_published(standing: Log, tmp_path: Path) -> None:
    await publish(standing, documents(rule("old")))
    await publish(standing, documents(rule("new", "allow")))
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 2))
        assert [one.rule for one in consumer.decide(question("u1")).outcomes] == ["new"]


async def test_publishing_the_same_again_appends_nothing(standing: Log) -> None:
    content = documents(named("blocked", "u9"), KEEP_OUT)
    first = await publish(standing, content)
    before = await keys(standing)
    again = await publish(standing, content)
    assert (again.version, again.digest, again.changed, again.appended) == (1, first.digest, False, 0)
    assert await keys(standing) == before
    assert len(await activations(standing)) == 1


async def test_only_what_is_new_is_appended(standing: Log) -> None:
    await publish(standing, documents(rule("a"), rule("b")))
    report = await publish(standing, documents(rule("a"), rule("b", rev=2, priority=1)))
    assert (report.version, report.appended) == (2, 2)
    assert await keys(standing) == [
        "rule/unused/1",
        "rule/a/1",
        "rule/b/1",
        "manifest/default",
        "rule/b/2",
        "manifest/default",
    ]


async def test_a_published_revision_never_changes(standing: Log) -> None:
    await publish(standing, documents(rule("a"), rule("b")))
    await publish(standing, documents(rule("a", rev=4, priority=4)))
    before = await keys(standing)
    with pytest.raises(RulesRefused, match="raise rev to 5") as refused:
        await publish(standing, documents(rule("a", priority=9), rule("b")))
    (problem,) = refused.value.problems
    assert str(problem) == (
        "set.yaml, document 1 (line 1), /rev: rule a: revision 1 was published with other content "
        "and never changes: raise rev to 5"
    )
    assert await keys(standing) == before


async def test_what_does_not_check_out_or_has_a_red_test_is_not_published(standing: Log) -> None:
    red = rule(tests=[{"given": {}, "expect": {"effect": "allow"}}])
    before = await keys(standing)
    with pytest.raises(RulesRefused) as refused:
        await publish(standing, documents(red, rule("b", mode="on")))
    assert len(refused.value.problems) == 2
    assert "expected allow, got deny" in str(refused.value)
    assert await keys(standing) == before


async def test_every_activation_is_in_the_audit_trail(standing: Log) -> None:
    await publish(standing, documents(rule("a")), published_by="ada")
    (event,) = [
        stored.record.envelope()
        for stored in await records_of(standing, OPS)
        if stored.record.key != "unused"
    ]
    assert (event.type, event.subject) == ("im.ops.rules.activated.v1", "rules/default")
    assert list(faults("manifest", event.data)) == []
    assert event.data["version"] == 1
    assert event.data["published_by"] == "ada"
    assert [one["id"] for one in event.data["rules"]] == ["a"]
    assert list(await activations(standing)) == [event.data]


async def test_rolling_back_is_the_old_content_as_a_new_version(standing: Log, tmp_path: Path) -> None:
    green = {"given": {}, "expect": {"effect": "deny"}}
    first = await publish(standing, documents(rule("a", tests=[green])))
    await publish(standing, documents(rule("a", "allow", rev=2)))
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 2))
        report = await rollback(standing, 1)
        assert (report.version, report.previous, report.digest) == (3, 2, first.digest)
        assert report.tests_run == 1
        await until(serves(consumer, 3))
        assert consumer.decide(question("u1")).sent == DENY
    with pytest.raises(UsageError, match="version 9 of the set default is not on record; on record: 1, 2, 3"):
        await rollback(standing, 9)


async def test_rolling_back_to_what_is_in_force_does_nothing(standing: Log) -> None:
    await publish(standing, documents(rule("a")))
    assert (await rollback(standing, 1)).changed is False


async def test_sets_live_beside_each_other(standing: Log, tmp_path: Path) -> None:
    await publish(standing, documents(rule("a")))
    await publish(standing, documents(rule("b", "allow")), "trial")
    async with consuming(standing, tmp_path / "rules", set_name="trial") as consumer:
        await until(serves(consumer, 1))
        assert consumer.decide(question("u1")).reason_rule == "b"
    overview = await status(standing, "trial")
    assert [one.name for one in overview.sets] == ["default", "trial"]
    assert overview.rule_set is not None
    assert overview.rule_set.name == "trial"


async def test_a_long_list_travels_in_chunks_and_a_change_rewrites_one(standing: Log, tmp_path: Path) -> None:
    values = [f"user-{number}" for number in range(3 * CHUNK_VALUES)]
    await publish(standing, documents(named("blocked", *values), KEEP_OUT))
    before = await keys(standing)
    assert sum(key is not None and key.startswith("list/blocked/") for key in before) == 4
    report = await publish(standing, documents(named("blocked", *values, "u9"), KEEP_OUT))
    assert report.appended == 2
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 2))
        asked = question("u1", "u9", "user-0", values[-1])
        assert consumer.decide(asked).sent == Effect("refuse_members", ("u9", "user-0", values[-1]))


async def test_a_manifest_that_names_what_is_not_there_is_never_served(standing: Log, tmp_path: Path) -> None:
    await publish(standing, documents(rule("a")))
    counted = RULES_REJECTED._value.get()
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 1))
        await standing.append([Record(RULES, "rule/a/1", None, {}, 2)])
        with capture_logs() as said:
            await until(lambda: consumer.status().rejected)
        rejected = consumer.status().rejected
        assert rejected is not None
        assert rejected.version == 1
        assert "rule/a/1: is named by the manifest and does not stand on the topic" in str(
            rejected.problems[0]
        )
        assert consumer.decide(question("u1")).sent == DENY
        assert RULES_REJECTED._value.get() == counted + 1
        assert [one["event"] for one in said if one["log_level"] == "error"] == ["rules.rejected"]
        overview = await status(standing)
        assert (overview.rule_set, len(overview.sets[0].problems)) == (None, 1)
        repaired = await publish(standing, documents(rule("a")))
        assert (repaired.version, repaired.appended) == (2, 2)
        await until(serves(consumer, 2))
        assert consumer.status().rejected is None


async def test_withdrawing_the_manifest_lets_the_fallback_answer(standing: Log, tmp_path: Path) -> None:
    await publish(standing, documents(rule("a")))
    async with consuming(standing, tmp_path / "rules", fallback="deny") as consumer:
        await until(serves(consumer, 1))
        await standing.append([Record(RULES, "manifest/default", None, {}, 2)])
        await until(lambda: consumer.status().rule_set is None)
        decision = consumer.decide(question("u1"))
        assert (decision.fallback, decision.sent, decision.rule_set) == ("no_rules", DENY, None)
        await until(lambda: not list((tmp_path / "rules").glob("default.*")))
        assert (await publish(standing, documents(rule("b", "allow")))).changed
        await until(lambda: consumer.decide(question("u1")).reason_rule == "b")


async def test_a_record_that_cannot_be_read_is_passed_over_and_reported(
    standing: Log, tmp_path: Path
) -> None:
    await standing.append(
        [
            Record(RULES, "rule/bad/1", b"not json", {}, 1),
            Record(RULES, "rule/bad/2", b"[1]", {}, 1),
            Record(RULES, "note/about", b"{}", {}, 1),
        ]
    )
    await publish(standing, documents(rule("a")))
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 1))
        found = consumer.status()
        assert found.bad_records == 3
        assert [one.key for one in found.last_bad_records] == ["rule/bad/1", "rule/bad/2", "note/about"]
        assert found.rejected is None


async def test_an_unreadable_manifest_is_rejected_and_the_last_good_set_goes_on(
    standing: Log, tmp_path: Path
) -> None:
    await publish(standing, documents(rule("a")))
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 1))
        await standing.append([Record(RULES, "manifest/default", b"{oops", {}, 2)])
        await until(lambda: consumer.status().rejected)
        rejected = consumer.status().rejected
        assert rejected is not None
        assert rejected.version is None
        assert consumer.decide(question("u1")).sent == DENY
    async with consuming(standing, tmp_path / "other") as fresh:
        await until(lambda: fresh.status().rejected)
        assert fresh.decide(question("u1")).fallback == "rejected"


async def test_the_last_good_set_is_served_from_disk(standing: Log, tmp_path: Path) -> None:
    await publish(standing, documents(named("blocked", "u9"), KEEP_OUT))
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 1))
        await until(lambda: list((tmp_path / "rules").glob("default.rules")))
    away = MemoryLog()
    await away.close()
    gone = _Gone(away)
    async with consuming(gone, tmp_path / "rules") as consumer:
        await until(consumer.is_ready)
        found = consumer.status()
        assert (found.source, found.connected, found.lists, found.rules) == ("disk", False, 1, 1)
        assert "away" in str(found.disconnected_because)
        assert consumer.decide(question("u1", "u9")).sent == Effect("refuse_members", ("u9",))


class _Gone:
    """A log that cannot be reached."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def bounds(self, _: str) -> Any:
        from bridge.errors import LogUnavailable

        raise LogUnavailable("the broker is away")


async def test_what_is_lost_between_two_publishers_is_said(standing: Log) -> None:
    """Another manifest appears after this publisher looked and before it wrote: the later one is in force."""
    await publish(standing, documents(rule("a")))
    racing: Any = _Racing(standing, "before")
    report = await publish(racing, documents(rule("mine", "allow")))
    assert (report.version, report.confirmed, report.overwrote, report.overtaken_by) == (2, True, (2,), ())
    serving = (await status(standing)).rule_set
    assert serving is not None
    assert serving.digest == report.digest


async def test_a_publisher_that_was_overtaken_is_told_so(standing: Log) -> None:
    racing: Any = _Racing(standing, "after")
    report = await publish(racing, documents(rule("mine", "allow")))
    assert (report.overwrote, report.overtaken_by) == ((), (2,))
    serving = (await status(standing)).rule_set
    assert serving is not None
    assert serving.digest != report.digest


class _Racing:
    """A log on which somebody else publishes just before or after a manifest is appended."""

    def __init__(self, log: Log, when: Literal["before", "after"]) -> None:
        self._log, self._when, self._raced = log, when, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, records: Sequence[Record]) -> Any:
        manifest = any(record.key == "manifest/default" for record in records)
        if manifest and self._when == "before":
            await publish(self._log, documents(rule("theirs")))
        positions = await self._log.append(records)
        if manifest and self._when == "after":
            await publish(self._log, documents(rule("theirs")))
        return positions


async def test_status_says_what_stands_on_the_topic(standing: Log) -> None:
    await publish(standing, documents(rule("a"), named("blocked", "u9", "u8"), KEEP_OUT), published_by="ada")
    await publish(
        standing,
        documents(rule("a", rev=2, mode="shadow", description="No more"), named("blocked", "u9"), KEEP_OUT),
    )
    overview = await status(standing)
    (one,) = overview.sets
    assert (one.name, one.version, one.previous, one.problems) == ("default", 2, 1, ())
    assert [(each.id, each.rev, each.mode, each.effect) for each in one.rules] == [
        ("a", 2, "shadow", "deny"),
        ("keep-out", 1, "enforce", "refuse_members"),
    ]
    assert one.lists == (("blocked", 1),)
    assert overview.revisions == {"a": (1, 2), "keep-out": (1,), "unused": (1,)}
    assert overview.unnamed == 3
    assert overview.rule_set == ("default", 2, one.digest)


async def test_stopping_ends_the_run_and_the_set_goes_on_answering(standing: Log, tmp_path: Path) -> None:
    await publish(standing, documents(rule("a")))
    consumer = RulesConsumer(standing, directory=tmp_path / "rules")
    running = asyncio.create_task(consumer.run())
    await until(serves(consumer, 1))
    consumer.stop()
    async with asyncio.timeout(5):
        await running
    assert consumer.decide(question("u1")).sent == DENY


async def test_stopping_before_anything_was_published_is_no_failure_and_keeps_nothing(
    standing: Log, tmp_path: Path
) -> None:
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(consumer.is_ready)
    assert consumer.status().disk_problem is None
    assert not (tmp_path / "rules").exists()


async def test_cancelling_is_the_hard_stop(standing: Log, tmp_path: Path) -> None:
    consumer = RulesConsumer(standing, directory=tmp_path / "rules")
    running = asyncio.create_task(consumer.run())
    await until(consumer.is_ready)
    running.cancel()
    with suppress(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await running
    assert running.cancelled()


async def test_decisions_under_way_see_one_whole_set_or_the_other(standing: Log, tmp_path: Path) -> None:
    """Each version names its own rule and its own words, so a mixture would show."""

    def content(version: int) -> Any:
        return documents(*(rule(f"r{n}", rev=version, reason={"text": f"v{version}"}) for n in range(20)))

    await publish(standing, content(1), wait_seconds=0)
    async with consuming(standing, tmp_path / "rules") as consumer:
        await until(serves(consumer, 1))
        stop = False
        seen: set[tuple[Any, ...]] = set()

        def ask() -> None:
            while not stop:
                decision = consumer.decide(question("u1"))
                version = decision.rule_set.version if decision.rule_set else 0
                revs = {outcome.rev for outcome in decision.outcomes}
                seen.add((version, decision.reason_text, len(decision.outcomes), *revs))

        asking = [asyncio.create_task(asyncio.to_thread(ask)) for _ in range(2)]
        try:
            for version in range(2, 6):
                await publish(standing, content(version), wait_seconds=0)
                await until(partial(seen.__contains__, (version, f"v{version}", 20, version)))
        finally:
            stop = True
            await asyncio.gather(*asking)
    assert seen == {(version, f"v{version}", 20, version) for version in range(1, 6)}


async def test_the_records_are_plain_json_for_anybody_to_read(standing: Log) -> None:
    await publish(standing, documents(rule("a")))
    stored = {
        one.record.key: orjson.loads(one.record.value or b"") for one in await records_of(standing, RULES)
    }
    assert stored["rule/a/1"] == {**rule("a"), "apiVersion": "im.rules/v1"}
    assert stored["manifest/default"]["rules"][0]["id"] == "a"
