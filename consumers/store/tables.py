"""Every table and view of the store, as SQLAlchemy Core sees them; ``migrations`` makes them.

A *register* is a group of columns written together under one version: ``{name}_v`` is the version of the
event that wrote it, ``{name}_e`` breaks ties (one rank digit and the event id), ``{name}_b`` says whose
clock the version rests on. A register never written holds version 0. No column tells when a row was
written, so equal histories give equal tables.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    TableClause,
    Text,
    column,
    table,
)

METADATA = MetaData()


def exact() -> Text:
    """Return text compared byte by byte: a database's own collation could pick another winner on a tie."""
    return Text().with_variant(Text(collation="C"), "postgresql")


def _key(name: str) -> Column[str]:
    return Column(name, exact(), primary_key=True, nullable=False)


def _register(name: str, *columns: str) -> list[Column[Any]]:
    return [
        *(Column(each, Text) for each in columns),
        Column(f"{name}_v", BigInteger, nullable=False, server_default="0"),
        Column(f"{name}_e", exact(), nullable=False, server_default=""),
        Column(f"{name}_b", Text),
    ]


CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    _key("consumer"),
    _key("log_id"),
    _key("topic"),
    Column("partition", Integer, primary_key=True, autoincrement=False, nullable=False),
    Column("next_offset", BigInteger),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("last_event_ms", BigInteger),
    Column("updated_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

GROUPS = Table(
    "groups",
    METADATA,
    _key("provider"),
    _key("app"),
    _key("group_id"),
    *_register("created", "created_at", "creator_id"),
    *_register("type", "type"),
    *_register("name", "name"),
    *_register("owner", "owner_id"),
    *_register("avatar", "avatar_url"),
    *_register("introduction", "introduction"),
    *_register("notification", "notification"),
    *_register("extension", "extension"),
    Column("cleared_v", BigInteger, nullable=False, server_default="0"),
    Column("complete", SmallInteger, Computed("CASE WHEN created_v > cleared_v THEN 1 ELSE 0 END", True)),
    sqlite_with_rowid=False,
)

MEMBERS = Table(
    "members",
    METADATA,
    _key("provider"),
    _key("app"),
    _key("group_id"),
    _key("user_id"),
    *_register("joined", "joined_at", "join_kind", "joined_by"),
    *_register("assumed", "assumed_at", "assumed_by"),
    *_register("left", "left_at", "left_kind", "left_by"),
    *_register("nickname", "nickname"),
    *_register("avatar", "avatar_url"),
    *_register("role", "role"),
    *_register("extension", "extension"),
    Index("members_of_user", "provider", "app", "user_id"),
    sqlite_with_rowid=False,
)

CUSTOM_DATA = Table(
    "group_custom_data",
    METADATA,
    _key("provider"),
    _key("app"),
    _key("group_id"),
    _key("key"),
    *_register("value", "value"),
    sqlite_with_rowid=False,
)

DECISIONS = Table(
    "decisions",
    METADATA,
    _key("provider"),
    _key("app"),
    _key("decision_id"),
    Column("type", Text, nullable=False),
    Column("act", Text, nullable=False, server_default="invite"),
    Column("command", Text),
    Column("subject", exact(), nullable=False, server_default=""),
    Column("members", Text, nullable=False, server_default="[]"),
    Column("decided_at", Text, nullable=False),
    Column("decided_ms", BigInteger, nullable=False),
    Column("group_id", exact()),
    Column("group_type", Text),
    Column("inviter_id", Text),
    Column("invitee_ids", Text, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("sent", Text, nullable=False),
    Column("refused", Text, nullable=False),
    Column("reason_text", Text),
    Column("reason_code", BigInteger),
    Column("reason_rule", Text),
    Column("rule_set", Text),
    Column("rule_set_version", BigInteger),
    Column("rule_set_digest", Text),
    Column("staleness_ms", BigInteger),
    Column("rules", Text, nullable=False),
    Column("shadow", Text),
    Column("facts", Text, nullable=False),
    Column("fallback", Text),
    Column("elapsed_us", BigInteger),
    Column("correlation_id", Text),
    Index("decisions_of_group", "provider", "app", "group_id", "decided_ms"),
    Index("decisions_of_subject", "provider", "app", "subject", "decided_ms"),
    Index("decisions_by_time", "decided_ms"),
)
"""One row for each question. ``subject`` is the event's, ``members`` the people the question is about,
``group_id`` absent where the act has none; ``inviter_id`` and ``invitee_ids`` are those of invitations.
Lists and objects (``members``, ``invitee_ids``, ``refused``, ``rules``, ``shadow``, ``facts``) are JSON text.
"""


def _view(name: str, *columns: str) -> TableClause:
    return table(name, *(column(each) for each in columns))


CURRENT_GROUPS = _view(
    "current_groups",
    *(
        "provider",
        "app",
        "group_id",
        "name",
        "type",
        "owner_id",
        "member_count",
        "avatar_url",
        "introduction",
    ),
    *("notification", "extension", "created_at", "created_ms", "creator_id", "complete"),
)
CURRENT_MEMBERS = _view(
    "current_members",
    *("provider", "app", "group_id", "user_id", "nickname", "avatar_url", "role", "extension"),
    *("basis", "joined_at", "joined_ms", "join_kind", "joined_by"),
)
CURRENT_CUSTOM_DATA = _view("current_group_custom_data", "provider", "app", "group_id", "key", "value")
