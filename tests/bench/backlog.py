"""Whether the relay keeps up with a load, and the highest rate at which it does."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.bench.generator import generate
from tests.bench.load import Figures, Load
from tests.bench.servers import Target, wait_until_relayed

_LOOK_SECONDS = 0.2
_SETTLING = 1 / 3  # the first third of a load fills the pipeline
_FLAT = 0.03  # of the answers a second: below that, growth is the noise of batching
_STEPS = 4


@dataclass(frozen=True)
class Backlog:
    """Lag of the relay during one load, as (seconds since its start, records)."""

    samples: list[tuple[float, int]]

    @property
    def highest(self) -> int:
        """The most records that waited."""
        return max((lag for _, lag in self.samples), default=0)

    @property
    def growth_per_second(self) -> float:
        """Records by which the lag grew each second once the load had settled."""
        settled = [sample for sample in self.samples if sample[0] >= self.samples[-1][0] * _SETTLING]
        if len(settled) < 3:
            return 0.0
        return statistics.linear_regression(*zip(*settled, strict=True)).slope

    def is_flat(self, figures: Figures) -> bool:
        """Whether the relay kept up with that many answers."""
        return self.growth_per_second < _FLAT * figures.per_second


def watched(target: Target, load: Load) -> tuple[Figures, Backlog]:
    """Send the load from an empty backlog and look at the lag meanwhile."""
    wait_until_relayed(target)
    samples = []
    with ThreadPoolExecutor(1) as pool:
        since = time.monotonic()
        figures = pool.submit(generate, target.port, next(target.runs), load)
        while not figures.done():
            samples.append((time.monotonic() - since, int(target.metric("relay", "relay_lag_records"))))
            time.sleep(_LOOK_SECONDS)
        return figures.result(), Backlog(samples)


def flat_rate(target: Target, connections: int, seconds: float) -> float | None:
    """Return the highest rate at which the backlog stays flat, to a few percent; None if full speed does."""
    figures, backlog = watched(target, Load(connections, seconds))
    if backlog.is_flat(figures):
        return None
    kept, failed = 0.0, figures.per_second
    rate = failed - backlog.growth_per_second
    for _ in range(_STEPS):
        figures, backlog = watched(target, Load(connections, seconds, rate=rate))
        if backlog.is_flat(figures):
            kept = rate
        else:
            failed = rate
        rate = (max(kept, failed / 2) + failed) / 2
    return kept or failed / 2
