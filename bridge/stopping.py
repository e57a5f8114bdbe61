"""Work that goes on until somebody says stop, and then for a bounded while."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event, seconds: float) -> None:
    """Await the work; once ``stop`` is set for at most ``seconds`` more, then cancel it.

    Nothing of it goes on afterwards. Raises what the work raises.
    """
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((task,), timeout=seconds)
    finally:
        task.cancel()
        stopped.cancel()
        results = await asyncio.gather(task, stopped, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]
