"""Tencent Chat's sender: 2 s for an answer, a signature in the URL, repeats only where switched on.

https://trtc.io/document/34354 (time-out, signature, repeats), https://trtc.io/document/34520 (the console)
"""

import asyncio
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from bridge.simulate.judging import Verdict
from bridge.simulate.schedule import Schedule
from bridge.simulate.traffic import Sending, Traffic
from bridge.simulate.wire import Wire

TIMEOUT_SECONDS: Final = 2.0
"""Time allowed for every callback. https://trtc.io/document/34354"""

REPEATS: Final = 2
REPEAT_SECONDS: Final = 1.0
"""How often, and how long after a time-out, an after-callback is repeated where that is switched on: ours,
since no page says either. Questions are never repeated. https://trtc.io/document/34354"""

_HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/json"}


class TencentSender:
    """Sends over ``connections`` connections what ``traffic`` supplies, as it falls due, to ``url``.

    With a ``token`` each request is signed anew, a repeat too.
    """

    def __init__(
        self, wire: Wire, traffic: Traffic, url: str, *, connections: int, token: str, repeat_on_timeout: bool
    ) -> None:
        self._wire, self._traffic, self._url = wire, traffic, url
        self._connections, self._token, self._repeats = connections, token, repeat_on_timeout

    async def run(self, schedule: Schedule) -> None:
        """Send until the schedule is over and everything under way has ended."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._connections):
                tasks.create_task(self._send_on(schedule))

    async def _send_on(self, schedule: Schedule) -> None:
        while (due := await schedule.next()) is not None:
            sending = self._traffic.next()
            verdict = await self._send(sending, due)
            if self._repeats and verdict.outcome == "late" and not sending.asks:
                await self._repeat(sending, schedule)

    async def _repeat(self, sending: Sending, schedule: Schedule) -> None:
        for _ in range(REPEATS):
            if not await schedule.pause(REPEAT_SECONDS):
                return
            now = asyncio.get_running_loop().time()
            verdict = await self._send(sending._replace(is_repeat=True), now)
            if verdict.outcome != "late":
                return

    async def _send(self, sending: Sending, due: float) -> Verdict:
        url = f"{self._url}?{sending.query}{self._signature()}"
        return await self._wire.send(sending, url, _HEADERS, timeout=TIMEOUT_SECONDS, due=due)

    def _signature(self) -> str:
        if not self._token:
            return ""
        request_time = str(int(time.time()))
        return f"&RequestTime={request_time}&Sign={sha256((self._token + request_time).encode()).hexdigest()}"
