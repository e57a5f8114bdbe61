"""OpenIM's sender: a small queue in front of two workers in each service, and nothing sent twice.

https://github.com/openimsdk/open-im-server/blob/7848d7c7354945fe7b40f6b990db8b6013a9037c/pkg/common/webhook/http_client.go
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from itertools import cycle
from typing import Final, NamedTuple

from bridge.simulate.schedule import Schedule
from bridge.simulate.tally import Tally
from bridge.simulate.traffic import Sending, Traffic
from bridge.simulate.wire import Wire

SLOTS: Final = 100
WORKERS: Final = 2
"""The queue of each server process that has webhooks: ``NewWebhookClient`` in http_client.go (above)."""

SLOT_SECONDS: Final = 3.0
"""How long the caller waits for a slot before the event is dropped without a word.
https://github.com/openimsdk/tools/blob/v0.0.50-alpha.117/mq/memamq/queue.go"""

TIMEOUT_SECONDS: Final = 5.0
"""``timeout`` of a callback where config/webhooks.yml says nothing else; it holds for both kinds."""

CONNECTIONS: Final = 100
"""Most connections per host. https://github.com/openimsdk/tools/blob/v0.0.50-alpha.117/utils/httputil/http_client.go"""

ASKING: Final = 10_000
"""Most questions under way at once: ours, lest a hanging receiver fills our memory. OpenIM has no bound."""

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Go-http-client/1.1",
    "Accept-Encoding": "gzip",
}


class _Entered(NamedTuple):
    sending: Sending
    since: float


class Service:
    """One server process: its queue and its workers. Times are those of the running loop."""

    def __init__(self, wire: Wire, tally: Tally, url: str, timeout: float) -> None:
        self._wire, self._tally, self._url, self._timeout = wire, tally, url, timeout
        self._loop = asyncio.get_running_loop()
        self._slots: deque[_Entered] = deque()
        self._callers: deque[_Entered] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def offer(self, sending: Sending) -> None:
        """Put an after-callback into the queue, or let its caller wait for a slot."""
        self._give_up()
        entered = _Entered(sending, self._loop.time())
        if self._callers or len(self._slots) >= SLOTS:
            self._callers.append(entered)
        else:
            self._enter(entered)

    async def work(self) -> None:
        """Be one of the two workers: send what is queued until closed and empty."""
        while (entered := await self._next()) is not None:
            await self._send(*entered)

    async def ask(self, sending: Sending, due: float) -> None:
        """Send a question at once: it does not pass the queue."""
        await self._send(sending, due)

    def close(self) -> None:
        """Let the workers end once the queue is empty."""
        self._closed = True
        self._filled.set()

    def abandon(self) -> None:
        """Count what is still queued as never sent: nothing drains the queue of a process that stops."""
        self._give_up()
        for entered in (*self._slots, *self._callers):
            self._tally.unsent(entered.sending)
        self._slots.clear()
        self._callers.clear()

    async def _next(self) -> _Entered | None:
        while not self._slots:
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        entered = self._slots.popleft()
        self._give_up()
        if self._callers:
            self._enter(_Entered(self._callers.popleft().sending, self._loop.time()))
        return entered

    def _enter(self, entered: _Entered) -> None:
        self._slots.append(entered)
        self._filled.set()

    def _give_up(self) -> None:
        """Drop the callbacks of callers who have waited long enough."""
        before = self._loop.time() - SLOT_SECONDS
        while self._callers and self._callers[0].since < before:
            self._tally.lost(self._callers.popleft().sending)

    async def _send(self, sending: Sending, since: float) -> None:
        query = f"?{sending.query}" if sending.query else ""
        url = f"{self._url}/{sending.story.spec.name}{query}"
        headers = {**_HEADERS, "Operationid": sending.operation_id}
        body = sending._replace(body=sending.body + b"\n")  # Go's encoder ends every object with a newline
        await self._wire.send(body, url, headers, timeout=self._timeout, due=since)


class OpenIMSender:
    """Sends what ``traffic`` supplies through ``services`` in turn, as it falls due."""

    def __init__(self, services: list[Service], traffic: Traffic, tally: Tally, drain_seconds: float) -> None:
        self._services, self._traffic, self._tally = services, traffic, tally
        self._drain_seconds = drain_seconds
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self, schedule: Schedule) -> None:
        """Send until the schedule is over; what is queued then has a bounded while to be sent."""
        async with asyncio.TaskGroup() as tasks:
            workers = [
                tasks.create_task(service.work()) for service in self._services for _ in range(WORKERS)
            ]
            await self._feed(schedule, tasks)
            for service in self._services:
                service.close()
            await asyncio.wait(workers, timeout=self._drain_seconds)
            for service in self._services:
                service.abandon()

    async def _feed(self, schedule: Schedule, tasks: asyncio.TaskGroup) -> None:
        for service in cycle(self._services):
            due = await schedule.next()
            if due is None:
                return
            sending = self._traffic.next()
            if not sending.asks:
                service.offer(sending)
            elif len(self._asking) < ASKING:
                task = tasks.create_task(service.ask(sending, due))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            else:
                self._tally.unsent(sending)
