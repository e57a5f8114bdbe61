"""The store's schema, step by step, for Alembic: a new module in ``versions`` is a new step, 0002 after 0001.

A step that was released is never edited; ``tests/contract/test_store.py`` compares where the steps lead with
what ``consumers/store/tables.py`` declares.
"""
