import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridge.main.units import Deadline, Running, awaited


class Part:
    """A long-lived part that does what it is told."""

    def __init__(self, work: Callable[["Part"], Awaitable[None]]) -> None:
        self._work = work
        self.stopping = asyncio.Event()
        self.finished = False

    async def run(self) -> None:
        await self._work(self)
        self.finished = True

    def stop(self) -> None:
        self.stopping.set()


async def until_stopped(part: Part) -> None:
    await part.stopping.wait()


async def deaf(part: Part) -> None:
    await asyncio.sleep(60)


async def cancelled_from_inside(part: Part) -> None:
    inner = asyncio.ensure_future(asyncio.sleep(60))
    inner.cancel()
    await inner


async def broken(part: Part) -> None:
    raise ValueError("out of order")


def deadline(seconds: float) -> Deadline:
    return Deadline(seconds, asyncio.Event())


async def test_parts_that_listen_finish_what_is_in_hand() -> None:
    running, part = Running(), Part(until_stopped)
    running.start("one", part)
    assert await running.stop(deadline(5)) == []
    assert part.finished


async def test_a_part_that_goes_on_past_the_deadline_is_cut_short_and_named() -> None:
    running, part, stubborn = Running(), Part(until_stopped), Part(deaf)
    running.start("one", part)
    running.start("two", stubborn)
    async with asyncio.timeout(5):
        assert await running.stop(deadline(0.01)) == ["two"]
    assert (part.finished, stubborn.finished) == (True, False)


async def test_hurry_ends_the_waiting_at_once() -> None:
    hurry = asyncio.Event()
    running = Running()
    running.start("two", Part(deaf))
    stopping = asyncio.create_task(running.stop(Deadline(60, hurry)))
    await asyncio.sleep(0)
    hurry.set()
    async with asyncio.timeout(5):
        assert await stopping == ["two"]


async def test_the_error_of_a_part_is_told() -> None:
    running = Running()
    running.start("one", Part(broken))
    async with asyncio.timeout(5):
        assert str(await running.failed) == "out of order"
    assert await running.stop(deadline(1)) == []


async def test_a_part_ended_by_a_cancellation_nobody_asked_for_has_failed() -> None:
    running = Running()
    running.start("rules", Part(cancelled_from_inside))
    async with asyncio.timeout(5):
        assert "rules was ended by a cancellation" in str(await running.failed)


async def test_within_a_group_of_tasks_such_a_cancellation_is_an_error_too() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(awaited("one", cancelled_from_inside(Part(deaf))))
    assert "one was ended by a cancellation" in str(caught.value.exceptions[0])


async def test_a_cancellation_that_was_asked_for_stays_one() -> None:
    task = asyncio.create_task(awaited("one", asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
