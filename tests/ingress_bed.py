"""An ingress on a real loopback socket, with a journal and rules that do as told, and a raw client."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson

from bridge.errors import LogError
from bridge.ingress.ingress import Ingress
from bridge.log.base import Done, Record
from bridge.log.clock import HybridClock
from bridge.providers.base import Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from schemas.catalog import Catalog
from schemas.decisions import Decision, Effect, Question, RuleSet

CATALOG = Catalog.load()
SECONDS = 10.0
"""How long a test waits for what must happen."""

DENY = Decision(Effect("deny"), Effect("deny"), "closed", rule_set=RuleSet("default", 3, "d"))


class ShelfJournal:
    """Keeps records in memory. ``error`` is raised by submit; ``held`` leaves appends open until released."""

    def __init__(self, *, held: bool = False, error: Exception | None = None) -> None:
        self.records: list[Record] = []
        self.held, self.error = held, error
        self.waiting: list[Done] = []

    def submit(self, records: Sequence[Record], done: Done, *, patient: bool = False) -> None:  # noqa: ARG002 as the protocol has it
        if self.error is not None:
            raise self.error
        self.records.extend(records)
        self.waiting.append(done)
        if not self.held:
            self.release()

    def release(self, error: LogError | None = None) -> None:
        """Say that everything is on disk, or that it could not be written."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            asyncio.get_running_loop().call_soon(done, 0, error)

    def events(self) -> list[dict[str, Any]]:
        """Return the structured events kept."""
        return [orjson.loads(record.envelope().structured()) for record in self.records]


class ToldRules:
    """Decides what it is told, and remembers what it was asked."""

    def __init__(self, decision: Decision = DENY) -> None:
        self.decision = decision
        self.error: Exception | None = None
        self.asked: list[Question] = []

    def decide(self, question: Question) -> Decision:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return self.decision


class Answer(NamedTuple):
    """One answer as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Wire:
    """One connection, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """Return the next answer."""
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            length = 0 if head_only else int(headers.get("content-length", 0))
            return Answer(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def ended(self) -> bytes:
        """Return what still comes before the other side closes."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()


class Bed(NamedTuple):
    """A running ingress and what it stands on."""

    ingress: Ingress
    journal: ShelfJournal
    rules: ToldRules
    port: int

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """Open a connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()

    async def post(
        self, target: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        """Send one request on a connection of its own and return the answer."""
        async with self.wire() as wire:
            wire.send(request(target, body, headers, method))
            return await wire.answer()


def request(
    target: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> bytes:
    """Return the bytes of one request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: im", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def running(
    *,
    journal: ShelfJournal | None = None,
    has_journal: bool = True,
    providers: Sequence[Provider] | None = None,
    catalog: Catalog = CATALOG,
    **settings: Any,
) -> AsyncIterator[Bed]:
    """Run an ingress on a free port until the block ends."""
    shelf, rules = journal or ShelfJournal(), ToldRules()
    ingress = Ingress(
        catalog,
        providers or (TencentProvider(), OpenIMProvider()),
        shelf if has_journal else None,
        rules,
        HybridClock(),
        **settings,
    )
    _, port = await ingress.start("127.0.0.1", 0)
    try:
        yield Bed(ingress, shelf, rules, port)
    finally:
        await ingress.stop(SECONDS)


async def until(condition: Any, what: str) -> None:
    """Wait until ``condition()`` holds; fail when it does not in time."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never came to be: {what}"
        await asyncio.sleep(0.005)
