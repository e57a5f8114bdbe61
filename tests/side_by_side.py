"""Under ``pytest -n``: files run side by side; those that hold times against each other follow, alone."""

import fcntl
import os
from collections.abc import Generator
from typing import Any

import pytest

ALONE = tuple(f"tests/faults/test_{name}.py" for name in ("hostile", "outage", "overload", "sigterm"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, so that one makes what a file's tests share, in the order collected."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "alone" if nodeid.startswith(ALONE) else str(super()._split_scope(nodeid))

    config.option.loadscopereorder = False
    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those last that run alone."""
    items.sort(key=lambda item: item.nodeid.startswith(ALONE))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around the test's own time limit
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that runs alone begin when no other is running, in whichever process."""
    if "PYTEST_XDIST_TESTRUNUID" not in os.environ:
        return (yield)
    how = fcntl.LOCK_EX if item.nodeid.startswith(ALONE) else fcntl.LOCK_SH
    place = item.config.rootpath / "build" / "alone.lock"
    place.parent.mkdir(exist_ok=True)
    with place.open("w") as lock:
        fcntl.flock(lock, how)
        return (yield)
