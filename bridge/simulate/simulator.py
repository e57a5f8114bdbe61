"""One run of a vendor's sender: from its options to its report."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from bridge.errors import ImbridgeError, UsageError
from bridge.simulate import openim
from bridge.simulate.ledger import Ledger
from bridge.simulate.markers import new_run
from bridge.simulate.mix import Weighted
from bridge.simulate.openim import OpenIMSender, Service
from bridge.simulate.schedule import Schedule
from bridge.simulate.tally import Tally
from bridge.simulate.tencent import TencentSender
from bridge.simulate.traffic import Traffic
from bridge.simulate.wire import Wire

Vendor = Literal["tencent", "openim"]
DRAIN_SECONDS: Final = 5.0
"""How long OpenIM's queues may go on being sent when a run is over."""


class Options(NamedTuple):
    """What is played. ``url`` is the ingress root, ``path`` the vendor's base path below it.

    ``connections``, ``token``, ``repeat_on_timeout`` and ``request_ids`` are Tencent's, ``services``,
    ``secret`` and ``timeout`` OpenIM's.
    """

    vendor: Vendor
    url: str
    path: str
    weighted: Weighted
    rate: float
    seconds: float
    seed: int
    app: str
    ledger: Path | None
    identical: float
    repeat: float
    connections: int
    token: str
    repeat_on_timeout: bool
    request_ids: bool
    services: int
    secret: str
    timeout: float


def check_target(url: str, *, allow_remote: bool) -> str:
    """Return the root to send to, without a slash at its end. Raises UsageError.

    A machine other than this one is refused unless allowed: this makes load, and events nobody meant.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is no root of an ingress: write http://127.0.0.1:8080")
    if not (allow_remote or _is_loopback(parts.hostname)):
        raise UsageError(
            f"{parts.hostname} is not this machine. A simulator makes load and events nobody meant: "
            "add --allow-remote if that system is yours to try"
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Simulator:
    """One run. ``stop`` may be called from a signal handler; ``tally`` can be looked at meanwhile."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._schedule: Schedule | None = None
        self._stopped = False
        self.run_name = new_run()
        self.tally = Tally()

    def stop(self) -> None:
        """Send nothing new; what is under way is waited for, for no longer than its time-out."""
        self._stopped = True
        if self._schedule is not None:
            self._schedule.stop()

    async def run(self) -> dict[str, Any]:
        """Play to the end and return the report. Raises LedgerUnusable."""
        async with AsyncExitStack() as stack:
            sender = await self._sender(stack)
            self._schedule = schedule = Schedule(self._options.rate, self._options.seconds)
            if self._stopped:
                schedule.stop()
            with _first_of_group():
                await sender.run(schedule)
        report = self.tally.report(self._options.vendor, schedule.elapsed)
        return report | {"behind": schedule.missed(), "run": self.run_name, "seed": self._options.seed}

    async def _sender(self, stack: AsyncExitStack) -> TencentSender | OpenIMSender:
        options, traffic = self._options, self._traffic()
        ledger = await stack.enter_async_context(Ledger(options.ledger)) if options.ledger else None
        url = options.url + options.path
        if options.vendor == "tencent":
            wire = await stack.enter_async_context(Wire(options.connections, self.tally, ledger))
            return TencentSender(
                wire,
                traffic,
                url,
                connections=options.connections,
                token=options.token,
                repeat_on_timeout=options.repeat_on_timeout,
            )
        below = f"{url}/{options.secret}" if options.secret else url
        wires = [Wire(openim.CONNECTIONS, self.tally, ledger) for _ in range(options.services)]
        services = [
            Service(await stack.enter_async_context(wire), self.tally, below, options.timeout)
            for wire in wires
        ]
        return OpenIMSender(services, traffic, self.tally, DRAIN_SECONDS)

    def _traffic(self) -> Traffic:
        options = self._options
        return Traffic(
            options.vendor,
            options.weighted,
            run=self.run_name,
            seed=options.seed,
            app=options.app if options.vendor == "tencent" else "",
            identical=options.identical,
            repeat=options.repeat,
            request_ids=options.request_ids,
        )


@contextmanager
def _first_of_group() -> Iterator[None]:
    """Raise an error of ours that ended a group of tasks as itself, not wrapped in the group's."""
    try:
        yield
    except ExceptionGroup as group:
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        if not isinstance(first, ImbridgeError):
            raise
        raise first from None
