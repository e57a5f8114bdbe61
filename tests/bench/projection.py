"""Projecting: events per second into SQLite and PostgreSQL, in batches as the runner makes them.

One event in twenty is a new group of three, three in five are joins of one member, the rest are updates of
members and groups, over 2 000 groups. Each batch is read from its records' bytes, projected and committed
with its checkpoint on one core's worth of Python; commits reach the disk.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bridge.log.base import Record, TopicPartition, record_of
from consumers.projections.groups import GroupsProjection
from consumers.store.base import CheckpointKey, Store
from consumers.store.opening import store_for
from schemas.envelope import Envelope, format_time
from schemas.topics import GROUP
from tests.bench.report import Report, Table
from tests.parts import PartMissing, start_postgres

GROUPS = 2_000
BEGIN_MS = 1_700_000_000_000


def measure(rounds: int = 3, events: int = 20_000, batch: int = 500) -> Report:
    """Measure both stores in interleaved rounds; PostgreSQL is left out where there is none."""
    notes = [f"{events} events a round in batches of {batch}, {GROUPS} groups, checkpoint in each commit"]
    with ExitStack() as running:
        place = running.enter_context(tempfile.TemporaryDirectory(prefix="imbridge-bench-"))
        urls = {"SQLite": f"sqlite:///{Path(place) / 'store.db'}"}
        try:
            server = running.enter_context(start_postgres(durable=True))
        except PartMissing as reason:
            notes.append(str(reason))
        else:
            urls["PostgreSQL"] = server.url
            notes.append(f"PostgreSQL: {server.how}")
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for turn in range(rounds):
            for name, url in urls.items():
                records = _records(events, seed=turn)
                rates[name].append(events / asyncio.run(_project(url, records, batch)))
    return _report(rates, notes)


def _report(rates: dict[str, list[float]], notes: Sequence[str]) -> Report:
    rows = [(name, f"{statistics.median(all_):,.0f}", f"{min(all_):,.0f}") for name, all_ in rates.items()]
    table = Table("Projection `groups`", ("store", "events/s, median", "least"), tuple(rows))
    return Report("projection", (table,), tuple(notes), {"events_per_second": rates})


async def _project(url: str, records: Sequence[Record], batch: int) -> float:
    store = store_for(url)
    await store.open()
    try:
        return await _apply(store, records, batch)
    finally:
        await store.close()


async def _apply(store: Store, records: Sequence[Record], batch: int) -> float:
    projection = GroupsProjection()
    claim = await store.claim(CheckpointKey("bench", "none", TopicPartition(GROUP, 0)), "bench")
    begin = claim.next_offset or 0
    since = time.perf_counter()
    for start in range(0, len(records), batch):
        envelopes = [record.envelope() for record in records[start : start + batch]]
        claim = await store.commit(claim, begin + start + len(envelopes), projection.effects(envelopes))
    return time.perf_counter() - since


def _records(count: int, seed: int) -> Sequence[Record]:
    dice = random.Random(seed)
    return [_record(dice, seed, number) for number in range(count)]


def _record(dice: random.Random, seed: int, number: int) -> Record:
    ms = BEGIN_MS + seed * 10_000_000 + number
    group = f"@TGS#{dice.randrange(GROUPS):06d}"
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
