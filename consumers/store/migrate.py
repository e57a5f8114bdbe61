"""Brings a database to this program's tables, within a transaction that locks others out."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from bridge.errors import StoreError

VERSION_TABLE = "imbridge_schema"


def migrate(connection: Connection, place: str) -> bool:
    """Apply every missing revision within the caller's transaction and return whether there were any.

    ``place`` names the database in messages. Raises StoreError when a newer program made the tables.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=VERSION_TABLE)
    script = ScriptDirectory.from_config(config)
    found = current(connection)
    if found == script.get_current_head():
        return False
    _refuse_newer(script, found, place)
    command.upgrade(config, "head")
    return True


def current(connection: Connection) -> str | None:
    """Return the revision the database stands at, None for one without our tables."""
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()


def _refuse_newer(script: ScriptDirectory, found: str | None, place: str) -> None:
    known = [revision.revision for revision in script.walk_revisions()]
    if found is not None and found not in known:
        raise StoreError(
            f"the tables in {place} are at revision {found}, made by a newer imbridge; this one knows up to "
            f"{script.get_current_head()}: upgrade this program, or give it another database"
        )
