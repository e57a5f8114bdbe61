"""What ``imbridge doctor`` looks at: every part is connected to; findings say what to do about them."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Final, Literal, NamedTuple

import aiohttp

from bridge.config import Settings
from bridge.errors import ImbridgeError
from bridge.log.base import Bounds, Log, Record, TopicPartition
from bridge.log.scan import scan
from bridge.log.segments import journal_directories
from bridge.log.segments.identity import read_identity
from bridge.main.doors import ALLOW, Door, doors, is_loopback
from bridge.main.opening import open_kafka, open_log, open_store
from consumers.rules import status as rules_status
from schemas.envelope import EnvelopeError, parse_time
from schemas.topics import DECISION, GROUP, MESSAGE, USER

Level = Literal["ok", "warning", "problem"]
_SAMPLE: Final = 200
_SKEW_MS: Final = 60_000
_ASK_SECONDS: Final = 3.0


class Finding(NamedTuple):
    """One thing looked at. ``says`` ends with what to do, where there is something to do."""

    level: Level
    about: str
    says: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found, part by part; nothing is changed and nothing raises."""
    for finding in _doors(settings):
        yield finding
    for finding in _disk(settings):
        yield finding
    readable = settings.data_dir.exists()
    if not settings.embedded:
        found, readable = await _kafka(settings)
        for finding in found:
            yield finding
    yield await _store(settings)
    if readable:
        async for finding in _log(settings):
            yield finding
    yield await _process(settings)


def _doors(settings: Settings) -> list[Finding]:
    public = not is_loopback(settings.ingress.host)
    found = [_door(settings, door, public=public) for door in doors(settings)]
    if settings.tencent.enabled and not settings.tencent.app_ids:
        says = "every app id is accepted: set tencent.app_ids to your own"
        found.append(Finding("warning" if public else "ok", "Tencent apps", says))
    if not is_loopback(settings.ops.host):
        at = f"{settings.ops.host}:{settings.ops.port}"
        says = f"health and metrics are open to whoever reaches {at}: firewall it"
        found.append(Finding("warning", "operators' port", says))
    return found


def _door(settings: Settings, door: Door, *, public: bool) -> Finding:
    about, where = f"{door.name} door", f"{settings.ingress.host}:{settings.ingress.port}"
    if not door.is_open:
        return Finding("ok", about, door.says)
    if not public:
        return Finding("ok", about, f"open, on loopback only ({where})")
    says = f"anybody who reaches {where} can send {door.name} callbacks: set {door.settings}"
    if settings.ingress.allow_unauthenticated:
        return Finding("warning", about, f"{says} (left open by {ALLOW} = true)")
    return Finding("problem", about, f"{says}; no start until then, or until {ALLOW} = true is written down")


def _disk(settings: Settings) -> list[Finding]:
    place = settings.data_dir
    if not place.exists():
        return [Finding("warning", "data directory", f"{place} does not exist yet: the first start makes it")]
    if not os.access(place, os.W_OK):
        return [
            Finding("problem", "data directory", f"{place} cannot be written by this user: change its owner")
        ]
    try:
        journals = journal_directories(place)
    except ImbridgeError as error:
        return [Finding("problem", "journals", f"{error}: callbacks could not be acknowledged")]
    found = [_room(settings, place)]
    for number, directory in journals.items():
        try:
            log_id = read_identity(directory).log_id
        except ImbridgeError as error:
            found.append(Finding("problem", f"journal {number}", str(error)))
            continue
        damaged = list((directory / "damaged").glob("*"))
        says = (
            f"{len(damaged)} damaged segments set aside in {directory / 'damaged'}: records were lost"
            if damaged
            else log_id
        )
        found.append(Finding("warning" if damaged else "ok", f"journal {number}", says))
    return found


def _room(settings: Settings, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    needed = 3 * settings.journal.segment_bytes
    says = f"{place}, {free // 2**20} MiB free"
    if free < needed:
        return Finding(
            "problem",
            "data directory",
            f"{says}; the journal needs {needed // 2**20} MiB to roll on: free some",
        )
    return Finding("ok", "data directory", says)


async def _kafka(settings: Settings) -> tuple[list[Finding], bool]:
    """Return what is to be said of Kafka, and whether every topic can be looked into."""
    servers = ", ".join(settings.kafka.bootstrap_servers)
    try:
        log = open_kafka(settings)
    except ImbridgeError as error:
        return [Finding("problem", "Kafka", str(error))], False
    try:
        report = await log.describe()
    except ImbridgeError as error:
        says = f"{error}; callbacks are still acknowledged, the relay catches up later"
        return [Finding("problem", "Kafka", says)], False
    finally:
        await log.close()
    reached = f"{servers}: {len(report.brokers)} brokers, cluster {report.cluster_id}"
    levels: dict[str, Level] = {"unfit": "problem"}
    said = [Finding(levels.get(found.kind, "warning"), found.topic, found.says) for found in report.findings]
    whole = all(found.kind not in ("missing", "unfit") for found in report.findings)
    return [Finding("ok", "Kafka", reached), *said], whole


async def _store(settings: Settings) -> Finding:
    if not settings.store.url.get_secret_value() and not settings.data_dir.exists():
        return Finding("warning", "store", "the SQLite file does not exist yet: the first start makes it")
    try:
        store = open_store(settings)
    except ImbridgeError as error:
        return Finding("problem", "store", str(error))
    try:
        await store.open()
        checkpoints = await store.checkpoints()
    except ImbridgeError as error:
        return Finding("problem", "store", str(error))
    else:
        return Finding("ok", "store", f"connected, {len(checkpoints)} checkpoints")
    finally:
        await store.close()


async def _log(settings: Settings) -> AsyncIterator[Finding]:
    log = open_log(settings)
    try:
        yield await _rules(log, settings.rules.set)
        yield await _clock(log)
    except ImbridgeError as error:
        yield Finding("problem", "log", str(error))
    finally:
        await log.close()


async def _rules(log: Log, name: str) -> Finding:
    active = (await rules_status(log, name)).rule_set
    if active is None:
        return Finding("warning", "rules", f"no set {name!r} is published: the fallback answers invitations")
    return Finding("ok", "rules", f"set {active.name!r} version {active.version} ({active.digest[:12]})")


async def _clock(log: Log) -> Finding:
    """Compare the vendor's times with ours over the latest events that carry both."""
    gaps = []
    for topic in (GROUP, USER, MESSAGE, DECISION):
        for partition, held in (await log.bounds(topic)).items():
            place = TopicPartition(topic, partition)
            latest = {place: Bounds(max(held.begin, held.end - _SAMPLE), held.end)}
            async for _, stored in scan(log, latest):
                gaps += _gap(stored.record)
    if not gaps:
        return Finding("ok", "clock", "no event with the vendor's time yet to compare with")
    middle = median(gaps)
    if middle < -_SKEW_MS:
        return Finding(
            "problem",
            "clock",
            f"this machine is {-middle / 1000:.0f} s behind the vendor's times: set its clock",
        )
    if min(gaps) > _SKEW_MS:
        says = f"callbacks arrive at least {min(gaps) / 1000:.0f} s after the vendor's time"
        return Finding("warning", "clock", f"{says}: check this clock (old calls sent by hand look the same)")
    return Finding("ok", "clock", f"callbacks arrive {middle / 1000:.1f} s after the vendor's time")


def _gap(record: Record) -> list[int]:
    """Return how long after the vendor's time a callback was recorded (ms), where it tells a time."""
    try:
        event = record.envelope()
    except EnvelopeError:
        return []
    recorded = parse_time(event.recordedtime)
    if event.timebasis is None and event.time != event.recordedtime:
        return [recorded - parse_time(event.time)]
    body = event.data.get("origin", {}).get("body")
    told = str(body.get("EventTime", "")) if isinstance(body, dict) else ""
    return [recorded - int(told)] if told.isdigit() else []


async def _process(settings: Settings) -> Finding:
    url = f"http://{settings.ops.host}:{settings.ops.port}/readyz"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_ASK_SECONDS)) as session,
            session.get(url) as response,
        ):
            told = await response.json()
            parts = [f"{name}: {part['says']}" for name, part in told["parts"].items() if not part["ok"]]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
        return Finding("warning", "process", f"nothing answers at {url}: is the bridge running?")
    if parts:
        return Finding("problem" if not told["ready"] else "warning", "process", "; ".join(parts))
    return Finding("ok", "process", f"ready at {url}")
