"""Runs the work of a process on the fastest event loop there is."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run the work to its end on uvloop where it is installed; return what it returns."""
    try:
        import uvloop  # noqa: PLC0415 an extra speed that not every platform has
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
