import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from bridge.errors import StoreUnavailable
from consumers.store.opening import store_for


async def test_a_file_that_somebody_else_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite refuses the switch to WAL at once while a first transaction is under way."""
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE made_by_another (a)")
    other.execute("BEGIN IMMEDIATE")
    store = store_for(f"sqlite:///{path}", lock_seconds=20)
    opening = asyncio.create_task(store.open())
    done, _ = await asyncio.wait([opening], timeout=0.1)
    assert not done
    other.execute("COMMIT")
    other.close()
    async with asyncio.timeout(20):
        await opening
    assert list(await store.checkpoints()) == []
    await store.close()
    with sqlite3.connect(path) as now:
        assert now.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    now.close()


async def test_it_is_waited_for_no_longer_than_for_any_lock(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = store_for(f"sqlite:///{path}", lock_seconds=0.05)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.open()
    assert time.monotonic() - begun < 10
    await store.close()
    other.close()
