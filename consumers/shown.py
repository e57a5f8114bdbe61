"""What the tables must show of facts that were acknowledged: the last link of the chain from answer to row.

Groups and users must be named by nobody else: a simulator's are, and nobody joins one of its groups twice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import select

from consumers.store.base import Row, Store
from consumers.store.tables import GROUPS, MEMBERS

CHUNK: Final = 200
"""How many facts are looked up at once."""

_LOOK_SECONDS: Final = 0.5


_Rows = Mapping[tuple[str, ...], Row]


class Fact(NamedTuple):
    """An event that was acknowledged: its type, and the group and the users it is about."""

    provider: str
    app: str
    type: str
    group: str
    users: tuple[str, ...]


class Findings(NamedTuple):
    """How many facts the tables must show, of how many no table tells, and those that are not shown."""

    looked_for: int
    untold: int
    hidden: Sequence[Fact]


_IN_GROUPS: Final[Mapping[str, str]] = {
    "im.group.created.v1": "created_v",
    "im.group.dismissed.v1": "cleared_v",
    "im.group.updated.v1": "",
}
"""The register of the group's row that the event must have written; empty where the row itself is all."""

_IN_MEMBERS: Final[Mapping[str, str]] = {
    "im.group.created.v1": "joined_v",
    "im.group.member.joined.v1": "joined_v",
    "im.group.member.left.v1": "left_v",
    "im.group.member.kicked.v1": "left_v",
    "im.group.member.updated.v1": "",
}
"""The same of the row of every user."""


async def look(store: Store, facts: Iterable[Fact], wait_seconds: float) -> Findings:
    """Look for every fact; while some are hidden, look for those again for up to ``wait_seconds``.

    A created group has a row that says when, and every founding member one that says since when; so has
    everybody who joined, and whoever left or was removed one that says until when. A dismissed group's row
    says so. Of a changed group or member there must be a row. Raises StoreUnavailable.
    """
    deadline = time.monotonic() + wait_seconds
    counts: Counter[bool] = Counter()
    hidden: list[Fact] = []
    for chunk in _chunks(facts):
        to_show = [fact for fact in chunk if fact.type in _IN_GROUPS or fact.type in _IN_MEMBERS]
        counts.update({True: len(to_show), False: len(chunk) - len(to_show)})
        hidden += await _hidden(store, to_show)
    while hidden and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
        hidden = [fact for chunk in _chunks(hidden) for fact in await _hidden(store, chunk)]
    return Findings(counts[True], counts[False], hidden)


def _chunks(facts: Iterable[Fact]) -> Iterator[list[Fact]]:
    rest = iter(facts)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


async def _hidden(store: Store, facts: Sequence[Fact]) -> list[Fact]:
    """Return those of the facts that the tables do not show."""
    groups = _by_key(await _groups(store, facts), "provider", "app", "group_id")
    members = _by_key(await _members(store, facts), "provider", "app", "group_id", "user_id")
    return [fact for fact in facts if not _shows(fact, groups, members)]


def _by_key(rows: Sequence[Row], *names: str) -> _Rows:
    return {tuple(row[name] for name in names): row for row in rows}


def _shows(fact: Fact, groups: _Rows, members: _Rows) -> bool:
    group = (fact.provider, fact.app, fact.group)
    in_group = [(groups.get(group), _IN_GROUPS[fact.type])] if fact.type in _IN_GROUPS else []
    people = fact.users if fact.type in _IN_MEMBERS else ()
    in_members = [(members.get((*group, user)), _IN_MEMBERS[fact.type]) for user in people]
    return all(row is not None and (not name or row[name] > 0) for row, name in (*in_group, *in_members))


async def _groups(store: Store, facts: Sequence[Fact]) -> Sequence[Row]:
    table = GROUPS.c
    wanted = select(table.provider, table.app, table.group_id, table.created_v, table.cleared_v)
    providers, apps = {fact.provider for fact in facts}, {fact.app for fact in facts}
    return await store.select(
        wanted.where(
            table.provider.in_(providers),
            table.app.in_(apps),
            table.group_id.in_({fact.group for fact in facts}),
        )
    )


async def _members(store: Store, facts: Sequence[Fact]) -> Sequence[Row]:
    table = MEMBERS.c
    wanted = select(table.provider, table.app, table.group_id, table.user_id, table.joined_v, table.left_v)
    return await store.select(
        wanted.where(
            table.provider.in_({fact.provider for fact in facts}),
            table.app.in_({fact.app for fact in facts}),
            table.user_id.in_({user for fact in facts for user in fact.users}),
        )
    )
