"""The loop of a process: what nobody waited for is said in the log, like everything else."""

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from bridge.main.loops import run_loop


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
