"""The running process: parts started in order, watched, stopped in reverse under one deadline."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridge.config import Settings
from bridge.ingress.ingress import Ingress
from bridge.log.base import Log
from bridge.log.clock import HybridClock
from bridge.log.segments import SegmentLog
from bridge.main.doors import refuse_open_doors
from bridge.main.journal import JournalKeeper
from bridge.main.lookout import Lookout, Probe
from bridge.main.loops import settle_collector
from bridge.main.opening import open_ingress, open_log, open_rules, open_store
from bridge.main.orphans import Orphans
from bridge.main.parts import ingress_parts, rules_part
from bridge.main.relaying import Relaying
from bridge.main.units import Deadline, Running
from bridge.main.urls import url_of
from bridge.ops.server import OpsServer, Part
from bridge.telemetry import logger
from consumers.rules import RulesConsumer
from consumers.store.base import Store
from schemas.catalog import Catalog
from schemas.topics import OPS

if TYPE_CHECKING:
    from bridge.main.projecting import Projecting

_log = logger("process")
_CLOSE_SECONDS: Final = 5.0
_READY_POLL_SECONDS: Final = 0.02


class Role(StrEnum):
    """What a process does."""

    INGRESS = "ingress"
    RELAY = "relay"
    CONSUME = "consume"


ALL_ROLES: Final = frozenset(Role)


class Started(NamedTuple):
    """Addresses in effect, and which rules answer; ``ingress`` is empty without that role."""

    ingress: str
    ops: str
    rules: str


class _Says(NamedTuple):
    """How a process calls itself in the log."""

    started: str
    failed: str
    stopped: str


_SERVICE: Final = _Says("service.started", "service.failed", "service.stopped")
_WORKER: Final = _Says("worker.started", "worker.failed", "worker.stopped")


class Placement(NamedTuple):
    """Where a supervised process stands: sockets it accepts from at first, where its supervisor asks."""

    sockets: Collection[socket.socket]
    ops_path: Path


class Service:
    """One process with the given roles, made and run on one event loop.

    With a ``placement`` it opens no port: it is one of several under a supervisor.
    """

    def __init__(
        self, settings: Settings, roles: frozenset[Role], placement: Placement | None = None
    ) -> None:
        self.catalog = Catalog.load()
        self._settings, self._roles, self._placement = settings, roles, placement
        self._says = _SERVICE if placement is None else _WORKER
        self._drain_seconds = settings.drain_seconds
        self._clock = HybridClock()
        self._log: Log | None = None
        self._store = open_store(settings) if Role.CONSUME in roles else None
        self._started = self._draining = self._is_listening = False
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._accepting = asyncio.Lock()
        self._journal: JournalKeeper | None = None
        self._ingress: Ingress | None = None
        self._rules: RulesConsumer | None = None
        self._relaying: Relaying | None = None
        self._projecting: Projecting | None = None
        self._lookout: Lookout | None = None

    async def run(self, announce: Callable[[Started], None] | None = None) -> int:
        """Start, serve until a signal, ``stop`` or a failure, stop; return 0 after an orderly stop, else 1.

        Raises ConfigurationError (address in use, driver missing, open door) with nothing left running.
        """
        if Role.INGRESS in self._roles:
            for door in refuse_open_doors(self._settings):
                _log.warning("door.left_open", provider=door.name, remedy=f"set {door.settings}")
        running = Running()
        ops = OpsServer(self.parts)
        failure: BaseException | None = None
        self._catch_signals()
        try:
            started = await self._start(running, await self._open_ops(ops))
            _log.info(self._says.started, roles=sorted(self._roles), **started._asdict())
            self._started = True
            settle_collector()  # what the start made stays, too
            if announce:
                announce(started)
            failure = await self._until_over(running)
        finally:
            left = await self._shut_down(running)
            await ops.stop()
        if failure is not None:
            _log.error(self._says.failed, reason=str(failure), kind=type(failure).__name__)
        _log.info(self._says.stopped, unfinished=left)
        return 1 if failure is not None or left else 0

    def stop(self, seconds: float | None = None) -> None:
        """Ask for an orderly stop, within ``seconds`` where that is sooner than ``drain_seconds``."""
        if seconds is not None:
            self._drain_seconds = min(self._drain_seconds, seconds)
        self._stopping.set()

    def hurry(self) -> None:
        """Ask for an end at once: what is unfinished is cut short."""
        self._stopping.set()
        self._hurry.set()

    async def accept_from(self, sockets: Collection[socket.socket]) -> None:
        """Accept callbacks from exactly these listening sockets."""
        if self._placement is not None:
            self._placement = self._placement._replace(sockets=sockets)
            if self._ingress is not None and self._is_listening:
                await self._accept(self._ingress, self._placement)

    async def _accept(self, ingress: Ingress, placement: Placement) -> None:
        async with self._accepting:  # the sockets told last stay the ones
            await ingress.accept_from((self._placement or placement).sockets)

    async def _open_ops(self, ops: OpsServer) -> str:
        if self._placement is None:
            return url_of(*await ops.start(self._settings.ops.host, self._settings.ops.port))
        await ops.start_at(self._placement.ops_path)
        return str(self._placement.ops_path)

    def parts(self) -> Mapping[str, Part]:
        """Return how every part of the process is doing."""
        parts: dict[str, Part] = {}
        if not self._started:
            parts["process"] = Part(False, "starting", gates=True)
        if self._draining:
            parts["process"] = Part(False, "stopping: finishing what is in flight", gates=True)
        if self._journal is not None and self._ingress is not None:
            parts |= ingress_parts(self._journal, self._ingress)
        if self._rules is not None:
            parts["rules"] = rules_part(self._rules)
        for unit in (self._lookout, self._relaying, self._projecting):
            parts |= unit.parts() if unit is not None else {}
        return parts

    async def _start(self, running: Running, ops: str) -> Started:
        rules, at = "", ""
        with suppress(OSError):  # whoever cannot use it says so, and goes on trying
            self._settings.data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        if Role.INGRESS in self._roles:
            self._journal = JournalKeeper(self._settings, self._clock, self._use)
            await self._journal.try_open()
        self._log = log = open_log(self._settings, self._own_journal())
        if self._journal is not None:
            rules, at = await self._start_ingress(running, log, self._journal)
        if self._roles & {Role.INGRESS, Role.RELAY}:
            running.start("orphans", Orphans(self._settings))
        self._lookout = Lookout(self._probes(log))
        running.start("lookout", self._lookout)
        if Role.RELAY in self._roles:
            shared = Role.INGRESS in self._roles
            self._relaying = Relaying(self._settings, log, self._own_journal, shared=shared)
            running.start("relay", self._relaying)
        if self._store is not None:
            self._projecting = self._start_projecting(running, log, self._store)
        return Started(at, ops, rules)

    def _start_projecting(self, running: Running, log: Log, store: Store) -> "Projecting":
        from bridge.main.projecting import Projecting  # noqa: PLC0415 - SQL is for processes with a store alone

        owner = f"{socket.gethostname()}:{os.getpid()}"
        projecting = Projecting(self._settings, log, store, owner)
        running.start("projections", projecting)
        return projecting

    async def _start_ingress(self, running: Running, log: Log, keeper: JournalKeeper) -> tuple[str, str]:
        self._rules = open_rules(self._settings, log)
        running.start("rules", self._rules)
        self._ingress = open_ingress(self._settings, self.catalog, self._rules, self._clock)
        if keeper.journal is not None:
            self._use(keeper.journal)
        running.start("journal", keeper)
        at = await self._listen(self._ingress)
        await self._rules_settled(self._rules)
        return rules_part(self._rules).says, at

    async def _listen(self, ingress: Ingress) -> str:
        self._is_listening = True
        if self._placement is not None:
            await self._accept(ingress, self._placement)
            return ""
        listen = self._settings.ingress
        return url_of(*await ingress.start(listen.host, listen.port, share_port=listen.share_port))

    def _use(self, journal: SegmentLog) -> None:
        if self._ingress is not None:
            self._ingress.use_journal(journal)

    def _probes(self, log: Log) -> dict[str, Probe]:
        probes: dict[str, Probe] = {}
        if not self._settings.embedded:
            probes["kafka"] = lambda: log.bounds(OPS)
        if self._store is not None:
            probes["store"] = partial(_ask, self._store)
        return probes

    def _own_journal(self) -> SegmentLog | None:
        return self._journal.journal if self._journal is not None else None

    async def _rules_settled(self, rules: RulesConsumer) -> None:
        """Wait a moment for the rules, so that what is announced is what answers; the socket is open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(2.0, self._settings.rules.grace_seconds)):
                while not rules.is_ready():  # noqa: ASYNC110 a start-up courtesy, not a way of waiting
                    await asyncio.sleep(_READY_POLL_SECONDS)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError, ValueError):  # no main thread: an embedding test stops by call
                loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        """Stop in order; supervised, the supervisor hurries, and no signal that reaches both does."""
        if self._stopping.is_set() and self._placement is None:
            self.hurry()
        self.stop()

    async def _until_over(self, running: Running) -> BaseException | None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        over: set[asyncio.Future[Any]] = {stopping, running.failed}
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return running.failed.result() if running.failed.done() else None

    async def _shut_down(self, running: Running) -> list[str]:
        """Stop everything within the deadline, at once after a second signal; return what was cut short."""
        self._draining = True
        self._stopping.set()
        reserve = min(_CLOSE_SECONDS, self._drain_seconds / 4)
        deadline = Deadline(self._drain_seconds - reserve, self._hurry)
        if self._ingress is not None:
            await deadline.grant(self._ingress.stop(deadline.remaining))
        left = await running.stop(deadline)
        if self._journal is not None:
            await self._journal.close(max(deadline.remaining, _CLOSE_SECONDS))
        if self._log is not None:
            await self._log.close()
        if self._store is not None:
            await self._store.close()
        return left


async def _ask(store: Store) -> None:
    await store.open()
    await store.checkpoints()
