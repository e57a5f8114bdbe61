"""SQLite's own ways: opening a file others use, and what its log may take of the disk."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from bridge.config import JournalSettings, Settings
from bridge.errors import StoreUnavailable
from bridge.log.base import TopicPartition
from bridge.main.opening import open_store
from consumers.projections.groups import GroupsProjection
from consumers.store.base import CheckpointKey
from consumers.store.opening import store_for
from consumers.store.sql import SqlStore
from tests.consuming import commit, joined, key, new_counter, opened


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


def read_only(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Have every connection opened as on a disk that is read-only."""
    real = sqlite3.connect

    def connect(_: str, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(f"file:{path}?mode=ro", uri=True, **options)
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", connect)


async def test_a_file_that_was_read_only_is_written_once_it_is_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = store_for(f"sqlite:///{path}")
    await store.open()
    await store.close()
    key = CheckpointKey("groups", "journal:1", TopicPartition("im.group.v1", 1))
    store = store_for(f"sqlite:///{path}")
    with monkeypatch.context() as for_now:
        read_only(for_now, path)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="readonly"):
                await store.claim(key, "me")
    assert (await store.claim(key, "me")).next_offset is None
    await store.close()


async def test_a_disk_that_is_read_only_is_not_waited_for_like_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE made_by_another (a)")
    made.close()
    read_only(monkeypatch, path)
    store = store_for(f"sqlite:///{path}", lock_seconds=60)
    async with asyncio.timeout(20):
        with pytest.raises(StoreUnavailable, match="readonly"):
            await store.open()
        await store.close()


async def test_its_log_is_written_back_before_it_takes_more_of_the_disk_than_it_may(tmp_path: Path) -> None:
    """The disk may hold no more than that: a full journal is read off by these commits alone."""
    path, log_bytes = tmp_path / "store.db", 256 * 1024
    store = await opened(f"sqlite:///{path}", log_bytes=log_bytes)
    new_counter(store, "c")
    claim = await store.claim(key(), "me")
    record = joined(1)
    record.data["members"][0]["extension"] = "x" * 20_000
    effects = GroupsProjection().effects([record])
    for number in range(1, 100):
        claim = await commit(store, claim, number, effects)
    a_transaction = 64 * 1024
    assert path.with_name("store.db-wal").stat().st_size <= log_bytes + a_transaction
    await store.close()


def test_of_a_journal_with_small_segments_it_takes_a_quarter_of_what_the_journal_leaves_it(
    tmp_path: Path,
) -> None:
    for segment_bytes, pages in ((1 << 20, 64), (1 << 30, 4096)):
        journal = JournalSettings(segment_bytes=segment_bytes, max_bytes=4 << 30)
        store = open_store(Settings(data_dir=tmp_path, journal=journal))
        assert isinstance(store, SqlStore)
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == pages
