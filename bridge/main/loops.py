"""Runs the work of a process on the fastest event loop there is."""

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from bridge.telemetry import logger

_log = logger("process")

Result = TypeVar("Result")

_YOUNG: Final = 2_000
"""Containers made before the collector looks at them: few enough to be looked at within a millisecond."""
_SWITCH_SECONDS: Final = 0.001
"""How long a thread that computes (reading the journal, projecting) may keep the loop waiting for its turn.

An acknowledgement changes threads several times: Python's 5 ms each showed while projections caught up.
"""


def run_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the work to its end on uvloop where it is installed; return what it returns.

    What a driver leaves behind of a task nobody waits for is a log line like all others.
    """
    settle_collector()
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_fastest()) as runner:
        runner.get_loop().set_exception_handler(_say)
        return runner.run(work)


def settle_collector() -> None:
    """Never look for garbage again at what is there by now, and at what is new less often than Python would.

    Nothing on the way of a callback makes cycles, and looking took 3 to 5 % of the time of each.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)


def _fastest() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 an extra speed that not every platform has
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _say(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    reason = None if error is None else f"{type(error).__name__}: {error}"
    _log.warning("loop.complained", message=context.get("message"), reason=reason, exc_info=error)
