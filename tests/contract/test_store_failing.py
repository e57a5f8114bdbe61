"""A database that is away, locked or damaged: only errors of ours come out, and work goes on afterwards."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert, select

from bridge.errors import ConfigurationError, StoreRefused, StoreUnavailable
from consumers.store.base import Claim, Effect, Store
from consumers.store.opening import store_for
from consumers.store.sql import SqlStore
from consumers.store.tables import CURRENT_GROUPS
from tests.consuming import COUNTER, add, commit, counted, key, new_counter, opened
from tests.parts import PostgresServer

EVERYTHING: dict[str, Callable[[Store, Claim], Awaitable[object]]] = {
    "open": lambda store, _: store.open(),
    "claim": lambda store, _: store.claim(key(), "me"),
    "commit": lambda store, claim: commit(store, claim, 9, add("c", 9)),
    "checkpoints": lambda store, _: store.checkpoints(),
    "rewind": lambda store, _: store.rewind(key(), 1, "me"),
    "drop": lambda store, _: store.drop("groups"),
    "select": lambda store, _: store.select(select(CURRENT_GROUPS)),
}
WRITES = ("claim", "commit", "rewind", "drop")


async def fails_as_unavailable(store: Store, claim: Claim, *names: str) -> None:
    for name in names:
        with pytest.raises(StoreUnavailable) as said:
            await EVERYTHING[name](store, claim)
        assert said.value.retriable, name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def sqlite(file: Path) -> AsyncIterator[SqlStore]:
    store = await opened(f"sqlite:///{file}", lock_seconds=0.05)
    yield store
    await store.close()


async def test_a_locked_sqlite_file_is_waited_for_within_a_bound_and_read_meanwhile(
    sqlite: SqlStore, file: Path
) -> None:
    new_counter(sqlite, "c")
    claim = await sqlite.claim(key(), "me")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await fails_as_unavailable(sqlite, claim, *WRITES)
    assert len(await sqlite.checkpoints()) == 1
    other.close()
    await commit(sqlite, claim, 9, add("c", 9))
    assert await counted(sqlite, "c") == 9


async def test_a_sqlite_file_in_no_directory_is_unavailable(tmp_path: Path) -> None:
    store = store_for(f"sqlite:///{tmp_path / 'none' / 'store.db'}")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        await store.open()
    await store.close()


def test_a_file_that_is_no_database_is_unavailable(file: Path) -> None:
    file.write_bytes(b"not a database " * 1000)

    async def open_it() -> None:
        store = store_for(f"sqlite:///{file}")
        with pytest.raises(StoreUnavailable, match="not a database"):
            await store.open()
        await store.close()

    asyncio.run(open_it())


async def test_sqlite_commits_reach_the_disk_and_readers_do_not_wait(sqlite: SqlStore) -> None:
    with sqlite._engine.connect() as connection:
        settings = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    assert settings == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 50}


async def test_a_postgres_that_is_gone_is_unavailable_and_comes_back(own_postgres: PostgresServer) -> None:
    store = await opened(own_postgres.url)
    new_counter(store, "c")
    claim = await store.claim(key(), "me")
    own_postgres.stop()
    await fails_as_unavailable(store, claim, *(set(EVERYTHING) - {"open"}))
    late = store_for(own_postgres.url)
    await fails_as_unavailable(late, claim, "open")
    own_postgres.start()
    await commit(store, claim, 9, add("c", 9))
    assert await counted(store, "c") == 9
    await late.open()
    for each in (store, late):
        await each.close()


async def test_a_session_cut_between_the_statements_of_a_commit_writes_nothing(
    postgres_database: str,
) -> None:
    store = await opened(postgres_database)
    new_counter(store, "c")
    claim = await store.claim(key(), "me")
    execute = store._execute
    cuts: list[int] = []

    def cut_once(connection, statement, rows):  # type: ignore[no-untyped-def]
        execute(connection, statement, rows)
        if not cuts:
            cuts.append(connection.connection.dbapi_connection.info.backend_pid)
            with psycopg.connect(postgres_database) as other:
                other.execute("SELECT pg_terminate_backend(%s)", cuts)

    store._execute = cut_once  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await commit(store, claim, 9, add("c", 9))
    assert await counted(store, "c") == 0
    await commit(store, claim, 9, add("c", 9))
    assert await counted(store, "c") == 9
    await store.close()


async def test_a_row_lock_held_elsewhere_is_waited_for_within_a_bound(postgres_database: str) -> None:
    store = await opened(postgres_database, lock_seconds=0.05)
    claim = await store.claim(key(), "me")
    with psycopg.connect(postgres_database) as other:
        other.execute("SELECT * FROM checkpoints FOR UPDATE")
        await fails_as_unavailable(store, claim, "claim", "rewind")
    await store.claim(key(), "me")
    await store.close()


async def test_postgres_sessions_are_bounded(postgres_database: str) -> None:
    store = await opened(postgres_database, lock_seconds=1, idle_seconds=2, statement_seconds=3)
    with store._engine.connect() as connection:
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in BOUNDS]
    assert shown == ["1s", "2s", "3s"]
    await store.close()


BOUNDS = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")


async def test_a_text_with_a_nul_is_refused_by_postgres_for_itself(postgres_database: str) -> None:
    store = await opened(postgres_database)
    claim = await store.claim(key(), "me")
    for rows in ([{"name": "a\0b", "n": 1}], [{"name": "a\0b", "n": 1}, {"name": "c", "n": 1}]):
        with pytest.raises(StoreRefused):
            await commit(store, claim, 1, [Effect(insert(COUNTER), rows)])
    await store.close()


async def test_a_key_longer_than_an_index_takes_is_refused_by_postgres_for_itself(
    postgres_database: str,
) -> None:
    store = await opened(postgres_database)
    claim = await store.claim(key(), "me")
    noise = "".join(chr(0x4E00 + number * 7 % 20_000) for number in range(9_000))
    with pytest.raises(StoreRefused):
        await commit(store, claim, 1, [Effect(insert(COUNTER), [{"name": noise, "n": 1}])])
    await store.close()


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "consumers.store.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"imbridge\[postgres\]"):
        store_for("postgresql://user@host/database")


@pytest.mark.parametrize("url", ["mysql://host/db", "store.db", "", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_names_no_store_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"store\.url"):
        store_for(url)


async def test_secrets_in_the_url_are_not_in_messages(unused_tcp_port: int) -> None:
    store = store_for(f"postgresql://user:sesame@127.0.0.1:{unused_tcp_port}/database")
    with pytest.raises(StoreUnavailable) as said:
        await store.open()
    assert str(unused_tcp_port) in str(said.value)
    assert "sesame" not in str(said.value)
    await store.close()
