"""Replay: planned before it is run, ids and sequences kept, told to the audit trail."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import UsageError
from bridge.log.base import JOB_HEADER, Record, TopicPartition
from bridge.log.memory import MemoryLog
from bridge.log.scan import Selection
from consumers import replay
from consumers.runner import Runner
from consumers.store.base import CheckpointKey
from consumers.store.sql import SqlStore
from schemas.envelope import read_envelope
from schemas.topics import GROUP, OPS
from tests.consuming import Counting, counted, joined, new_counter, opened, read_all, record, running

PARTITION = TopicPartition(GROUP, 0)


@pytest.fixture
async def log() -> AsyncIterator[MemoryLog]:
    memory = MemoryLog(partitions=1)
    yield memory
    await memory.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await opened(f"sqlite:///{tmp_path / 'store.db'}")
    new_counter(store, "seen")
    yield store
    await store.close()


class SlowedClock:
    """Time that passes in the sleeps of a replay alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("consumers.replay.asyncio.sleep", self._sleep)
        monkeypatch.setattr("consumers.replay.monotonic", lambda: self.now)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds


async def told(log: MemoryLog, job: str) -> list[dict[str, Any]]:
    """Return what the audit trail says of the job, in order, each with its type."""
    events = [each.envelope() for each in await read_all(log, OPS)]
    return [{"type": event.type, **event.data} for event in events if event.data["job"] == job]


async def again(log: MemoryLog, selection: Selection, **options: Any) -> tuple[str, int]:
    planned = await replay.plan(log, selection)
    clock = count(1 << 40).__next__
    return await replay.replay_to_topic(log, planned, GROUP, actor="ada", clock=clock, **options)


def identity(each: Record) -> tuple[str, str, str | None, bytes | None]:
    return each.headers["ce_id"], each.headers["ce_sequence"], each.key, each.value


async def test_a_plan_counts_and_fixes_the_ends(log: MemoryLog) -> None:
    await log.append([record(joined(number, group)) for number, group in enumerate("aab")])
    planned = await replay.plan(log, Selection(GROUP, key="a"), "topic x", ["groups"])
    await log.append([record(joined(3, "a"))])
    assert planned.counts == {(0, "im.group.member.joined.v1"): 2}
    assert (planned.records, planned.target, planned.readers) == (2, "topic x", ["groups"])
    assert planned.size_bytes == sum(len(each.value or b"") for each in (await read_all(log, GROUP))[:2])
    assert (planned.first_ms, planned.last_ms) == (1, 2)
    found = [stored.record.headers["ce_id"] async for _, stored in replay.selected(log, planned)]
    assert found == ["e0", "e1"]


async def test_a_plan_of_nothing_has_no_times(log: MemoryLog) -> None:
    planned = await replay.plan(log, Selection(GROUP))
    assert (planned.records, planned.first_ms, planned.last_ms) == (0, None, None)


async def test_records_given_again_keep_everything_and_name_their_job(log: MemoryLog) -> None:
    await log.append([record(joined(number)) for number in range(3)])
    job, done = await again(log, Selection(GROUP))
    held = await read_all(log, GROUP)
    assert done == 3
    assert [identity(each) for each in held[3:]] == [identity(each) for each in held[:3]]
    assert [each.headers.get(JOB_HEADER) for each in held] == [None] * 3 + [job] * 3
    assert all(read_envelope(each.headers, each.value).id for each in held)


async def test_a_job_is_told_when_it_starts_and_when_it_ends(log: MemoryLog) -> None:
    await log.append([record(joined(number)) for number in range(3)])
    job, _ = await again(log, Selection(GROUP, key="g1"))
    started, finished = await told(log, job)
    assert (started["type"], finished["type"]) == ("im.ops.replay.started.v1", "im.ops.replay.finished.v1")
    assert (started["actor"], started["to_topic"], started["planned_records"]) == ("ada", GROUP, 3)
    assert started["selection"]["key"] == "g1"
    assert started["ranges"] == {"0": [0, 3]}
    assert finished["records"] == 3


async def test_many_records_go_in_batches_with_their_progress_told(log: MemoryLog) -> None:
    await log.append([record(joined(number)) for number in range(1100)])
    progress: list[int] = []
    _, done = await again(log, Selection(GROUP), progress=progress.append)
    assert done == 1100
    assert progress == [500, 1000, 1100]
    assert (await log.bounds(GROUP))[0].end == 2200


async def test_a_rate_is_kept(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SlowedClock(monkeypatch)
    await log.append([record(joined(number)) for number in range(600)])
    await again(log, Selection(GROUP), rate=50)
    assert clock.now == pytest.approx(100 + 600 / 50, abs=0.2)


async def test_what_is_selected_comes_at_the_rate_and_a_stall_is_not_made_up_for_in_a_burst(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SlowedClock(monkeypatch)
    await log.append([record(joined(number)) for number in range(20)])
    planned = await replay.plan(log, Selection(GROUP))
    times = []
    async for _ in replay.selected(log, planned, rate=4):
        times.append(clock.now)
        clock.now += 5 if len(times) == 10 else 0
    apart = [round(later - earlier, 2) for earlier, later in pairwise(times)]
    assert apart.count(0.25) >= 17
    assert max(apart) == 5
    assert len(times) == 20


async def test_a_topic_that_is_not_ours_is_refused_before_anything_is_told(log: MemoryLog) -> None:
    planned = await replay.plan(log, Selection(GROUP))
    with pytest.raises(UsageError, match="elsewhere is no topic"):
        await replay.replay_to_topic(log, planned, "elsewhere", actor="ada", clock=lambda: 1)
    assert await read_all(log, OPS) == []


@pytest.mark.parametrize(
    "narrowed", [{"key": "g1"}, {"type": "im.group.*"}, {"end_offset": 2}, {"until_ms": 2}]
)
async def test_a_rewind_cannot_be_narrowed_down(
    log: MemoryLog, store: SqlStore, narrowed: dict[str, Any]
) -> None:
    planned = await replay.plan(log, Selection(GROUP, **narrowed))
    with pytest.raises(UsageError, match="leave out key, type and ends"):
        await replay.rewind_projection(log, store, planned, "counting", actor="ada", clock=lambda: 1)
    assert (await read_all(log, OPS), await store.checkpoints()) == ([], [])


async def test_a_projection_that_is_not_running_begins_where_it_was_set_back_to(
    log: MemoryLog, store: SqlStore
) -> None:
    await log.append([record(joined(number)) for number in range(5)])
    planned = await replay.plan(log, Selection(GROUP, first_offset=2))
    job, moved = await replay.rewind_projection(
        log, store, planned, "counting", actor="ada", clock=count(1 << 40).__next__
    )
    (row,) = await store.checkpoints("counting")
    assert row.key == CheckpointKey("counting", await log.log_id(PARTITION), PARTITION)
    assert (moved, row.next_offset, row.owner) == (1, 2, job)
    assert [one["type"].split(".")[3] for one in await told(log, job)] == ["started", "finished"]


async def test_a_running_projection_with_nothing_to_do_notices_that_it_was_set_back(
    log: MemoryLog, store: SqlStore
) -> None:
    await log.append([record(joined(number)) for number in range(5)])
    runner = Runner(
        log,
        store,
        Counting(),
        dead_letters=log,
        owner="me",
        poll_seconds=0.01,
        claim_check_seconds=0.05,
    )
    async with running(runner):
        await runner.reached(PARTITION, 5)
        planned = await replay.plan(log, Selection(GROUP, first_offset=1))
        await replay.rewind_projection(
            log, store, planned, "counting", actor="ada", clock=count(1 << 40).__next__
        )
        await until_counted(store, 5 + 4)
        assert await store.drop("counting") == 1
        await until_counted(store, 5 + 4 + 5)


async def until_counted(store: SqlStore, wanted: int) -> None:
    async with asyncio.timeout(10):
        while await counted(store, "seen") != wanted:  # noqa: ASYNC110 - the tables signal nothing
            await asyncio.sleep(0.01)
