"""The served rules: brought up to date from the topic, kept on disk, asked for decisions."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Literal

from bridge.backoff import Backoff
from bridge.errors import LogError
from bridge.log.base import Log
from bridge.log.clock import wall_ms
from bridge.stopping import until_stopped
from bridge.telemetry import RULES_AGE_SECONDS, RULES_REJECTED, RULES_VERSION, logger
from consumers.rules.answering import Answering
from consumers.rules.following import Seen, follow
from consumers.rules.keeping import Keeper
from consumers.rules.problems import Problem
from consumers.rules.records import manifest_key, named_keys
from consumers.rules.served import Rejected, Served, read_manifest, resolve
from consumers.rules.snapshots import Snapshot
from consumers.rules.standing import Rejection, RulesStatus
from consumers.rules.topic import TopicState
from schemas.decisions import Decision, Question

_PROBLEMS_LOGGED = 10
_FINISH_SECONDS = 1.0  # more than a read takes; a log that does not answer is not waited for
_log = logger("rules")


class RulesConsumer:
    """Answers questions from the last good set of rules, and keeps that set current.

    Promises: ``decide`` does no input or output and never raises; a set is swapped whole; what does not
    check out is never served; without the topic the last good set goes on, from disk after a restart.
    """

    def __init__(
        self,
        log: Log,
        *,
        set_name: str = "default",
        directory: Path,
        fallback: Literal["allow", "deny"] = "allow",
        max_stale_seconds: float | None = None,
        grace_seconds: float = 10.0,
        now_ms: Callable[[], int] = wall_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._set_name, self._now_ms, self._monotonic = log, set_name, now_ms, monotonic
        self._answering = Answering(fallback=fallback, max_stale_seconds=max_stale_seconds, now_ms=now_ms)
        self._keeper = Keeper(directory, set_name)
        self._ready_by = monotonic() + grace_seconds
        self._stop = asyncio.Event()
        self._backoff = Backoff(first=0.2, cap=10.0)
        self._state = TopicState()
        self._concerned: set[str] = set()
        self._source: Literal["topic", "disk"] | None = None
        self._log_id = ""
        self._restored = self._connected = self._missing = False
        self._lost_because: str | None = None
        self._rejected: Rejection | None = None
        self._told_errors = self._told_bad = 0

    def decide(self, question: Question) -> Decision:
        """Return the answer: of the last good set however old, else of the fallback, which is said."""
        return self._answering.decide(question)

    def is_ready(self) -> bool:
        """Whether the topic was read to its end, or is away and a set from disk serves, or grace is over."""
        from_disk = self._answering.served is not None and self._lost_because is not None
        return self._restored or from_disk or self._monotonic() >= self._ready_by

    def stop(self) -> None:
        """Make ``run`` return soon; ``decide`` goes on answering from the set as it is."""
        self._stop.set()

    async def run(self) -> None:
        """Serve the set on disk, then follow the topic until stopped; a log that is away is waited for."""
        await self._restore_from_disk()
        await until_stopped(self._follow(), self._stop, _FINISH_SECONDS)
        if self._connected:
            await self._note_seen(now=True)

    async def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                async with aclosing(follow(self._log, self._stop, self._now_ms)) as following:
                    async for seen in following:
                        await self._take(seen)
            except LogError as error:
                self._lose(error)
                await self._backoff.pause(self._stop)

    async def _restore_from_disk(self) -> None:
        kept = await self._keeper.load()
        if kept is None:
            return
        try:
            served = await self._resolved(kept.manifest, kept.records)
        except Rejected as rejected:
            self._keeper.complain(f"the set on disk is not served: {rejected}")
            return
        self._log_id = kept.log_id
        self._swap(served, kept.read_at_ms, "disk")

    async def _take(self, seen: Seen) -> None:
        """Bring what is served up to what was read."""
        anew, self._state, self._log_id = seen.state is not self._state, seen.state, seen.log_id
        touched = seen.state.take_touched()
        if anew or touched & self._concerned:
            await self._activate(seen)
        if not self._missing:
            self._answering.read_at_ms = seen.read_at_ms
        self._find()
        self._report()
        await self._note_seen()

    async def _activate(self, seen: Seen) -> None:
        """Serve the latest manifest if it checks out; else the set before it goes on."""
        kept = seen.state.manifest(self._set_name)
        self._concerned = {manifest_key(self._set_name)}
        if kept is None:
            await self._without_manifest(withdrawn=manifest_key(self._set_name) in seen.state.removed)
            return
        self._missing = False
        named, problems = read_manifest(self._set_name, kept.value)
        self._concerned |= set() if problems else named_keys(named)
        try:
            served = await self._resolved(
                kept.value, {key: one.value for key, one in seen.state.records.items()}
            )
        except Rejected as rejected:
            self._reject(rejected)
            return
        self._rejected = None
        self._swap(served, seen.read_at_ms, "topic")
        await self._keeper.save(self._snapshot())

    async def _resolved(self, manifest: bytes, records: Mapping[str, bytes]) -> Served:
        """Return the set, made beside the loop so that questions are answered meanwhile. Raises Rejected."""
        return await asyncio.to_thread(resolve, self._set_name, manifest, records, self._now_ms())

    def _swap(self, served: Served, read_at_ms: int, source: Literal["topic", "disk"]) -> None:
        before = self._answering.served
        self._answering.swap(served, read_at_ms)
        self._source = source
        if before is not None and before.manifest == served.manifest:
            return
        name, version, digest = served.rule_set
        RULES_VERSION.labels(name).set(version)
        counts = {"rules": served.rules, "lists": served.lists}
        _log.info("rules.swapped", set=name, version=version, digest=digest, source=source, **counts)

    async def _without_manifest(self, *, withdrawn: bool) -> None:
        """Forget a set that was withdrawn; go on with one that the topic merely does not hold."""
        served = self._answering.served
        if served is None:
            return
        if withdrawn:
            self._answering.served, self._source, self._missing, self._rejected = None, None, False, None
            RULES_VERSION.labels(self._set_name).set(0)
            _log.warning("rules.withdrawn", set=self._set_name, version=served.rule_set.version)
            await self._keeper.remove()
        elif not self._missing:
            self._missing = True
            _log.warning("rules.manifest_missing", set=self._set_name, serving=served.rule_set.version)

    def _reject(self, rejected: Rejected) -> None:
        """Tell, once, that a manifest is not served."""
        problems = tuple(one for one in rejected.problems if isinstance(one, Problem))
        if self._rejected is not None and self._rejected[:2] == (rejected.version, problems):
            return
        self._rejected = Rejection(rejected.version, problems, self._now_ms())
        RULES_REJECTED.inc()
        serving = self._answering.served.rule_set.version if self._answering.served else None
        said = [str(one) for one in problems[:_PROBLEMS_LOGGED]]
        _log.error(
            "rules.rejected", set=self._set_name, version=rejected.version, serving=serving, problems=said
        )

    async def _note_seen(self, *, now: bool = False) -> None:
        """Note how fresh the kept set is; without a set nothing is kept."""
        if self._answering.served is not None:
            await self._keeper.note_seen(self._snapshot(), now=now)

    def _snapshot(self) -> Snapshot:
        served = self._answering.served
        manifest, records = (served.manifest, served.records) if served else (b"", {})
        return Snapshot(self._set_name, self._log_id, self._answering.read_at_ms, manifest, records)

    def _find(self) -> None:
        """Tell, once, that the topic is being read (again)."""
        self._restored = True
        self._answering.without = "rejected" if self._rejected else "no_rules"
        self._backoff.reset()
        if not self._connected:
            self._connected, self._lost_because = True, None
            version = self._answering.served.rule_set.version if self._answering.served else None
            _log.info("rules.connected", set=self._set_name, log=self._log_id, serving=version)

    def _lose(self, error: LogError) -> None:
        """Tell, once, that the topic cannot be read."""
        if self._connected or self._lost_because is None:
            _log.warning("rules.disconnected", set=self._set_name, error=str(error))
        self._connected, self._lost_because = False, str(error)
        self._report()

    def _report(self) -> None:
        """Say what happened where nothing may be said: in decisions, and while folding."""
        if self._answering.served is not None:
            RULES_AGE_SECONDS.set(self._answering.staleness_ms(self._now_ms()) / 1000)
        errors, bad = self._answering.errors, self._state.bad_count
        if errors > self._told_errors:
            _log.error("rule.failed", decisions=errors - self._told_errors, error=self._answering.last_error)
        if bad > self._told_bad:
            last = self._state.bad[-1]
            _log.warning("rules.records_passed_over", count=bad - self._told_bad, last=last._asdict())
        self._told_errors, self._told_bad = errors, bad

    def status(self) -> RulesStatus:
        """Return what is served, how fresh it is, and what was refused."""
        served = self._answering.served
        return RulesStatus(
            set_name=self._set_name,
            rule_set=served.rule_set if served else None,
            source=self._source,
            rules=served.rules if served else 0,
            lists=served.lists if served else 0,
            staleness_seconds=self._answering.staleness_ms(self._now_ms()) / 1000 if served else None,
            ready=self.is_ready(),
            connected=self._connected,
            disconnected_because=self._lost_because,
            missing=self._missing,
            rejected=self._rejected,
            bad_records=self._state.bad_count,
            last_bad_records=tuple(self._state.bad),
            errors=self._answering.errors,
            last_error=self._answering.last_error,
            disk_problem=self._keeper.problem,
            fallback=self._answering.fallback,
        )
