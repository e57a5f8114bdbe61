"""``imbridge demo``: five callbacks, a rule, two decisions, shown and checked, in a temporary directory."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, TypeVar

import orjson

from bridge.cli import decisions, groups
from bridge.cli.demo_calls import Call, five_calls, invitation, send
from bridge.cli.output import print_line, print_table
from bridge.cli.state import settings
from bridge.config import Settings
from bridge.errors import LogError, StoreError
from bridge.log.base import Log
from bridge.log.scan import Selection, ranges_of, scan
from bridge.main.loops import run_loop
from bridge.main.opening import open_log, open_store
from bridge.main.service import ALL_ROLES, Service, Started
from consumers import rules
from consumers.projections.reading import group_with_members, recent_decisions
from consumers.store.base import Store
from schemas.envelope import Envelope
from schemas.topics import DECISION, GROUP

_WAIT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_TOLD: Final = 4
_TOPIC_PREFIX: Final = "imbridge-demo."
_RULE: Final = """\
kind: rule
id: no-jared
rev: 1
on: [invite]
scope: {{provider: [tencent], group: {{id: ["{group}"]}}}}
members: {{fact: invitee.id, eq: jared}}
effect: refuse_members
reason: {{text: jared does not want to be invited, code: {{tencent: 10110}}}}
tests:
  - given: {{group: {{id: "{group}"}}, invitees: [jared, ada]}}
    expect: {{effect: refuse_members, refused: [jared]}}
"""
Found = TypeVar("Found")


def demo() -> None:
    """Show the whole bridge at work, and exit with 0 only if all of it was right.

    It runs on free ports with a temporary data directory, over Kafka and PostgreSQL where the settings name
    them; there its topics begin with imbridge-demo. and its rows stay.
    """
    mark = token_hex(4)
    with tempfile.TemporaryDirectory(prefix="imbridge-demo-") as place:
        current = settings(**_overrides(Path(place), mark))
        held = run_loop(_Demo(current, mark).run())
    sys.exit(0 if held else 1)


def _overrides(place: Path, mark: str) -> dict[str, Any]:
    free = {"host": "127.0.0.1", "port": 0}
    unsigned = {
        "signature_algorithm": "",
        "signature_header": "",
        "nonce_header": "",
        "signature_secrets": [],
    }
    return {
        "data_dir": place,
        "ingress": {**free, "trusted_hops": 0},
        "ops": free,
        "rules": {"set": f"demo-{mark}"},
        "journal": {"segment_bytes": 4 * 1024 * 1024},
        "tencent": {"app_ids": ["1400000000"], "tokens": [], "path": "/tencent", "networks": []},
        "openim": {"app": "openim", "path_secrets": [], "path": "/openim", "networks": [], **unsigned},
        "kafka": {"topic_prefix": _TOPIC_PREFIX},
        "log": {"level": "error"},
    }


class _Demo:
    """One run: what was claimed and whether it held."""

    def __init__(self, current: Settings, mark: str) -> None:
        self._settings, self._mark = current, mark
        self._checks: list[tuple[str, bool]] = []
        self._tencent_group, self._openim_group = f"@TGS#{mark.upper()}", f"g-{mark}"

    async def run(self) -> bool:
        async with self._service() as started, self._opened() as (log, store):
            where = "embedded" if self._settings.embedded else "over Kafka"
            print_line(
                f"A bridge listens on {started.ingress}, {where}, {self._settings.store_kind}.\n", "bold"
            )
            await self._callbacks(started.ingress)
            await self._events(log)
            await self._tables(store)
            await self._rules(log, started.ingress)
            await self._decisions(log, store)
        print_table(
            "claims", ("", "claim"), [("held" if held else "FAILED", claim) for claim, held in self._checks]
        )
        return all(held for _, held in self._checks)

    @asynccontextmanager
    async def _service(self) -> AsyncIterator[Started]:
        ready: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        service = Service(self._settings, ALL_ROLES)
        running = asyncio.create_task(service.run(ready.set_result))
        either: set[asyncio.Future[Any]] = {running, ready}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
        try:
            yield await ready
        finally:
            service.stop()
            self._claim("the bridge stopped in order", await running == 0)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Log, Store]]:
        log, store = open_log(self._settings), open_store(self._settings)
        await store.open()
        try:
            yield log, store
        finally:
            await log.close()
            await store.close()

    def _claim(self, claim: str, held: bool) -> None:
        self._checks.append((claim, held))

    async def _callbacks(self, base: str) -> None:
        calls = five_calls(self._tencent_group, self._openim_group)
        await self._send_all("1. Five callbacks, as the vendors send them", base, calls)

    async def _send_all(self, title: str, base: str, calls: Sequence[Call]) -> None:
        rows = []
        for call in calls:
            answer = await send(base, call)
            self._claim(f"{call.what}: answered in the vendor's dialect", answer == call.wanted)
            rows.append((call.what, call.path, _json(answer)))
        print_table(title, ("what happened", "request", "answer"), rows)

    async def _events(self, log: Log) -> None:
        events = await _eventually(lambda: self._read(log, GROUP), lambda found: len(found) >= _TOLD)
        columns = ("type", "subject", "time", "id")
        rows = [(event.type, event.subject, event.time, event.id) for event in events]
        print_table("2. What the four after-callbacks became: events of im.group.v1", columns, rows)
        self._claim(
            "four events, one vocabulary for both vendors", len({event.id for event in events}) == _TOLD
        )

    async def _read(self, log: Log, topic: str) -> list[Envelope]:
        ours = {self._tencent_group, self._openim_group}
        found = scan(log, await ranges_of(log, Selection(topic)))
        return [stored.record.envelope() async for _, stored in found if stored.record.key in ours]

    async def _tables(self, store: Store) -> None:
        print_line("3. The tables", "bold")
        wanted: dict[str, set[tuple[str, str | None]]] = {
            self._tencent_group: {
                ("bob", None),
                ("peter", None),
                ("jared", None),
                ("tommy", None),
                ("leckie", None),
            },
            self._openim_group: {("user789", "user")},
        }
        for group_id, members in wanted.items():
            found = await _eventually(
                partial(group_with_members, store, group_id), partial(_holds, members=members)
            )
            for group in found:
                groups.show(group)
            self._claim(f"group {group_id} has its members in the tables", _holds(found, members=members))

    async def _rules(self, log: Log, base: str) -> None:
        path = self._settings.data_dir / "no-jared.yaml"
        path.write_text(_RULE.format(group=self._tencent_group))
        print_line("4. A rule is published", "bold")
        print_line(path.read_text())
        report = await rules.publish(
            log, rules.load_documents([path]), self._settings.rules.set, published_by="demo"
        )
        self._claim(
            "the rule's own test is green and the set is in force", report.confirmed and report.tests_run == 1
        )
        call = invitation(self._tencent_group, refused="jared")
        answer = await _eventually(lambda: send(base, call), lambda answer: answer == call.wanted)
        print_table("5. The same invitation again", ("request", "answer"), [(call.path, _json(answer))])
        self._claim("jared is refused, the others may come", answer == call.wanted)

    async def _decisions(self, log: Log, store: Store) -> None:
        def both(found: Sequence[dict[str, Any]]) -> bool:
            return {"allow", "refuse_members"} <= {decision["sent"] for decision in found}

        found = await _eventually(lambda: recent_decisions(store, group_id=self._tencent_group), both)
        print_line("6. Both decisions with their reasons", "bold")
        decisions.show(_first_and_last(found))
        self._claim(
            "both decisions are in the tables, with reason and rule set", both(found) and _explained(found)
        )
        recorded = await self._read(log, DECISION)
        self._claim(
            "every decision is an event of its own", len(recorded) == len({event.id for event in recorded})
        )


def _json(answer: Any) -> str:
    return orjson.dumps(answer).decode()


def _holds(found: Sequence[dict[str, Any]], *, members: set[tuple[str, str | None]]) -> bool:
    there = {(member["user_id"], member["nickname"]) for group in found for member in group["members"]}
    return bool(found) and members <= there


def _first_and_last(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found[0], found[-1]] if found else []


def _explained(found: Sequence[dict[str, Any]]) -> bool:
    latest = found[0]
    return (
        bool(latest["reason_text"])
        and latest["rules"][0]["id"] == "no-jared"
        and latest["refused"] == ["jared"]
    )


async def _eventually(look: Callable[[], Awaitable[Found]], enough: Callable[[Found], bool]) -> Found:
    """Return what was looked for once it is enough, or what there is after the wait."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _WAIT_SECONDS
    while True:
        try:
            found = await look()
        except (LogError, StoreError):
            if loop.time() > end:
                raise
        else:
            if enough(found) or loop.time() > end:
                return found
        await asyncio.sleep(_POLL_SECONDS)
