"""Latencies in bounded memory: a histogram with buckets of growing width, after HdrHistogram."""

from typing import Final

_BITS: Final = 6  # 64 buckets for each doubling: a value is known to 1.6 %
_FINE: Final = 1 << _BITS
_MICROSECONDS: Final = 1_000_000


class Latencies:
    """Counts durations; a percentile is at most 1.6 % above the true one, and never below it."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._count = self._max = 0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        value = max(0, round(seconds * _MICROSECONDS))
        bucket = _bucket(value)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._count += 1
        self._max = max(self._max, value)

    def percentile(self, share: float) -> float:
        """Return the duration in milliseconds that a ``share`` of all stays at or below; 0 without any."""
        wanted, seen = share * self._count, 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_upper(bucket), self._max) / 1000
        return 0.0

    def summary(self) -> dict[str, float]:
        """Return p50, p95, p99 and the longest in milliseconds, and how many there were."""
        points = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        found = {name: self.percentile(share) for name, share in points.items()}
        return {**found, "max": self._max / 1000, "count": self._count}


def _bucket(value: int) -> int:
    """Return the bucket of a number of microseconds: below 64 each its own, then 64 to a doubling."""
    shift = max(0, value.bit_length() - _BITS - 1)
    return (shift << _BITS) + (value >> shift)


def _upper(bucket: int) -> int:
    """Return the highest number of microseconds in a bucket."""
    if bucket < _FINE << 1:
        return bucket
    shift = (bucket >> _BITS) - 1
    return ((bucket - (shift << _BITS) + 1) << shift) - 1
