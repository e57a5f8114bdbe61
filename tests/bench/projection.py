"""Projecting: events per second into SQLite and PostgreSQL, in batches as the runner makes them.

One event in twenty is a new group of three, three in five are joins of one member, the rest are updates of
members and groups. There are 2 000 groups, a tenth of them have almost half of the events. Each batch is read
from its records' bytes, projected and committed with its checkpoint, in one process; commits reach the disk.
"""

import asyncio
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bridge.log.base import Record, TopicPartition, record_of
from consumers.projections.groups import GroupsProjection
from consumers.store.base import CheckpointKey, Move, Store
from consumers.store.opening import store_for
from schemas.envelope import Envelope, format_time
from schemas.topics import GROUP
from tests.bench.report import Report, Table, disk
from tests.parts import PartMissing, start_postgres

GROUPS = 2_000
BEGIN_MS = 1_700_000_000_000


class Spent(NamedTuple):
    """What one round took, on the clock and of this process's processor time."""

    seconds: float
    cpu_seconds: float


def measure(rounds: int = 3, events: int = 20_000, batch: int = 500) -> Report:
    """Measure both stores in interleaved rounds; PostgreSQL is left out where there is none."""
    notes = [f"{events} events a round in batches of {batch}, {GROUPS} groups, the checkpoint in each commit"]
    with ExitStack() as running:
        place = running.enter_context(tempfile.TemporaryDirectory(dir=disk(), prefix="imbridge-bench-"))
        urls = {"SQLite": f"sqlite:///{Path(place) / 'store.db'}"}
        try:
            server = running.enter_context(start_postgres(durable=True))
        except PartMissing as reason:
            notes.append(str(reason))
        else:
            urls["PostgreSQL"] = server.url
            notes.append(f"PostgreSQL: {server.how}")
        spent: dict[str, list[Spent]] = {name: [] for name in urls}
        for turn in range(rounds):
            for name, url in urls.items():
                records = _records(events, seed=turn)
                gc.collect()
                gc.freeze()  # the records stand for a log: walking them is no part of projecting
                spent[name].append(asyncio.run(_project(url, records, batch)))
                gc.unfreeze()
    return _report(events, spent, notes)


def _report(events: int, spent: Mapping[str, Sequence[Spent]], notes: Sequence[str]) -> Report:
    rates = {name: [events / each.seconds for each in rounds] for name, rounds in spent.items()}
    per_cpu = {name: [events / each.cpu_seconds for each in rounds] for name, rounds in spent.items()}
    rows = [
        (name, *(f"{statistics.median(figures):,.0f}" for figures in (rates[name], per_cpu[name])))
        for name in spent
    ]
    table = Table("Projection `groups`", ("store", "events/s", "events per CPU second of ours"), rows)
    raw = {"events_per_second": rates, "events_per_cpu_second": per_cpu}
    return Report("projection", (table,), raw=raw, notes=tuple(notes))


async def _project(url: str, records: Sequence[Record], batch: int) -> Spent:
    store = store_for(url)
    await store.open()
    try:
        return await _apply(store, records, batch)
    finally:
        await store.close()


async def _apply(store: Store, records: Sequence[Record], batch: int) -> Spent:
    projection = GroupsProjection()
    claim = await store.claim(CheckpointKey("bench", "none", TopicPartition(GROUP, 0)), "bench")
    begin = claim.next_offset or 0
    since, cpu_since = time.perf_counter(), time.process_time()
    for start in range(0, len(records), batch):
        envelopes = [record.envelope() for record in records[start : start + batch]]
        move = Move(claim, begin + start + len(envelopes))
        (claim,) = await store.commit([move], projection.effects(envelopes))
    return Spent(time.perf_counter() - since, time.process_time() - cpu_since)


def _records(count: int, seed: int) -> Sequence[Record]:
    dice = random.Random(seed)
    return [_record(dice, seed, number) for number in range(count)]


def _record(dice: random.Random, seed: int, number: int) -> Record:
    ms = BEGIN_MS + seed * 10_000_000 + number
    group = f"@TGS#{int(GROUPS * dice.random() ** 3):06d}"
    user = f"user{dice.randrange(200):04d}"
    fact, data = _fact(dice.random(), user)
    when = format_time(ms)
    envelope = Envelope(
        id=f"tencent-{dice.randbytes(16).hex()}",
        source="/im/tencent/1400000000",
        type=f"im.group.{fact}.v1",
        subject=f"group/{group}",
        time=when,
        recordedtime=when,
        sequence=f"{ms << 16:016x}",
        partitionkey=group,
        data={"group_id": group, **data, "origin": {"body": {"padding": "x" * 300}}},
    )
    return record_of(GROUP, envelope, ms)


def _fact(chance: float, user: str) -> tuple[str, dict[str, object]]:
    if chance < 0.05:
        members = [{"user_id": f"{user}-{each}"} for each in range(3)]
        return "created", {"group_type": "Public", "name": "A group", "owner_id": user, "members": members}
    if chance < 0.65:
        joined = {"group_type": "Public", "join_kind": "applied", "operator_id": "root"}
        return "member.joined", {**joined, "members": [{"user_id": user}]}
    if chance < 0.9:
        return "member.updated", {"user_id": user, "nickname": "Somebody", "role": "admin"}
    return "updated", {"name": "Another name"}
