"""How much a process relays at a time: less where callers wait in the same loop."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.config import KafkaSettings, Settings
from bridge.log.base import Position, Record
from bridge.log.memory import MemoryLog
from bridge.log.segments import open_journal
from bridge.main.relaying import Relaying
from bridge.relay import BATCH_RECORDS, SHARED_BATCH_RECORDS
from schemas.topics import GROUP


class Appends(MemoryLog):
    """A log that remembers how many records each append brought."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def append(self, records: Sequence[Record]) -> Sequence[Position]:
        self.sizes.append(len(records))
        return await super().append(records)


@pytest.mark.parametrize(("shared", "most"), [(True, SHARED_BATCH_RECORDS), (False, BATCH_RECORDS)])
async def test_a_backlog_is_relayed_in_small_portions_only_where_callers_are_answered_too(
    tmp_path: Path, *, shared: bool, most: int
) -> None:
    journal = await asyncio.to_thread(open_journal, tmp_path, loop=asyncio.get_running_loop())
    await journal.append([Record(GROUP, "g", b"{}", {"ce_id": str(n)}, n) for n in range(2 * BATCH_RECORDS)])
    await journal.close()
    log, settings = Appends(), Settings(data_dir=tmp_path, kafka=KafkaSettings(bootstrap_servers=("k:9092",)))
    relaying = Relaying(settings, log, lambda: None, shared=shared)
    running = asyncio.create_task(relaying.run())
    async with asyncio.timeout(20):
        while sum(log.sizes) < 2 * BATCH_RECORDS:  # noqa: ASYNC110 the log's own list
            await asyncio.sleep(0.005)
        relaying.stop()
        await running
    assert max(log.sizes) == most
