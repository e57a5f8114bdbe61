"""Metrics of several processes as one, held against what the library's own parser reads."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bridge.ops.merging import Merging, merge, read, write
from bridge.telemetry import ACROSS, REGISTRY


class Process:
    """What one process measures: a counter, a histogram and a gauge of each way."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter("imbridge_calls_total", "Calls", ["outcome"], registry=self.registry)
        self.seconds = Histogram("imbridge_seconds", "Took", registry=self.registry, buckets=(0.1, 1))
        self.full = Gauge("imbridge_full", "Full", registry=self.registry)
        self.waiting = Gauge("imbridge_waiting", "Waiting", registry=self.registry)
        self.version = Gauge("imbridge_version", "Version", ["set"], registry=self.registry)

    def tells(self) -> str:
        return generate_latest(self.registry).decode()


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, way in (("full", "max"), ("waiting", "sum"), ("version", "min")):
        monkeypatch.setitem(ACROSS, f"imbridge_{name}", way)


@pytest.fixture
def processes() -> tuple[Process, Process]:
    return Process(), Process()


def values(exposition: bytes) -> dict[str, float]:
    """Return every sample as the library's parser reads it, by name and labels."""
    return {
        sample.name + "".join(f" {name}={text}" for name, text in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def merged(*processes: Process) -> dict[str, float]:
    return values(write(merge(read(process.tells()) for process in processes)))


def test_counters_are_summed_label_by_label(processes: tuple[Process, Process]) -> None:
    one, two = processes
    one.calls.labels("acked").inc(3)
    two.calls.labels("acked").inc(4)
    two.calls.labels('re"fused\n').inc()
    found = merged(one, two)
    assert found["imbridge_calls_total outcome=acked"] == 7
    assert found['imbridge_calls_total outcome=re"fused\n'] == 1


def test_histograms_are_summed_bucket_by_bucket(processes: tuple[Process, Process]) -> None:
    one, two = processes
    one.seconds.observe(0.05)
    two.seconds.observe(0.5)
    two.seconds.observe(5)
    found = merged(one, two)
    assert [found[f"imbridge_seconds_bucket le={le}"] for le in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert (found["imbridge_seconds_count"], found["imbridge_seconds_sum"]) == (3, 5.55)


def test_gauges_are_taken_as_they_are_declared(processes: tuple[Process, Process]) -> None:
    one, two = processes
    one.full.set(0)
    two.full.set(1)
    one.waiting.set(5)
    two.waiting.set(7)
    one.version.labels("default").set(3)
    two.version.labels("default").set(2)
    found = merged(one, two)
    assert (found["imbridge_full"], found["imbridge_waiting"]) == (1, 12)
    assert found["imbridge_version set=default"] == 2


def test_a_metric_that_only_one_process_has_is_told_as_it_is(processes: tuple[Process, Process]) -> None:
    one, two = processes
    one.version.labels("default").set(3)
    assert merged(one, two)["imbridge_version set=default"] == 3
    assert merged(two, one)["imbridge_version set=default"] == 3


def test_one_process_is_told_as_it_tells_itself(processes: tuple[Process, Process]) -> None:
    one, _ = processes
    one.calls.labels("acked").inc()
    one.seconds.observe(0.5)
    assert write(read(one.tells())).decode() == one.tells()


def test_what_a_process_had_counted_stays_counted_when_it_is_gone(
    processes: tuple[Process, Process],
) -> None:
    one, two = processes
    one.calls.labels("acked").inc(3)
    one.seconds.observe(0.5)
    one.waiting.set(9)
    two.calls.labels("acked").inc(10)
    merging = Merging()
    merging.told("worker 1", one.tells())
    merging.told("worker 2", two.tells())
    merging.ended("worker 1")
    merging.ended("worker 1")  # ended again before it ever told anything
    found = values(merging.exposition())
    assert found["imbridge_calls_total outcome=acked"] == 13
    assert found["imbridge_seconds_count"] == 1
    assert found["imbridge_waiting"] == 0  # of those that run
    successor = Process()
    successor.calls.labels("acked").inc()
    merging.told("worker 1", successor.tells())
    assert values(merging.exposition())["imbridge_calls_total outcome=acked"] == 14


def test_everything_we_measure_can_be_merged_and_every_gauge_is_declared() -> None:
    exposition = generate_latest(REGISTRY).decode()
    assert write(merge([read(exposition), read(exposition)]))
    gauges = {family.name for family in REGISTRY.collect() if family.type == "gauge"}
    assert {name for name in gauges if not name.endswith("_created")} <= set(ACROSS)
