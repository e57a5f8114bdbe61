"""One request over HTTP/1.1 with kept-alive connections, and everything that can go wrong with it."""

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from bridge.simulate.judging import Answer, Verdict, judge
from bridge.simulate.ledger import Ledger, entry_of
from bridge.simulate.tally import Tally
from bridge.simulate.traffic import Sending


class Wire:
    """The connections of one process of a vendor's: at most ``connections`` of them, while entered.

    What comes back is judged, counted in ``tally`` and, where it acknowledges, noted in ``ledger``.
    """

    def __init__(self, connections: int, tally: Tally, ledger: Ledger | None) -> None:
        self._connections, self._tally, self._ledger = connections, tally, ledger

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, limit_per_host=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(
        self, sending: Sending, url: str, headers: Mapping[str, str], *, timeout: float, due: float
    ) -> Verdict:
        """Send it, wait at most ``timeout`` seconds, and return what became of it.

        ``due`` is when its latency began, by the loop's clock. Raises LedgerUnusable.
        """
        story = sending.story
        story.first_sent_ns = story.first_sent_ns or time.monotonic_ns()
        verdict = await self._judged(sending, url, headers, timeout)
        acked_ns = time.monotonic_ns()
        self._tally.answered(sending, verdict, asyncio.get_running_loop().time() - due)
        if verdict.outcome == "accepted" and not sending.asks and self._ledger is not None:
            self._ledger.note(entry_of(sending, acked_ns))
        return verdict

    async def _judged(
        self, sending: Sending, url: str, headers: Mapping[str, str], timeout: float
    ) -> Verdict:
        try:
            async with asyncio.timeout(timeout):
                answer = await self._post(sending.body, url, headers)
        except TimeoutError:
            return Verdict("late", f"no answer within {timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Verdict("failed", f"{type(error).__name__}: {error}")
        return judge(sending, answer)

    async def _post(self, body: bytes, url: str, headers: Mapping[str, str]) -> Answer:
        where = URL(url, encoded=True)
        async with self._session.post(where, data=body, headers=headers, allow_redirects=False) as response:
            return Answer(response.status, await response.read())
