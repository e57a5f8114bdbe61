"""Metrics of several processes as one exposition: what supervises workers answers with it.

Counters and histograms are summed, and go on from where they stood when a process ended: a sum that fell
would read as a restart of everything. Each gauge is taken as ``bridge.telemetry.ACROSS`` declares, over the
processes that run.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bridge.telemetry import ACROSS, Across

_WAYS: Final[Mapping[Across, Callable[[float, float], float]]] = {
    "sum": lambda one, other: one + other,
    "max": max,
    "min": min,
}
_GROWING: Final = ("counter", "histogram")
_CREATED: Final = "_created"


class Sample(NamedTuple):
    """What tells a sample from every other: its name and its labels."""

    name: str
    labels: tuple[tuple[str, str], ...]


class Family(NamedTuple):
    """One metric with all its samples, in the order they were told."""

    name: str
    says: str
    kind: str
    samples: dict[Sample, float]

    @property
    def grows(self) -> bool:
        """Whether the metric counts: what a process counted stays counted when it is gone."""
        return self.kind in _GROWING


Families = Mapping[str, Family]


def read(exposition: str) -> Families:
    """Return the metrics of one exposition by name. Raises ValueError."""
    return {
        family.name: Family(
            family.name,
            family.documentation,
            family.type,
            {Sample(sample.name, tuple(sample.labels.items())): sample.value for sample in family.samples},
        )
        for family in text_string_to_metric_families(exposition)
    }


def merge(told: Iterable[Families]) -> Families:
    """Return the metrics of several processes as those of one."""
    merged: dict[str, Family] = {}
    for families in told:
        for family in families.values():
            into = merged.setdefault(family.name, family._replace(samples={}))
            way = _way(family)
            for sample, value in family.samples.items():
                into.samples[sample] = way(into.samples[sample], value) if sample in into.samples else value
    return merged


def write(families: Families) -> bytes:
    """Return the metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Told(families))
    return generate_latest(registry)


class Merging:
    """What each process told last, and what those that ended had counted."""

    def __init__(self) -> None:
        self._told: dict[str, Families] = {}
        self._ended: Families = {}

    def told(self, process: str, exposition: str) -> None:
        """Take what a process tells in place of what it told before. Raises ValueError."""
        self._told[process] = read(exposition)

    def ended(self, process: str) -> None:
        """Keep what a process had counted: it is gone, and its successor counts from zero."""
        last = self._told.pop(process, {})
        counted = {name: family for name, family in last.items() if family.grows}
        self._ended = merge((self._ended, counted))

    def exposition(self) -> bytes:
        """Return all of it as the metrics of one process."""
        return write(merge((self._ended, *self._told.values())))


class _Told(Collector):
    """Hands families to the library's own writer."""

    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families.values():
            metric = Metric(family.name, family.says, family.kind)
            for sample, value in family.samples.items():
                metric.add_sample(sample.name, dict(sample.labels), value)
            yield metric


def _way(family: Family) -> Callable[[float, float], float]:
    """Return how two values of the metric become one. Raises KeyError for a gauge nobody declared."""
    if family.grows:
        return _WAYS["sum"]
    if family.name.endswith(_CREATED):  # when a counter began: the library tells it as a gauge
        return _WAYS["min"]
    return _WAYS[ACROSS[family.name]]
