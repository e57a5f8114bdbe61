"""Decisions of every act: what was asked, about what and whom; a group only where the act has one.

The defaults are for a process of the version before that is still running: it writes invitations alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_EXACT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_INVITATIONS = """
UPDATE decisions SET
  command = CASE provider
    WHEN 'tencent' THEN 'Group.CallbackBeforeInviteJoinGroup'
    WHEN 'openim' THEN 'callbackBeforeInviteJoinGroupCommand' END,
  subject = 'group/' || group_id,
  members = invitee_ids
"""


def upgrade() -> None:
    """Add what every act has, and say it of the invitations that are there."""
    op.add_column("decisions", sa.Column("act", sa.Text, nullable=False, server_default="invite"))
    op.add_column("decisions", sa.Column("command", sa.Text))
    op.add_column("decisions", sa.Column("subject", _EXACT, nullable=False, server_default=""))
    op.add_column("decisions", sa.Column("members", sa.Text, nullable=False, server_default="[]"))
    op.execute(_INVITATIONS)
    _let_group_id_be_absent()
    op.create_index("decisions_of_subject", "decisions", ["provider", "app", "subject", "decided_ms"])
    op.create_index("decisions_by_time", "decisions", ["decided_ms"])


def _let_group_id_be_absent() -> None:
    """On SQLite the table is made anew under its name; views that others have on it must not hinder that."""
    sqlite = op.get_context().dialect.name == "sqlite"
    if sqlite:
        op.execute("PRAGMA legacy_alter_table=ON")
    with op.batch_alter_table("decisions") as decisions:
        decisions.alter_column("group_id", existing_type=_EXACT, nullable=True)
    if sqlite:
        op.execute("PRAGMA legacy_alter_table=OFF")
