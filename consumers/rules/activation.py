"""Writing a set onto the topic: what it names first, then the manifest that makes it the one in force."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from bridge.errors import LogUnavailable
from bridge.log.base import Log, Position, Record, StoredRecord, record_of
from bridge.log.clock import COUNTER_BITS
from consumers.rules.records import API_VERSION, Packed, canonical, manifest_key, record
from consumers.rules.topic import Reading, TopicState, parse_object, read_until, rules_bounds
from schemas.envelope import format_time
from schemas.operations import operation
from schemas.topics import OPS

ACTIVATED: Final = "rules.activated"
_APPEND_RECORDS: Final = 100


class Activated(NamedTuple):
    """What became of a set. Versions are 0 where there was none."""

    version: int
    previous: int
    changed: bool
    appended: int
    confirmed: bool
    overwrote: tuple[int, ...]
    overtaken_by: tuple[int, ...]


async def activate(
    log: Log,
    reading: Reading,
    packed: Packed,
    *,
    set_name: str,
    said: Mapping[str, Any],
    now_ms: int,
    wait_seconds: float,
) -> Activated:
    """Make the packed set the one in force, unless it is already and complete. Raises LogError.

    ``reading`` is the topic as it was looked at; what was published since is found when the manifest is read
    back. ``said`` is put into the manifest as it is.
    """
    current = _current(reading.state, set_name)
    previous = int(current.get("version", 0))
    missing = {key: value for key, value in packed.records.items() if not _holds(reading.state, key, value)}
    if not missing and current.get("digest") == packed.digest:
        return Activated(previous, previous, False, 0, True, (), ())
    await _append(log, [record(key, value, now_ms) for key, value in missing.items()])
    manifest = _manifest(packed, set_name, previous, said, now_ms)
    positions = await log.append([_activating(manifest, now_ms), _audit(manifest, now_ms)])
    appended = len(missing) + 1
    done = Activated(previous + 1, previous, True, appended, False, (), ())
    return (
        await _read_back(log, reading, positions[0], manifest, done, wait_seconds) if wait_seconds else done
    )


def _current(state: TopicState, set_name: str) -> Mapping[str, Any]:
    """Return the manifest in force as far as it can be read; one without a version counts as none."""
    kept = state.manifest(set_name)
    content = (parse_object(kept.value) or {}) if kept else {}
    return content if isinstance(content.get("version"), int) else {}


def _holds(state: TopicState, key: str, value: bytes) -> bool:
    kept = state.records.get(key)
    return kept is not None and kept.value == value


def _manifest(
    packed: Packed, set_name: str, previous: int, said: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "manifest",
        "set": set_name,
        "version": previous + 1,
        "previous": previous,
        "published_at": format_time(now_ms),
        "rules": packed.rules,
        "lists": packed.lists,
        "digest": packed.digest,
        **said,
    }


def _activating(manifest: Mapping[str, Any], now_ms: int) -> Record:
    return record(manifest_key(manifest["set"]), canonical(manifest), now_ms)


def _audit(manifest: dict[str, Any], now_ms: int) -> Record:
    """Return the event of the audit trail. Its data is the manifest, which the topic will forget."""
    event = operation(ACTIVATED, f"rules/{manifest['set']}", manifest, now_ms << COUNTER_BITS)
    return record_of(OPS, event, now_ms)


async def _append(log: Log, records: Sequence[Record]) -> None:
    for start in range(0, len(records), _APPEND_RECORDS):
        await log.append(records[start : start + _APPEND_RECORDS])


async def _read_back(
    log: Log,
    reading: Reading,
    position: Position,
    manifest: Mapping[str, Any],
    done: Activated,
    wait_seconds: float,
) -> Activated:
    """Return whether the manifest stands, and which others were published at the same time."""
    key, own = manifest_key(manifest["set"]), canonical(manifest)
    found: list[tuple[int, bytes]] = []

    def take(stored: Sequence[StoredRecord]) -> None:
        found.extend((one.offset, one.record.value or b"") for one in stored if one.record.key == key)

    try:
        _, held = await rules_bounds(log)
        end = max(held.end, position.offset + 1)
        await read_until(log, reading.partition, reading.next_offset, end, take, wait_seconds)
    except LogUnavailable:
        return done
    others = [(offset, _version(value)) for offset, value in found if value != own]
    return done._replace(
        confirmed=any(value == own for _, value in found),
        overwrote=tuple(version for offset, version in others if offset < position.offset),
        overtaken_by=tuple(version for offset, version in others if offset > position.offset),
    )


def _version(manifest: bytes) -> int:
    version = (parse_object(manifest) or {}).get("version")
    return version if isinstance(version, int) else 0
