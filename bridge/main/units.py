"""What a process is made of: units that run until they are stopped, under one deadline."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

from bridge.telemetry import logger

log = logger("process")


class Unit(Protocol):
    """A long-lived part."""

    async def run(self) -> None:
        """Work until ``stop``, then finish what is in hand and return. Cancelling is the hard stop."""

    def stop(self) -> None:
        """Ask the unit to come to its end."""


class Deadline:
    """One deadline for a whole stop; each step takes what remains, nothing once ``hurry`` is set."""

    def __init__(self, seconds: float, hurry: asyncio.Event) -> None:
        self._end = asyncio.get_running_loop().time() + seconds
        self._hurry = hurry

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        left = self._end - asyncio.get_running_loop().time()
        return 0.0 if self._hurry.is_set() else max(0.0, left)

    async def grant(self, *works: Coroutine[Any, Any, None]) -> None:
        """Let the works go on until they are done or nothing remains; then cancel them."""
        await self.grant_tasks({asyncio.ensure_future(work) for work in works})

    async def grant_tasks(self, tasks: set["asyncio.Task[None]"]) -> None:
        """Let the tasks go on until they are done or nothing remains; then cancel them and wait for that."""
        if not tasks:
            return
        done = asyncio.ensure_future(asyncio.wait(tasks))
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({done, hurry}, timeout=self.remaining, return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, done, hurry):
            task.cancel()
        for task in (*tasks, done, hurry):
            with suppress(asyncio.CancelledError, Exception):
                await task


async def awaited(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Await the work of a long-lived part. A cancellation that nobody asked for is raised as RuntimeError.

    A task that lets such a one through (drivers do, from tasks of theirs) is over without a word, and a
    task group goes on as if nothing had happened.
    """
    try:
        await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"{name} was ended by a cancellation that nobody asked for") from error


class Running:
    """Units at work, one task each. ``failed`` gives the error of the first that failed."""

    def __init__(self) -> None:
        self._units: dict[str, tuple[Unit, asyncio.Task[None]]] = {}
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def start(self, name: str, unit: Unit) -> None:
        """Put the unit to work."""
        task = asyncio.create_task(awaited(name, unit.run()), name=name)
        task.add_done_callback(self._note)
        self._units[name] = unit, task

    def _note(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_result(error)

    async def stop(self, deadline: Deadline) -> list[str]:
        """Stop every unit within the deadline; return the names of those it cut short."""
        for unit, _ in self._units.values():
            unit.stop()
        tasks = {name: task for name, (_, task) in self._units.items()}
        await deadline.grant_tasks(set(tasks.values()))
        left = [name for name, task in tasks.items() if task.cancelled()]
        if left:
            log.warning("stop.cut_short", units=left)
        return left
