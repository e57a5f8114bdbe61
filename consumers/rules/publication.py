"""Publishing a set of documents, and going back to an earlier one."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from bridge.errors import LogUnavailable, RulesRefused, UsageError
from bridge.log.base import Log
from bridge.log.clock import wall_ms
from bridge.log.scan import Selection, ranges_of, scan
from bridge.telemetry import logger
from consumers.rules.activation import ACTIVATED, Activated, activate
from consumers.rules.documents import Document, Documents
from consumers.rules.examination import Report, examine
from consumers.rules.problems import Problem
from consumers.rules.records import Packed, canonical, pack, rule_key
from consumers.rules.served import resolve
from consumers.rules.topic import READ_SECONDS, TopicState, read_topic
from schemas.topics import OPS

_log = logger("rules")


class PublishReport(NamedTuple):
    """What publishing did.

    ``changed`` is False where exactly this was in force already, and then nothing was appended.
    ``confirmed`` says that the manifest was read back. ``overwrote`` and ``overtaken_by`` are versions
    somebody else published at the same time: the later record on the topic is the one in force.
    """

    set_name: str
    version: int
    previous: int
    digest: str
    changed: bool
    appended: int
    rules: int
    lists: int
    tests_run: int
    warnings: tuple[Problem, ...]
    confirmed: bool
    overwrote: tuple[int, ...]
    overtaken_by: tuple[int, ...]


async def publish(
    log: Log,
    documents: Documents,
    set_name: str = "default",
    *,
    published_by: str = "",
    now_ms: Callable[[], int] = wall_ms,
    wait_seconds: float = 10.0,
) -> PublishReport:
    """Make these documents the whole of the set; the manifest stands on the topic when this returns.

    Waits up to ``wait_seconds`` until it is read back, 0 for not at all. Raises RulesRefused (nothing was
    appended), LogError (the set before it may still be in force; publishing again is safe).
    """
    report = await asyncio.to_thread(examine, documents, now_ms())
    if not report.ok:
        raise RulesRefused("the rules are not published:", report.problems)
    packed = await asyncio.to_thread(pack, documents)
    reading = await read_topic(log)
    rewritten = list(_rewritten(packed, documents, reading.state))
    if rewritten:
        raise RulesRefused("the rules are not published:", rewritten)
    said = {"published_by": published_by} if published_by else {}
    done = await activate(
        log, reading, packed, set_name=set_name, said=said, now_ms=now_ms(), wait_seconds=wait_seconds
    )
    return _told(set_name, packed, report, done)


async def rollback(
    log: Log,
    version: int,
    set_name: str = "default",
    *,
    published_by: str = "",
    now_ms: Callable[[], int] = wall_ms,
    wait_seconds: float = 10.0,
) -> PublishReport:
    """Put the content of an earlier version in force again, as a new version.

    Raises UsageError (no such version on record), RulesRefused (it does not check out), LogError.
    """
    known = {one["version"]: one for one in await activations(log, set_name)}
    if version not in known:
        listed = ", ".join(map(str, sorted(known))) or "none"
        raise UsageError(f"version {version} of the set {set_name} is not on record; on record: {listed}")
    then = known[version]
    reading = await read_topic(log)
    stored = {key: kept.value for key, kept in reading.state.records.items()}
    served = await asyncio.to_thread(resolve, set_name, canonical(then), stored, now_ms())
    packed = Packed({}, then["rules"], then["lists"])
    said = {"restores": version} | ({"published_by": published_by} if published_by else {})
    done = await activate(
        log, reading, packed, set_name=set_name, said=said, now_ms=now_ms(), wait_seconds=wait_seconds
    )
    return _told(set_name, packed, Report((), (), served.rules, served.lists, served.tests, 0), done)


async def activations(log: Log, set_name: str = "default") -> Sequence[Mapping[str, Any]]:
    """Return the manifests that were put in force, oldest first, from the audit trail. Raises LogError."""
    selection = Selection(OPS, type=f"im.ops.{ACTIVATED}.v1")
    try:
        async with asyncio.timeout(READ_SECONDS), aclosing(_selected(log, selection)) as found:
            return [data async for data in found if data.get("set") == set_name]
    except TimeoutError as error:
        raise LogUnavailable(f"{OPS} could not be read to its end within {READ_SECONDS:g} s") from error


async def _selected(log: Log, selection: Selection) -> AsyncGenerator[dict[str, Any]]:
    async for _, stored in scan(log, await ranges_of(log, selection), selection.takes):
        try:
            yield stored.record.envelope().data
        except ValueError as error:
            _log.warning("record.passed_over", topic=OPS, offset=stored.offset, error=str(error))


def _rewritten(packed: Packed, documents: Documents, state: TopicState) -> list[Problem]:
    """Return the revisions that stand on the topic with other content."""
    return [
        _rewriting(document, state)
        for document in documents.rules
        for key in [rule_key(document.content["id"], document.content["rev"])]
        if key in state.records and state.records[key].value != packed.records[key]
    ]


def _rewriting(document: Document, state: TopicState) -> Problem:
    name, rev = document.content["id"], document.content["rev"]
    taken = [int(key.rpartition("/")[2]) for key in state.records if key.startswith(f"rule/{name}/")]
    said = f"revision {rev} was published with other content and never changes: raise rev to {max(taken) + 1}"
    return document.problem(("/rev", said))


def _told(set_name: str, packed: Packed, report: Report, done: Activated) -> PublishReport:
    """Log what was done and return it."""
    _log.info("rules.published", set=set_name, digest=packed.digest, rules=report.rules, **done._asdict())
    return PublishReport(
        set_name=set_name,
        digest=packed.digest,
        rules=report.rules,
        lists=report.lists,
        tests_run=report.tests_run,
        warnings=report.warnings,
        **done._asdict(),
    )
