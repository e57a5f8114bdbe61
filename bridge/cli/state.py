"""The settings in effect for this command line, and the logs and stores they lead to."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bridge.cli.chosen import chosen_file
from bridge.config import Settings, load_settings
from bridge.log.base import Log
from bridge.main.opening import open_log, open_store
from bridge.telemetry import configure_logging
from consumers.store.base import Store

Result = TypeVar("Result")


def settings(**overrides: Any) -> Settings:
    """Return the settings in effect and set logging up by them. Raises ConfigurationError."""
    read = load_settings(chosen_file(), **overrides)
    configure_logging(read.log.level, read.log.style)
    return read


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run one command's work to its end."""
    return asyncio.run(work)


@asynccontextmanager
async def the_log(read: Settings) -> AsyncIterator[Log]:
    """Open the log for one command, beside whatever else runs, and close it."""
    log = open_log(read)
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def the_store(read: Settings) -> AsyncIterator[Store]:
    """Open the store for one command and close it. Raises StoreUnavailable."""
    store = open_store(read)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
