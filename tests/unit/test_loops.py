"""The loop of a process: its turn comes soon, and what nobody waited for is said in the log."""

import asyncio
import gc
import statistics
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bridge.main.loops import run_loop


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Give the tests that follow the interval that was theirs."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_a_thread_that_computes_gives_the_loop_its_turn_sooner_than_python_would() -> None:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(100))

    async def waits() -> float:
        """Return how long the loop typically waits for its turn."""
        taken = []
        for _ in range(100):
            since = time.perf_counter()
            await asyncio.sleep(0.001)
            taken.append(time.perf_counter() - since)
        return statistics.median(taken)

    async def compared() -> tuple[float, float]:
        ours = await waits()
        sys.setswitchinterval(0.005)
        return ours, await waits()

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        ours, pythons = run_loop(compared())
    finally:
        over.set()
        thread.join()
    assert ours < 0.7 * pythons


def test_a_task_nobody_waited_for_is_a_log_line(capfd: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        raise ConnectionError("the broker is gone")

    async def work() -> int:
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        del task
        gc.collect()
        return 7

    with capture_logs() as said:
        assert run_loop(work()) == 7
    assert [line["event"] for line in said] == ["loop.complained"]
    assert said[0]["reason"] == "ConnectionError: the broker is gone"
    assert "Traceback" not in capfd.readouterr().err
