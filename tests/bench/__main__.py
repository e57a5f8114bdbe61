"""Runs the named benches, all by default, prints their tables and keeps their figures."""

import argparse
import time
from collections.abc import Callable

from rich.console import Console

from bridge.telemetry import configure_logging
from tests.bench import ack, decide, journal, projection, relay
from tests.bench.report import Report, keep, show

BENCHES: dict[str, Callable[[], Report]] = {
    "ack": ack.measure,
    "journal": journal.measure,
    "decide": decide.measure,
    "relay": relay.measure,
    "projection": projection.measure,
}


def main() -> None:
    """Run the benches one after the other; what fails ends the command."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    options.add_argument("--dry", action="store_true", help="print the tables, leave the kept figures alone")
    given = options.parse_args()
    if unknown := set(given.names) - set(BENCHES):
        options.error(f"no bench named {', '.join(sorted(unknown))}: there are {', '.join(BENCHES)}")
    configure_logging("warning")
    console = Console()
    for name in given.names or BENCHES:
        since = time.monotonic()
        report = BENCHES[name]()
        show(report, console)
        kept = "" if given.dry else f", figures in {keep(report).name}"
        console.print(f"{name} took {time.monotonic() - since:.0f} s{kept}\n")


if __name__ == "__main__":
    main()
