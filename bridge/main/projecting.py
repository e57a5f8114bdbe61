"""Keeps the projections going: one runner for each that the settings name, all over one store."""

import asyncio
from collections.abc import Mapping, Sequence

from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.log.base import Log
from bridge.main.units import awaited
from bridge.ops.server import Part
from consumers.projections.base import Projection
from consumers.projections.known import PROJECTIONS
from consumers.runner import Runner
from consumers.status import RunnerStatus
from consumers.store.base import Store


class Projecting:
    """Runs the projections named in the settings. Raises ConfigurationError for an unknown name."""

    def __init__(self, settings: Settings, log: Log, store: Store, owner: str) -> None:
        consume = settings.consumers
        self._runners: Sequence[Runner] = [
            Runner(
                log,
                store,
                _known(name),
                dead_letters=log,
                owner=owner,
                batch_records=consume.batch_records,
                on_gap=consume.on_gap,
                max_parked_per_minute=consume.max_parked_per_minute,
            )
            for name in consume.projections
        ]

    async def run(self) -> None:
        """Run every projection until stopped."""
        async with asyncio.TaskGroup() as tasks:
            for runner in self._runners:
                tasks.create_task(awaited(f"projection {runner.status().name}", runner.run()))

    def stop(self) -> None:
        """Let every runner finish the batch in hand."""
        for runner in self._runners:
            runner.stop()

    def parts(self) -> Mapping[str, Part]:
        """Return how each projection is doing."""
        return {f"projection {status.name}": _part(status) for status in map(Runner.status, self._runners)}


def _known(name: str) -> Projection:
    if name not in PROJECTIONS:
        raise ConfigurationError(f"consumers.projections names {name!r}; there are {', '.join(PROJECTIONS)}")
    return PROJECTIONS[name]


def _part(status: RunnerStatus) -> Part:
    says = f"{status.state}, {status.lag_records} records and {status.lag_seconds:.1f} s behind"
    if status.reason:
        says += f": {status.reason}"
    details = {"parked": status.parked, "lag_records": status.lag_records, "lag_seconds": status.lag_seconds}
    return Part(status.state in ("starting", "running", "ended"), says, details=details)
