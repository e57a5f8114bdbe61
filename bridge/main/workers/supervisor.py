"""The supervisor: owns the ports for life, keeps the workers going, speaks for all of them.

It takes no callback itself. A worker that dies takes down the connections it had accepted and nothing else:
the listening sockets stay open here, the others accept from its socket until its successor is ready.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from prometheus_client import generate_latest

from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.main.doors import refuse_open_doors
from bridge.main.service import Role, Started
from bridge.main.units import Deadline
from bridge.main.urls import url_of
from bridge.main.workers.child import Child
from bridge.main.workers.listeners import Listener, close_listeners, deal, open_listeners
from bridge.main.workers.orders import Duty
from bridge.ops.merging import Merging
from bridge.ops.server import OpsServer, Part
from bridge.telemetry import REGISTRY, logger

_SCRAPE_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 6.0
_LEAST_SECONDS: Final = 2.0
_OWN_METRICS: Final = ("imbridge_worker_restarts_total",)
_OTHERS: Final = "relay and projections"
_log = logger("supervisor")


class Supervisor:
    """``workers`` processes for the ingress, one for all other roles, as one service."""

    def __init__(self, settings: Settings, roles: frozenset[Role], workers: int) -> None:
        self._settings, self._roles, self._count = settings, roles, workers
        self._workers: dict[int, Child] = {}
        self._others: list[Child] = []
        self._merging = Merging()
        self._started = self._draining = False
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, announce: Callable[[Started], None] | None = None) -> int:
        """Start, serve until a signal or ``stop``, stop; return 0 after an orderly stop of all, else 1.

        Raises ConfigurationError (address in use, open door, settings a process refuses at its start) with
        nothing left running.
        """
        refuse_open_doors(self._settings)
        self._catch_signals()
        with _private_directory() as private:
            async with self._opened() as (listeners, started):
                self._make_children(Path(private), listeners)
                try:
                    return await self._supervise(listeners, started, announce)
                finally:
                    for child in self._children:
                        child.kill()

    def stop(self) -> None:
        """Ask for an orderly stop; a second time asks for a hard one."""
        (self._hurry if self._stopping.is_set() else self._stopping).set()

    def parts(self) -> Mapping[str, Part]:
        """Return how the service is doing, every process's parts included, as seen within the last second.

        Those of several workers are told apart by the worker's name; of one they are named as ever.
        Only ``workers`` gates, and only when no worker is ready: those that are take the callbacks of those
        that are not, so an orchestrator must not remove an instance of which one worker restarts.
        """
        parts: dict[str, Part] = {}
        if self._draining:
            parts["process"] = Part(False, "stopping: finishing what is in flight", gates=True)
        elif not self._started:
            parts["process"] = Part(False, "starting", gates=True)
        ready = [number for number, child in self._workers.items() if child.is_ready]
        says = f"{len(ready)} of {len(self._workers)} take callbacks"
        parts["workers"] = Part(bool(ready), says, gates=True)
        for child in self._children:
            parts[child.name] = child.part()
            prefix = f"{child.name}: " if len(self._workers) > 1 and child not in self._others else ""
            for name, part in (child.look.parts if child.look else {}).items():
                parts[prefix + name] = part._replace(gates=False)
        return parts

    async def metrics(self) -> bytes:
        """Return all metrics as those of one process; a worker that does not answer counts as it last did."""
        own = REGISTRY.restricted_registry(_OWN_METRICS)
        self._merging.told("supervisor", generate_latest(own).decode())
        await self._scrape()
        return self._merging.exposition()

    @property
    def _children(self) -> Sequence[Child]:
        return [*self._workers.values(), *self._others]

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[list[Listener], Started]]:
        """Open the ports; close them at the end."""
        ingress, at = self._settings.ingress, self._settings.ops
        listeners, host, port = open_listeners(
            ingress.host, ingress.port, self._count, shared=ingress.share_port
        )
        ops = OpsServer(self.parts, self.metrics)
        try:
            looked_at = await ops.start(at.host, at.port)
            yield listeners, Started(url_of(host, port), url_of(*looked_at), "")
        finally:
            close_listeners(listeners)
            await ops.stop()

    def _make_children(self, private: Path, listeners: Sequence[Listener]) -> None:
        inherited = {
            number: tuple(sock.fileno() for sock in listener) for number, listener in enumerate(listeners, 1)
        }
        for number in inherited:
            duty = self._duty(f"worker {number}", {Role.INGRESS}, private / f"{number}")
            duty = duty._replace(listeners=inherited, accepts=frozenset({number}))
            self._workers[number] = Child(duty, self._deal, self._merging.ended)
        if others := self._roles - {Role.INGRESS}:
            duty = self._duty(_OTHERS, others, private / "others")
            self._others.append(Child(duty, self._deal, self._merging.ended))

    def _duty(self, name: str, roles: Collection[Role], ops_path: Path) -> Duty:
        return Duty(name, frozenset(roles), self._settings, ops_path, {}, frozenset())

    def _deal(self) -> None:
        """Let those that are ready accept for those that are not.

        Not before each has tried to start: callers that come back after a restart of the whole service would
        all end up with the one that was first.
        """
        if not self._started or self._draining:
            return
        ready = [number for number, child in self._workers.items() if child.is_ready]
        for number, dealt in deal(len(self._workers), ready).items():
            self._workers[number].accept(dealt)

    async def _supervise(
        self,
        listeners: Sequence[Listener],
        started: Started,
        announce: Callable[[Started], None] | None,
    ) -> int:
        tasks = {child: asyncio.create_task(child.run(), name=child.name) for child in self._children}
        scraping = asyncio.create_task(self._keep_scraping())
        stopping = asyncio.create_task(self._stopping.wait())
        begun = asyncio.create_task(self._begin(started, announce))
        try:
            await asyncio.wait((stopping, *tasks.values()), return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in tasks.values() if task.done()]
            close_listeners(listeners)
            left = await self._shut_down(tasks)
        finally:
            for task in (scraping, stopping, begun, *tasks.values()):
                task.cancel()
            await asyncio.gather(scraping, stopping, begun, *tasks.values(), return_exceptions=True)
        for task in failed:
            await task
        return 1 if left else 0

    async def _begin(self, started: Started, announce: Callable[[Started], None] | None) -> None:
        """Say that the service has started, once each process has, or has died trying."""
        for child in self._children:
            await child.tried.wait()
        self._started = True
        self._deal()
        seen = next((child.look for child in self._workers.values() if child.look), None)
        rules = seen.parts["rules"].says if seen and "rules" in seen.parts else "not known yet"
        started = started._replace(rules=rules)
        _log.info(
            "service.started", roles=sorted(self._roles), workers=len(self._workers), **started._asdict()
        )
        if announce:
            announce(started)

    async def _keep_scraping(self) -> None:
        """Know what each process counted lately, so that little of it is forgotten when one is killed."""
        while True:
            await asyncio.sleep(_SCRAPE_SECONDS)
            await self._scrape()

    async def _scrape(self) -> None:
        await asyncio.gather(*(self._ask(child) for child in self._children))

    async def _ask(self, child: Child) -> None:
        """Take what a process counts as soon as it says so: once it is gone that would count twice."""
        exposition = await child.metrics()
        if exposition is not None:
            self._merging.told(child.name, exposition)

    async def _shut_down(self, tasks: Mapping[Child, "asyncio.Task[bool]"]) -> list[str]:
        """Stop the workers, then what moves on what they wrote, under one deadline; return what was left."""
        self._draining = True
        self._stopping.set()
        deadline = Deadline(self._settings.drain_seconds, self._hurry)
        killing = asyncio.get_running_loop().time() + self._settings.drain_seconds + _CLOSE_SECONDS
        left: list[str] = []
        for children in (list(self._workers.values()), self._others):
            left += await self._end({child: tasks[child] for child in children}, deadline, killing)
        _log.info("service.stopped", unfinished=left)
        return left

    async def _end(
        self, tasks: Mapping[Child, "asyncio.Task[bool]"], deadline: Deadline, killing: float
    ) -> list[str]:
        """Stop these processes; those that are not gone some seconds after the deadline are killed."""
        if not tasks:
            return []
        for child in tasks:
            child.stop(deadline.remaining)
        left = max(_LEAST_SECONDS, killing - asyncio.get_running_loop().time())
        await self._until_gone(tasks, left)
        if self._hurry.is_set():
            for child in tasks:
                child.hurry()
            await asyncio.wait(tasks.values(), timeout=_CLOSE_SECONDS)
        for child, task in tasks.items():
            if not task.done():
                child.kill()
        ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
        return [child.name for child, in_order in zip(tasks, ended, strict=True) if in_order is not True]

    async def _until_gone(self, tasks: Mapping[Child, "asyncio.Task[bool]"], seconds: float) -> None:
        """Return when all have ended, when somebody hurries, or after so many seconds."""
        gone = asyncio.ensure_future(asyncio.wait(tasks.values()))
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait((gone, hurry), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (gone, hurry):
            waiting.cancel()
        await asyncio.gather(gone, hurry, return_exceptions=True)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)


def _private_directory() -> TemporaryDirectory[str]:
    """Return a new directory nobody else may enter. Raises ConfigurationError."""
    try:
        return TemporaryDirectory(prefix="imbridge-")
    except OSError as error:
        raise ConfigurationError(
            f"several workers need a directory for temporary files: {error}; set TMPDIR to a writable one"
        ) from error
