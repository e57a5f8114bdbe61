"""What the tests of the rules share: short ways to a question, a rule, a set, and a consumer that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from bridge.log.base import Log
from consumers.rules import RulesConsumer
from consumers.rules.deciding import decide
from consumers.rules.documents import Document, Documents, arrange
from consumers.rules.examination import compile_set
from schemas.callback import Callback
from schemas.decisions import Decision, Question, RuleSet

SECONDS: Final = 30.0
"""How long a test waits for what must happen."""

SET = RuleSet("default", 7, "d" * 32)
COMMANDS = {
    "tencent": "Group.CallbackBeforeInviteJoinGroup",
    "openim": "callbackBeforeInviteJoinGroupCommand",
}


def question(
    *members: str,
    provider: str = "tencent",
    app: str = "1400000000",
    group: str | None = "g1",
    kind: str | None = "Work",
    inviter: str | None = "ada",
    partial: bool | None = None,
    query: Mapping[str, str] | None = None,
    act: str = "invite",
    **data: str,
) -> Question:
    """Return an invitation; what is None was not said by the provider."""
    said = {"group_id": group, "group_type": kind, "inviter_id": inviter, **data}
    return Question(
        act=act,
        command=COMMANDS.get(provider, act),
        subject=f"group/{group}",
        partitionkey=group or "",
        data={name: value for name, value in said.items() if value is not None}
        | {"invitee_ids": list(members)},
        members=members,
        partial=provider == "tencent" if partial is None else partial,
        callback=Callback(provider, app, COMMANDS.get(provider, act), query or {}, "op-1", b"{}", {}, 0),
    )


async def until(holds: Callable[[], object]) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 conditions of the product, not of the test
            await asyncio.sleep(0.005)


@asynccontextmanager
async def consuming(log: Log, directory: Path, **options: Any) -> AsyncIterator[RulesConsumer]:
    """Run a consumer of the rules until the block ends."""
    consumer = RulesConsumer(log, directory=directory, **options)
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        async with asyncio.timeout(SECONDS):
            await running


def rule(name: str = "r1", effect: str = "deny", **fields: Any) -> dict[str, Any]:
    """Return a rule on invitations."""
    return {"kind": "rule", "id": name, "rev": 1, "on": ["invite"], "effect": effect, **fields}


def named(name: str, *values: str) -> dict[str, Any]:
    """Return a list."""
    return {"kind": "list", "name": name, "values": list(values)}


def documents(*contents: dict[str, Any]) -> Documents:
    """Return contents as documents of a file ``set.yaml``."""
    return arrange(Document("set.yaml", number, number, one) for number, one in enumerate(contents, 1))


def decided(
    rules: Sequence[Mapping[str, Any]],
    asked: Question,
    lists: Mapping[str, Sequence[str]] | None = None,
    *,
    staleness_ms: int = 0,
    now_ms: int = 0,
    fallback: str = "allow",
) -> Decision:
    """Return what the rules decide about a question."""
    index = compile_set(rules, {name: frozenset(values) for name, values in (lists or {}).items()})
    return decide(index, SET, asked, staleness_ms, now_ms, fallback)


def write(path: Path, *contents: dict[str, Any]) -> Path:
    """Write the contents as one YAML file of several documents."""
    path.write_text(yaml.safe_dump_all(contents, sort_keys=False, allow_unicode=True))
    return path
