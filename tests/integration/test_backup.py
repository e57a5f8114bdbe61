"""deploy/backup.sh beside a bridge at work: the copy holds together whatever happens while it is made."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridge.errors import JournalBusy
from bridge.log.base import Record, TopicPartition
from bridge.log.segments import SegmentLog, open_journal
from consumers.store.base import CheckpointKey
from consumers.store.sqlite import SqliteStore
from schemas.topics import GROUP
from tests.consuming import commit

SCRIPT = Path(__file__).parents[2] / "deploy" / "backup.sh"
SEGMENT_BYTES = 512 * 1024
OWNER = "test"


@asynccontextmanager
async def _journal(data_dir: Path) -> AsyncIterator[SegmentLog]:
    loop = asyncio.get_running_loop()
    journal = await asyncio.to_thread(open_journal, data_dir, loop=loop, segment_bytes=SEGMENT_BYTES)
    try:
        yield journal
    finally:
        await journal.close()


def _store(data_dir: Path) -> SqliteStore:
    return SqliteStore(f"sqlite:///{data_dir / 'imbridge.sqlite'}")


def _key(journal: SegmentLog) -> CheckpointKey:
    return CheckpointKey("groups", journal.log_id, TopicPartition(GROUP, journal.number))


async def _work(journal: SegmentLog, store: SqliteStore, stop: asyncio.Event) -> None:
    """Append, and move a checkpoint along right behind, until stopped."""
    claim = await store.claim(_key(journal), OWNER)
    while not stop.is_set():
        records = [Record(GROUP, "g", os.urandom(700), {}, 1_700_000_000_000) for _ in range(64)]
        with suppress(JournalBusy):  # so fast that the next segment is not filled yet
            await journal.append(records)
        claim = await commit(store, claim, journal.end_offset, ())


async def _reach(journal: SegmentLog, end_offset: int, working: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(60):
        while journal.end_offset < end_offset:
            assert not working.done(), working.exception()
            await journal.bell.wait(journal.bell.rings, 1)


async def _back_up(data_dir: Path, copy: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    made = await asyncio.create_subprocess_exec(
        "sh", SCRIPT, data_dir, copy, env={"PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, complained = await made.communicate()
    assert made.returncode == 0, complained.decode()
    return said.decode().strip()


async def _checkpoint(data_dir: Path) -> int:
    store = _store(data_dir)
    await store.open()
    try:
        (checkpoint,) = await store.checkpoints("groups")
    finally:
        await store.close()
    assert checkpoint.next_offset is not None
    return checkpoint.next_offset


async def test_a_live_copy_holds_what_was_durable_and_checkpoints_inside_it(tmp_path: Path) -> None:
    data_dir, stop = tmp_path / "data", asyncio.Event()
    async with _journal(data_dir) as journal:
        store = _store(data_dir)
        await store.open()
        working = asyncio.create_task(_work(journal, store, stop))
        ends = []
        for number in range(3):
            await _reach(journal, 1000 * (number + 1), working)  # several segments, and work goes on
            ends.append(journal.end_offset)
            assert await _back_up(data_dir, tmp_path / f"copy{number}") == str(tmp_path / f"copy{number}")
        stop.set()
        await working
        await store.close()
    for number, end in enumerate(ends):
        copy = tmp_path / f"copy{number}"
        checkpoint = await _checkpoint(copy)
        async with _journal(copy) as restored:
            assert restored.log_id == journal.log_id
            assert end <= restored.end_offset
            assert checkpoint <= restored.end_offset


async def test_a_copy_can_be_written_on_and_goes_on_behind_its_end(tmp_path: Path) -> None:
    async with _journal(tmp_path / "data") as journal:
        await journal.append([Record(GROUP, "g", b"{}", {}, 1_700_000_000_000)])
        await _back_up(tmp_path / "data", tmp_path / "copy")
    async with _journal(tmp_path / "copy") as restored:
        (position,) = await restored.append([Record(GROUP, "g", b"{}", {}, 1_700_000_000_001)])
        assert (restored.lost_records, position.offset) == (0, 1)


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_copied_over_an_older_copy_or_from_a_directory_without_journals(
    tmp_path: Path, there: bool
) -> None:
    data_dir, copy = tmp_path / "data", tmp_path / "copy"
    (data_dir / "journals").mkdir(parents=True)
    if there:
        copy.mkdir()
    else:
        shutil.rmtree(data_dir / "journals")
    refused = subprocess.run(["sh", SCRIPT, data_dir, copy], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert ("exists already" if there else "holds no journals") in refused.stderr
    assert copy.exists() is there
