"""What the command line and the ops page show of the tables, as plain dictionaries."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Select, and_, select

from consumers.store.base import Row, Store
from consumers.store.tables import CURRENT_CUSTOM_DATA, CURRENT_GROUPS, CURRENT_MEMBERS, DECISIONS

_JSON: Final = ("members", "invitee_ids", "refused", "rules", "shadow", "facts")


async def group_with_members(
    store: Store, group_id: str, provider: str | None = None, app: str | None = None
) -> Sequence[dict[str, Any]]:
    """Return every current group of that id, each with ``members`` and ``custom_data``.

    Ids are unique within one application, so without ``provider`` and ``app`` there may be several.
    """
    asked = {"group_id": group_id, "provider": provider, "app": app}
    groups = await store.select(_asked(CURRENT_GROUPS, asked).order_by("provider", "app"))
    return [{**group, **await _contents(store, group)} for group in groups]


async def recent_decisions(
    store: Store,
    *,
    act: str | None = None,
    subject: str | None = None,
    group_id: str | None = None,
    provider: str | None = None,
    app: str | None = None,
    decision_id: str | None = None,
    limit: int = 50,
) -> Sequence[dict[str, Any]]:
    """Return decisions, the latest first, with their lists and objects parsed."""
    asked = {
        "act": act,
        "subject": subject,
        "group_id": group_id,
        "provider": provider,
        "app": app,
        "decision_id": decision_id,
    }
    latest = (DECISIONS.c.decided_ms.desc(), DECISIONS.c.decision_id)
    rows = await store.select(_asked(DECISIONS, asked).order_by(*latest).limit(limit))
    return [{**row, **{name: orjson.loads(row[name] or "null") for name in _JSON}} for row in rows]


async def _contents(store: Store, group: Row) -> dict[str, Any]:
    asked = {name: group[name] for name in ("provider", "app", "group_id")}
    members = await store.select(_asked(CURRENT_MEMBERS, asked).order_by("user_id"))
    custom = await store.select(_asked(CURRENT_CUSTOM_DATA, asked).order_by("key"))
    return {
        "members": [dict(row) for row in members],
        "custom_data": {row["key"]: row["value"] for row in custom},
    }


def _asked(source: Any, asked: dict[str, str | None]) -> Select[Any]:
    wanted: list[ColumnElement[bool]] = [
        source.c[name] == value for name, value in asked.items() if value is not None
    ]
    return select(source).where(and_(True, *wanted))
