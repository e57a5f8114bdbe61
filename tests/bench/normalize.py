"""How long a callback takes from body to encoded envelope, by row. Run: python -m tests.bench.normalize."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator

import orjson
from rich.console import Console

from bridge.log.base import record_of
from schemas.callback import Callback
from schemas.catalog import Catalog, CommandSpec
from schemas.normalize.lossless import read_json
from tests.bench.report import Report, Table, show

ROUNDS, CALLS, SLOWEST = 15, 100, 10
MOMENT = 1_771_000_000_000 << 16
QUERY = {"SdkAppid": "1400000000", "contenttype": "json", "ClientIP": "127.0.0.1", "OptPlatform": "RESTAPI"}


def measure() -> Report:
    """Return the microseconds of every row's example: parsed, normalized, written as a record."""
    rows = sorted(
        ((_microseconds(spec), spec) for spec in Catalog.load()), key=lambda row: row[0], reverse=True
    )
    after = [took for took, spec in rows if spec.phase == "after"]
    before = [took for took, spec in rows if spec.phase == "before"]
    slowest = [(spec.name, spec.phase, f"{took:.1f}") for took, spec in rows[:SLOWEST]]
    middle = [
        (phase, str(len(some)), f"{statistics.median(some):.1f}", f"{max(some):.1f}")
        for phase, some in (("after", after), ("before", before))
    ]
    return Report(
        "normalize",
        [
            Table("From body to encoded envelope, us", ("phase", "rows", "median", "slowest"), middle),
            Table(f"The slowest {SLOWEST}", ("command", "phase", "us"), slowest),
        ],
        ["The body is each row's example; a question ends at what is asked: its event is written later."],
        {spec.name: took for took, spec in rows},
    )


def _microseconds(spec: CommandSpec) -> float:
    """Return the time of one callback: the best of several rounds, since others use the machine as well."""
    body = orjson.dumps(spec.row.example)
    run = _asking(spec, body) if spec.phase == "before" else _telling(spec, body)
    run()
    gc.disable()
    try:
        return min(_rounds(run))
    finally:
        gc.enable()


def _rounds(run: Callable[[], object]) -> Iterator[float]:
    for _ in range(ROUNDS):
        since = time.perf_counter()
        for _ in range(CALLS):
            run()
        yield (time.perf_counter() - since) / CALLS * 1e6


def _telling(spec: CommandSpec, body: bytes) -> Callable[[], object]:
    query = {**QUERY, "CallbackCommand": spec.name}

    def run() -> None:
        made = Callback(spec.provider, "1400000000", spec.name, query, "op", body, read_json(body), MOMENT)
        for envelope in spec.normalize(made):
            record_of(spec.topic, envelope, made.received_ms)

    return run


def _asking(spec: CommandSpec, body: bytes) -> Callable[[], object]:
    query = {**QUERY, "CallbackCommand": spec.name}

    def run() -> None:
        made = Callback(spec.provider, "1400000000", spec.name, query, "op", body, read_json(body), MOMENT)
        spec.question(made)

    return run


if __name__ == "__main__":
    show(measure(), Console())
