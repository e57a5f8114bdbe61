"""The stores behind the projections: SQLite and PostgreSQL, held to one contract."""
