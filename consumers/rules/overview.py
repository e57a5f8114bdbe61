"""What stands on the rules topic, for operators: sets, versions, revisions, lists, problems."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bridge.log.base import Log
from bridge.log.clock import wall_ms
from consumers.rules.problems import Problem
from consumers.rules.records import manifest_key, named_keys, rule_key
from consumers.rules.served import Rejected, read_manifest, resolve
from consumers.rules.topic import BadRecord, TopicState, parse_object, read_topic
from schemas.decisions import RuleSet


class RuleOverview(NamedTuple):
    """One rule of a set, as written."""

    id: str
    rev: int
    mode: str
    effect: str
    on: tuple[str, ...]
    priority: int
    expires: str | None
    description: str | None


class SetOverview(NamedTuple):
    """One set. With ``problems`` it is served nowhere: the version before it goes on."""

    name: str
    version: int | None
    previous: int | None
    restores: int | None
    digest: str | None
    published_at: str | None
    published_by: str | None
    rules: tuple[RuleOverview, ...]
    lists: tuple[tuple[str, int], ...]
    problems: tuple[Problem, ...]


class TopicOverview(NamedTuple):
    """The whole topic, with one set looked at.

    ``rule_set`` is what that set serves, None where it has no manifest or one that does not check out.
    ``revisions`` are all that stand there; ``unnamed`` counts records that no manifest names.
    """

    rule_set: RuleSet | None
    sets: tuple[SetOverview, ...]
    revisions: Mapping[str, tuple[int, ...]]
    unnamed: int
    bad_records: int
    last_bad_records: tuple[BadRecord, ...]


async def status(
    log: Log, set_name: str = "default", *, now_ms: Callable[[], int] = wall_ms
) -> TopicOverview:
    """Return what stands on the rules topic now. Raises LogError."""
    state = (await read_topic(log)).state
    return await asyncio.to_thread(_overview, state, set_name, now_ms())


def _overview(state: TopicState, set_name: str, now_ms: int) -> TopicOverview:
    stored = {key: kept.value for key, kept in state.records.items()}
    names = sorted(key.partition("/")[2] for key in stored if key.startswith("manifest/"))
    named = {manifest_key(name) for name in names}
    for name in names:
        manifest, problems = read_manifest(name, stored[manifest_key(name)])
        named |= set() if problems else named_keys(manifest)
    sets = [_set(name, stored, now_ms) for name in names]
    serving = [
        RuleSet(one.name, one.version, one.digest)
        for one in sets
        if one.name == set_name and not one.problems and one.version and one.digest
    ]
    return TopicOverview(
        rule_set=serving[0] if serving else None,
        sets=tuple(sets),
        revisions=_revisions(stored),
        unnamed=len(stored.keys() - named),
        bad_records=state.bad_count,
        last_bad_records=tuple(state.bad),
    )


def _set(name: str, stored: Mapping[str, bytes], now_ms: int) -> SetOverview:
    value = stored[manifest_key(name)]
    manifest, unreadable = read_manifest(name, value)
    problems: tuple[Any, ...] = ()
    try:
        resolve(name, value, stored, now_ms)
    except Rejected as rejected:
        problems = rejected.problems
    if unreadable:
        return SetOverview(name, None, None, None, None, None, None, (), (), problems)
    return SetOverview(
        name=name,
        version=manifest["version"],
        previous=manifest["previous"],
        restores=manifest.get("restores"),
        digest=manifest["digest"],
        published_at=manifest["published_at"],
        published_by=manifest.get("published_by"),
        rules=tuple(_rule(one, stored) for one in manifest["rules"]),
        lists=tuple((one["name"], one["count"]) for one in manifest["lists"]),
        problems=problems,
    )


def _rule(reference: Mapping[str, Any], stored: Mapping[str, bytes]) -> RuleOverview:
    content = parse_object(stored.get(rule_key(reference["id"], reference["rev"]), b"")) or {}
    return RuleOverview(
        id=reference["id"],
        rev=reference["rev"],
        mode=str(content.get("mode", "enforce")),
        effect=str(content.get("effect", "?")),
        on=tuple(map(str, content.get("on", ()))),
        priority=content.get("priority", 0),
        expires=content.get("expires"),
        description=content.get("description"),
    )


def _revisions(stored: Mapping[str, bytes]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = defaultdict(list)
    for key in stored:
        if key.startswith("rule/"):
            _, name, rev = key.split("/")
            found[name].append(int(rev))
    return {name: tuple(sorted(revs)) for name, revs in sorted(found.items())}
