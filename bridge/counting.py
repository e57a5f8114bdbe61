"""Counters and histograms for what happens with every callback: touched by one thread, without a lock.

They hold plain numbers by label and are made into metrics when somebody looks: exact then, and a fifth of the
price of the library's own while nobody does.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class PlainCounter(Collector):
    """Counts by labels. ``name`` ends in ``_total``."""

    def __init__(self, name: str, says: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._says, self._labels = name, says, labels
        self._counts: dict[tuple[str, ...], int] = {}
        registry.register(self)

    def inc(self, *labels: str) -> None:
        """Count one."""
        counts = self._counts
        counts[labels] = counts.get(labels, 0) + 1

    def collect(self) -> Iterable[Metric]:
        """Return what was counted up to now."""
        family = CounterMetricFamily(self._name, self._says, labels=self._labels)
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, count)
        return [family]

    describe = collect


class _Spread:
    """What was observed under one set of labels."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class PlainHistogram(Collector):
    """Counts observations by labels in ``buckets``, the greatest value of each, in order."""

    def __init__(
        self,
        name: str,
        says: str,
        labels: Sequence[str],
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._says, self._labels = name, says, labels
        self._bounds: Final = tuple(buckets)
        self._named = [*(str(float(bound)) for bound in buckets), "+Inf"]
        self._spreads: dict[tuple[str, ...], _Spread] = {}
        registry.register(self)

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        spread = self._spreads.get(labels)
        if spread is None:
            spread = self._spreads[labels] = _Spread(len(self._named))
        spread.counts[bisect_left(self._bounds, value)] += 1
        spread.total += value

    def collect(self) -> Iterable[Metric]:
        """Return what was observed up to now."""
        family = HistogramMetricFamily(self._name, self._says, labels=self._labels)
        for labels, spread in list(self._spreads.items()):
            family.add_metric(
                labels, list(zip(self._named, accumulate(spread.counts), strict=True)), spread.total
            )
        return [family]

    describe = collect
