"""The ingress as one component: made of plain values, started, drained, stopped."""

import socket
from collections.abc import Collection, Mapping, Sequence

from bridge import telemetry
from bridge.ingress.after import AfterPath
from bridge.ingress.before import BeforePath, Decider, Fallback
from bridge.ingress.dispatch import Dispatch
from bridge.ingress.heads import Heads
from bridge.ingress.limits import Limits
from bridge.ingress.places import Places
from bridge.ingress.replay_guard import ReplayGuard
from bridge.ingress.routes import Routes
from bridge.ingress.server import CallbackServer
from bridge.ingress.sources import SourceGate
from bridge.ingress.state import IngressState, IngressStatus
from bridge.ingress.tally import Tally
from bridge.ingress.turns import Turns
from bridge.log.base import Journal
from bridge.log.clock import HybridClock
from bridge.providers.base import Provider
from schemas.catalog import Catalog


class Ingress:
    """Answers callbacks over HTTP. Make and use it within one event loop.

    Without a ``journal`` questions are answered and after-callbacks refused; one can be given later with
    ``use_journal``. ``fallback`` answers questions that cannot be read or decided. ``max_waiting`` bounds
    the after-callbacks that wait for their turn or the disk: keep it below what the journal's queue takes, so
    that decision events find a place. ``max_connections`` have a place, and ``buffer_bytes`` hold what has
    arrived of requests that are not whole. ``networks`` names those each provider may call from, behind
    ``trusted_hops`` proxies. ``replay_seconds`` is how long a signed callback is known again.
    """

    def __init__(
        self,
        catalog: Catalog,
        providers: Sequence[Provider],
        journal: Journal | None,
        decider: Decider,
        clock: HybridClock,
        *,
        body_bytes: int = 1024 * 1024,
        body_seconds: float = 10.0,
        max_waiting: int = 4096,
        journal_seconds: float = 5.0,
        keepalive_seconds: float = 620.0,
        max_connections: int = 2048,
        buffer_bytes: int = 128 * 1024 * 1024,
        fallback: Fallback = "allow",
        networks: Mapping[str, Sequence[str]] = {},
        trusted_hops: int = 0,
        replay_seconds: float = 600.0,
    ) -> None:
        log = telemetry.logger("ingress").bind()
        tally = Tally()
        self._state = IngressState(journal)
        before = BeforePath(catalog, decider, self._state, tally, log, fallback=fallback)
        guard = ReplayGuard(seconds=replay_seconds)
        after = AfterPath(catalog, self._state, tally, log, guard, max_waiting=max_waiting)
        sources = SourceGate(networks, trusted_hops=trusted_hops)
        dispatch = Dispatch(catalog, Routes(providers), sources, clock, before, after, tally, log)
        limits = Limits(body_bytes, body_seconds, journal_seconds, keepalive_seconds, buffer_bytes)
        heads = Heads(name for provider in providers for name in provider.varying)
        self._server = CallbackServer(dispatch, limits, Places(max_connections), Turns(self._state), heads)

    async def start(self, host: str, port: int, *, share_port: bool = False) -> tuple[str, int]:
        """Accept connections and return the address as bound (port 0 takes a free one).

        With ``share_port`` other processes may listen on the same port, and the kernel spreads connections.
        Raises ConfigurationError when the address cannot be had.
        """
        address = await self._server.listen(host, port, share_port=share_port)
        self._state.listening = True
        return address

    async def accept_from(self, listening: Collection[socket.socket]) -> None:
        """Accept connections from exactly these listening sockets, which whoever opened them closes."""
        if not self._state.draining:
            await self._server.accept_from(listening)
            self._state.listening = bool(listening)

    def use_journal(self, journal: Journal | None) -> None:
        """Append to this journal from now on; None refuses after-callbacks until there is one."""
        self._state.use(journal)

    def begin_drain(self) -> None:
        """Refuse new after-callbacks, go on answering questions, end connections after their next answer."""
        self._state.draining = True
        self._server.draining = True

    async def stop(self, timeout: float) -> None:
        """Accept nothing more and finish what is in flight, within ``timeout`` seconds; then cut it off."""
        self.begin_drain()
        self._state.listening = False
        await self._server.close(timeout)

    def status(self) -> IngressStatus:
        """Return what operators want to know."""
        return self._state.status()
