"""``imbridge run | ingress | relay | consume``: the process itself, whole or by role."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from bridge.cli.banner import banner
from bridge.cli.state import settings
from bridge.config import Settings
from bridge.main.service import ALL_ROLES, Role, Service, Started

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no banner; log lines only.")]


def add_to(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command("run")(run_all)
    app.command("ingress")(run_ingress)
    app.command("relay")(run_relay)
    app.command("consume")(run_consume)


def run_all(quiet: Quiet = False) -> None:
    """Run the whole bridge in one process: ingress, relay (with Kafka) and projections."""
    _serve(ALL_ROLES, quiet)


def run_ingress(quiet: Quiet = False) -> None:
    """Take callbacks in: acknowledge after-callbacks, decide before-callbacks."""
    _serve(frozenset({Role.INGRESS}), quiet)


def run_relay() -> None:
    """Move the journals of the data directory to Kafka."""
    _serve(frozenset({Role.RELAY}), quiet=True)


def run_consume() -> None:
    """Project the events into the store."""
    _serve(frozenset({Role.CONSUME}), quiet=True)


def _serve(roles: frozenset[Role], quiet: bool) -> None:
    current = settings()
    service = Service(current, roles)
    sys.exit(run_loop(service.run(None if quiet else _announce(current, service))))


def _announce(current: Settings, service: Service) -> Callable[[Started], None]:
    def print_banner(started: Started) -> None:
        typer.echo(banner(current, started, service.catalog))

    return print_banner


def run_loop(work: Any) -> int:
    """Run the service on uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 an extra speed that not every platform has
    except ImportError:
        return int(asyncio.run(work))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return int(runner.run(work))
