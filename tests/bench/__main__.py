"""Runs the named benches, all by default, prints their tables and keeps their figures."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from bridge.telemetry import configure_logging
from tests.bench import ack, before, decide, journal, memory, normalize, projection, relay, workers
from tests.bench.report import Report, keep, show

BENCHES: dict[str, Callable[[], Report]] = {
    "ack": ack.measure,
    "journal": journal.measure,
    "normalize": normalize.measure,
    "decide": decide.measure,
    "before": before.measure,
    "relay": relay.measure,
    "memory": memory.measure,
    "projection": projection.measure,
    "workers": workers.measure,
}
LIMIT_SECONDS = 600


def main() -> None:
    """Run the benches one after the other; what fails ends the command, and all it started."""
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    options.add_argument("--dry", action="store_true", help="print the tables, leave the kept figures alone")
    given = options.parse_args()
    if unknown := set(given.names) - set(BENCHES):
        options.error(f"no bench named {', '.join(sorted(unknown))}: there are {', '.join(BENCHES)}")
    _end_in_time()
    configure_logging("warning")
    console = Console()
    for name in given.names or BENCHES:
        since = time.monotonic()
        with console.status(f"{name} is being measured"):
            report = BENCHES[name]()
        show(report, console)
        kept = "" if given.dry else f", figures in {keep(report).name}"
        console.print(f"{name} took {time.monotonic() - since:.0f} s{kept}\n")


def _end_in_time() -> None:
    """Unwind, ending every process that was started, when told to stop and when it takes too long."""

    def stop(number: int, _: FrameType | None) -> None:
        late = number == signal.SIGALRM
        sys.exit(f"stopped after {LIMIT_SECONDS} s: name single benches" if late else 128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)


if __name__ == "__main__":
    main()
