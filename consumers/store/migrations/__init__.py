"""The store's schema, step by step, for Alembic. A revision that was released is never edited."""
