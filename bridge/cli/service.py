"""``imbridge run | ingress | relay | consume``: the process itself, whole or by role."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.banner import banner
from bridge.cli.emptying import empty
from bridge.cli.state import settings
from bridge.config import Settings
from bridge.errors import UsageError
from bridge.main.loops import run_loop
from bridge.main.service import ALL_ROLES, Role, Service, Started
from bridge.main.workers.supervisor import Supervisor
from schemas.catalog import Catalog

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no banner; log lines only.")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes that take callbacks in on the one port, a journal each; one more does the rest. "
        "0: one process for everything.",
        show_default="for run over Kafka 1, else 0",
    ),
]


def run_all(quiet: Quiet = False, workers: Workers = None) -> None:
    """Run the whole bridge: ingress, relay (with Kafka) and projections."""
    _serve(ALL_ROLES, quiet, workers)


def run_ingress(quiet: Quiet = False, workers: Workers = None) -> None:
    """Take callbacks in: acknowledge after-callbacks, decide before-callbacks."""
    _serve(frozenset({Role.INGRESS}), quiet, workers)


def run_relay(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End once every journal is relayed: 0 if so, 1 if not.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="With --until-empty: the data directory to relay.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="With --until-empty: seconds to try for.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="With --until-empty: JSON.")] = False,
) -> None:
    """Move the journals of the data directory to Kafka, for as long as it runs."""
    if until_empty:
        sys.exit(empty(data_dir, timeout, as_json))
    if data_dir is not None or as_json:
        raise UsageError("--data-dir and --json go with --until-empty")
    _serve(frozenset({Role.RELAY}), quiet=True)


def run_consume() -> None:
    """Project the events into the store."""
    _serve(frozenset({Role.CONSUME}), quiet=True)


def _serve(roles: frozenset[Role], quiet: bool, workers: int | None = None) -> None:
    current = settings() if workers is None else settings(ingress={"workers": workers})
    announce = None if quiet else _announce(current)
    count = _workers(roles, current)
    if count:
        sys.exit(asyncio.run(Supervisor(current, roles, count).run(announce)))
    sys.exit(run_loop(Service(current, roles).run(announce)))


def _workers(roles: frozenset[Role], current: Settings) -> int:
    """Return how many processes take callbacks in; 0 when this one does, and everything else too.

    Over Kafka one of its own is worth having: what an outage left behind is caught up with beside it.
    """
    if Role.INGRESS not in roles:
        return 0
    if current.ingress.workers is None:
        return 1 if roles == ALL_ROLES and not current.embedded else 0
    return current.ingress.workers


def _announce(current: Settings) -> Callable[[Started], None]:
    def print_banner(started: Started) -> None:
        typer.echo(banner(current, started, Catalog.load()))

    return print_banner
