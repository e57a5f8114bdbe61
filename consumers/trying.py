"""Trying again what may pass, and the state a runner is in meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bridge.backoff import Backoff
from bridge.errors import ImbridgeError
from bridge.telemetry import CONSUMER_RETRIES, logger
from consumers.status import State

T = TypeVar("T")
_log = logger("consumer")


class Stopping(Exception):
    """Told to stop while something had to be tried again: the batch in hand is left to the next start."""


class Trying:
    """One consumer's state: it changes with a log line, not with every attempt."""

    def __init__(self, consumer: str, backoff: Backoff, now_ms: Callable[[], int]) -> None:
        self.stop = asyncio.Event()
        self.state: State = "starting"
        self.reason: str | None = None
        self.since_ms = now_ms()
        self._consumer = consumer
        self._backoff = backoff
        self._now_ms = now_ms

    async def persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, again and again while it fails in a way that may pass.

        Raises Stopping when it failed and nobody wants it any more, and every error that is not retriable.
        """
        while True:
            try:
                return await work()
            except ImbridgeError as error:
                if not error.retriable:
                    raise
                await self.pause(error)
            if self.stop.is_set():
                raise Stopping

    async def pause(self, error: ImbridgeError) -> None:
        """Wait the next delay, or until told to stop."""
        kind = type(error).__name__
        CONSUMER_RETRIES.labels(self._consumer, kind).inc()
        if self.state != "retrying":
            _log.warning("consumer.interrupted", consumer=self._consumer, error=kind, reason=str(error))
        self._enter("retrying", str(error))
        await self._backoff.pause(self.stop)

    def recovered(self) -> None:
        """Note that it works."""
        self._backoff.reset()
        if self.state != "running":
            self._enter("running")
            _log.info("consumer.running", consumer=self._consumer)

    async def give_up(self, error: ImbridgeError) -> None:
        """Say why nothing more is done, and wait to be told to stop."""
        self._enter("stopped", str(error))
        kind = type(error).__name__
        _log.error("consumer.stopped", consumer=self._consumer, error=kind, reason=str(error))
        await self.stop.wait()

    def ended(self) -> None:
        """Note that it was told to stop and has."""
        self._enter("ended")

    def _enter(self, state: State, reason: str | None = None) -> None:
        if state != self.state:
            self.since_ms = self._now_ms()
        self.state, self.reason = state, reason
