"""Whether a command is one process or a supervisor with workers."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.cli import service
from bridge.config import Settings
from bridge.main.service import Role, Started


class Served:
    """Stands in for what serves; keeps how many workers it was made with."""

    def __init__(self, _: Settings, roles: frozenset[Role], workers: int = 0) -> None:
        self.roles, self.workers = roles, workers
        made.append(self)

    async def run(self, _: Callable[[Started], None] | None) -> int:
        return 0


made: list[Served] = []


@pytest.mark.parametrize(
    ("command", "options", "kafka", "setting", "workers"),
    [
        (service.run_all, {}, "", None, 0),
        (service.run_all, {}, "localhost:9092", None, 1),
        (service.run_all, {}, "localhost:9092", "0", 0),
        (service.run_all, {}, "localhost:9092", "3", 3),
        (service.run_all, {"workers": 0}, "localhost:9092", "3", 0),
        (service.run_all, {"workers": 2}, "", None, 2),
        (service.run_ingress, {}, "localhost:9092", None, 0),
        (service.run_ingress, {"workers": 2}, "localhost:9092", None, 2),
        (service.run_consume, {}, "localhost:9092", "3", 0),
    ],
)
def test_run_over_kafka_has_a_worker_unless_told_else(
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., None],
    options: dict[str, Any],
    kafka: str,
    setting: str | None,
    workers: int,
) -> None:
    monkeypatch.setenv("IMBRIDGE_KAFKA__BOOTSTRAP_SERVERS", kafka)
    if setting is not None:
        monkeypatch.setenv("IMBRIDGE_INGRESS__WORKERS", setting)
    monkeypatch.setattr(service, "Supervisor", Served)
    monkeypatch.setattr(service, "Service", Served)
    with pytest.raises(SystemExit) as ended:
        command(**options)
    assert (ended.value.code, made.pop().workers) == (0, workers)
    assert not made
