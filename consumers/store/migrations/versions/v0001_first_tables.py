"""The first tables: checkpoints, groups with members and custom data, decisions, and the views on them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_CURRENT_MEMBERS = """
CREATE VIEW current_members AS
SELECT m.provider, m.app, m.group_id, m.user_id,
  CASE WHEN m.nickname_v > m.left_v AND m.nickname_v > g.cleared_v THEN m.nickname END AS nickname,
  CASE WHEN m.avatar_v > m.left_v AND m.avatar_v > g.cleared_v THEN m.avatar_url END AS avatar_url,
  COALESCE(CASE WHEN m.role_v > m.left_v AND m.role_v > g.cleared_v THEN m.role END, 'member') AS role,
  CASE WHEN m.extension_v > m.left_v AND m.extension_v > g.cleared_v THEN m.extension END AS extension,
  CASE WHEN m.joined_v > m.left_v AND m.joined_v > g.cleared_v
    THEN 'confirmed' ELSE 'assumed' END AS basis,
  CASE WHEN m.joined_v > m.left_v AND m.joined_v > g.cleared_v
    THEN m.joined_at ELSE m.assumed_at END AS joined_at,
  CASE WHEN m.joined_v > m.left_v AND m.joined_v > g.cleared_v
    THEN m.joined_v ELSE m.assumed_v END / 65536 AS joined_ms,
  CASE WHEN m.joined_v > m.left_v AND m.joined_v > g.cleared_v
    THEN m.join_kind ELSE 'invited' END AS join_kind,
  CASE WHEN m.joined_v > m.left_v AND m.joined_v > g.cleared_v
    THEN m.joined_by ELSE m.assumed_by END AS joined_by
FROM members m
JOIN groups g ON g.provider = m.provider AND g.app = m.app AND g.group_id = m.group_id
WHERE (m.joined_v > m.left_v AND m.joined_v > g.cleared_v)
  OR (m.assumed_v > m.left_v AND m.assumed_v > g.cleared_v)
"""

_CURRENT_GROUPS = """
CREATE VIEW current_groups AS
SELECT g.provider, g.app, g.group_id,
  CASE WHEN g.name_v > g.cleared_v THEN g.name END AS name,
  CASE WHEN g.type_v > g.cleared_v THEN g.type END AS type,
  CASE WHEN g.owner_v > g.cleared_v THEN g.owner_id END AS owner_id,
  (SELECT COUNT(*) FROM current_members m
    WHERE m.provider = g.provider AND m.app = g.app AND m.group_id = g.group_id) AS member_count,
  CASE WHEN g.avatar_v > g.cleared_v THEN g.avatar_url END AS avatar_url,
  CASE WHEN g.introduction_v > g.cleared_v THEN g.introduction END AS introduction,
  CASE WHEN g.notification_v > g.cleared_v THEN g.notification END AS notification,
  CASE WHEN g.extension_v > g.cleared_v THEN g.extension END AS extension,
  CASE WHEN g.created_v > g.cleared_v THEN g.created_at END AS created_at,
  CASE WHEN g.created_v > g.cleared_v THEN g.created_v / 65536 END AS created_ms,
  CASE WHEN g.created_v > g.cleared_v THEN g.creator_id END AS creator_id,
  g.complete
FROM groups g
WHERE g.cleared_v = 0 OR g.created_v > g.cleared_v OR EXISTS (
  SELECT 1 FROM current_members m
  WHERE m.provider = g.provider AND m.app = g.app AND m.group_id = g.group_id)
"""

_CURRENT_CUSTOM_DATA = """
CREATE VIEW current_group_custom_data AS
SELECT d.provider, d.app, d.group_id, d.key, d.value
FROM group_custom_data d
JOIN groups r ON r.provider = d.provider AND r.app = d.app AND r.group_id = d.group_id
JOIN current_groups g ON g.provider = d.provider AND g.app = d.app AND g.group_id = d.group_id
WHERE d.value_v > r.cleared_v
"""


def upgrade() -> None:
    """Make the tables, then the views people query."""
    _make_checkpoints()
    _make_groups()
    _make_members()
    _make_custom_data()
    _make_decisions()
    for view in (_CURRENT_MEMBERS, _CURRENT_GROUPS, _CURRENT_CUSTOM_DATA):
        op.execute(view)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, _EXACT, primary_key=True, nullable=False)


def _register(name: str, *columns: str) -> list[sa.Column[Any]]:
    return [
        *(sa.Column(column, sa.Text) for column in columns),
        sa.Column(f"{name}_v", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column(f"{name}_e", _EXACT, nullable=False, server_default=""),
        sa.Column(f"{name}_b", sa.Text),
    ]


def _make_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        _key("consumer"),
        _key("log_id"),
        _key("topic"),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("last_event_ms", sa.BigInteger),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _make_groups() -> None:
    op.create_table(
        "groups",
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
        sa.Column("cleared_v", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column(
            "complete",
            sa.SmallInteger,
            sa.Computed("CASE WHEN created_v > cleared_v THEN 1 ELSE 0 END", True),
        ),
        sqlite_with_rowid=False,
    )


def _make_members() -> None:
    op.create_table(
        "members",
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
        sqlite_with_rowid=False,
    )
    op.create_index("members_of_user", "members", ["provider", "app", "user_id"])


def _make_custom_data() -> None:
    op.create_table(
        "group_custom_data",
        _key("provider"),
        _key("app"),
        _key("group_id"),
        _key("key"),
        *_register("value", "value"),
        sqlite_with_rowid=False,
    )


def _make_decisions() -> None:
    op.create_table(
        "decisions",
        _key("provider"),
        _key("app"),
        _key("decision_id"),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("decided_at", sa.Text, nullable=False),
        sa.Column("decided_ms", sa.BigInteger, nullable=False),
        sa.Column("group_id", _EXACT, nullable=False),
        sa.Column("group_type", sa.Text),
        sa.Column("inviter_id", sa.Text),
        sa.Column("invitee_ids", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text, nullable=False),
        sa.Column("sent", sa.Text, nullable=False),
        sa.Column("refused", sa.Text, nullable=False),
        sa.Column("reason_text", sa.Text),
        sa.Column("reason_code", sa.BigInteger),
        sa.Column("reason_rule", sa.Text),
        sa.Column("rule_set", sa.Text),
        sa.Column("rule_set_version", sa.BigInteger),
        sa.Column("rule_set_digest", sa.Text),
        sa.Column("staleness_ms", sa.BigInteger),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("shadow", sa.Text),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("fallback", sa.Text),
        sa.Column("elapsed_us", sa.BigInteger),
        sa.Column("correlation_id", sa.Text),
    )
    op.create_index("decisions_of_group", "decisions", ["provider", "app", "group_id", "decided_ms"])
