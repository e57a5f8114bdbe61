"""``imbridge simulate``: plays a vendor's sender against an ingress, and says what it met."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.output import complain, print_json, print_line, print_table, progress
from bridge.errors import UsageError
from bridge.main.loops import run_loop
from bridge.simulate.mix import choose, read_mix
from bridge.simulate.openim import TIMEOUT_SECONDS
from bridge.simulate.simulator import Options, Simulator, Vendor, check_target
from bridge.telemetry import configure_logging
from schemas.catalog import Catalog

_APP = "1400000000"
_LOOK_SECONDS = 0.2
_SHARE = {"min": 0.0, "max": 1.0}


def simulate(
    vendor: Annotated[Vendor, typer.Argument(help="Whose sender to play.")],
    url: Annotated[str, typer.Option(help="The root of the ingress, http://127.0.0.1:8080.")],
    rate: Annotated[
        float, typer.Option(min=0.01, help="Callbacks a second that fall due, all together.")
    ] = 50,
    seconds: Annotated[float, typer.Option(min=0.1, help="For how long.")] = 10,
    services: Annotated[int, typer.Option(min=1, help="OpenIM: server processes side by side.")] = 1,
    connections: Annotated[int, typer.Option(min=1, help="Tencent: most callbacks under way at once.")] = 64,
    mix: Annotated[Path | None, typer.Option(help="Weights by command name, TOML or JSON.")] = None,
    before: Annotated[
        float | None, typer.Option(**_SHARE, help="Share of questions; 0.1 without a mix.")
    ] = None,
    ledger: Annotated[Path | None, typer.Option(help="Append what is acknowledged here, for verify.")] = None,
    seed: Annotated[int | None, typer.Option(help="Meet the same course of callbacks again.")] = None,
    identical: Annotated[
        float, typer.Option(**_SHARE, help="Share with a genuine twin, byte for byte.")
    ] = 0.0,
    repeat: Annotated[float, typer.Option(**_SHARE, help="Share that the vendor sends twice.")] = 0.0,
    repeat_on_timeout: Annotated[
        bool, typer.Option("--repeat-on-timeout", help="Tencent: repeat after-callbacks that time out.")
    ] = False,
    request_ids: Annotated[
        bool, typer.Option("--request-ids", help="Tencent: name each callback in the URL (RequestID).")
    ] = False,
    token: Annotated[str, typer.Option(help="Tencent: sign with this token.", envvar="SIMULATE_TOKEN")] = "",
    app: Annotated[str, typer.Option(help=f"Tencent: the SdkAppid; {_APP} if not given.")] = "",
    path_secret: Annotated[
        str, typer.Option(help="OpenIM: the secret in the path.", envvar="SIMULATE_PATH_SECRET")
    ] = "",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=15, help="OpenIM: seconds a callback may take (webhooks.yml).")
    ] = TIMEOUT_SECONDS,
    path: Annotated[str | None, typer.Option(help="The vendor's base path; /tencent, /openim.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="The target may be another machine than this one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: the report as JSON.")] = False,
) -> None:
    """Send callbacks as a vendor does, at a rate that no slow answer lowers, and report what it met.

    Ends after --seconds, or with SIGINT or SIGTERM, with its report. Groups are of skewed popularity; members
    join, change and leave, groups are created, messages sent, invitations asked for. Each callback carries a
    marker in its body, by which `imbridge verify` finds it again.
    """
    configure_logging()
    options = Options(
        vendor=vendor,
        url=check_target(url, allow_remote=allow_remote),
        path="/" + (vendor if path is None else path).strip("/"),
        weighted=choose(Catalog.load(), vendor, None if mix is None else read_mix(mix), before),
        rate=rate,
        seconds=seconds,
        seed=random.SystemRandom().randrange(1 << 32) if seed is None else seed,
        app=app or _APP,
        ledger=ledger,
        identical=identical,
        repeat=repeat,
        connections=connections,
        token=token,
        repeat_on_timeout=repeat_on_timeout,
        request_ids=request_ids,
        services=services,
        secret=path_secret,
        timeout=timeout,
    )
    _check(options)
    report = run_loop(_play(options, shows_progress=not as_json))
    print_json(report) if as_json else _show(report)


def _check(options: Options) -> None:
    """Refuse what the vendor does not do. Raises UsageError."""
    tencent = {
        "--repeat-on-timeout": options.repeat_on_timeout,
        "--request-ids": options.request_ids,
        "--token": options.token,
    }
    openim = {"--path-secret": options.secret, "--services": options.services > 1}
    foreign = [name for name, set_ in (openim if options.vendor == "tencent" else tencent).items() if set_]
    if foreign:
        raise UsageError(f"{', '.join(foreign)}: not something {options.vendor} does")


async def _play(options: Options, *, shows_progress: bool) -> dict[str, Any]:
    simulator = Simulator(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, simulator.stop)
    playing = asyncio.ensure_future(simulator.run())
    if shows_progress:
        await _watch(simulator, options, playing)
    return await playing


async def _watch(simulator: Simulator, options: Options, playing: "asyncio.Future[Any]") -> None:
    """Show how far it is until it is done."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with progress() as bar:
        task = bar.add_task(options.vendor, total=options.seconds)
        while not playing.done():
            counts = ", ".join(f"{simulator.tally.total(name)} {name}" for name in _SHOWN)
            bar.update(task, completed=loop.time() - begun, description=f"{options.vendor}: {counts}")
            await asyncio.wait((playing,), timeout=_LOOK_SECONDS)


_SHOWN = ("sent", "accepted", "refused", "lost", "failed", "illegal", "late")


def _show(report: dict[str, Any]) -> None:
    columns = ("", *_SHOWN, "p50 ms", "p95 ms", "p99 ms", "max ms")
    rows = []
    for phase in ("after", "before"):
        times = report["latency_ms"][phase]
        counts = [report[phase][name] for name in _SHOWN]
        rows.append((phase, *counts, *(f"{times[key]:.1f}" for key in ("p50", "p95", "p99", "max"))))
    print_table(f"{report['provider']}, {report['seconds']:.0f} s, seed {report['seed']}", columns, rows)
    print_line(
        f"{report['repeats']} repeats, {report['identical']} twins with the same bytes, "
        f"{report['behind'] + report['unsent']} fell due and were never sent"
    )
    for outcome, examples in {"illegal": report["examples"], **report["complaints"]}.items():
        for example in examples[:1]:
            complain(f"{outcome}, for example: {example['command']} {example['marker']}: {example['why']}")
