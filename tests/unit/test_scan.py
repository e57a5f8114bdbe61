"""Reading a stretch of a topic once, narrowed down, with the ends fixed when it began."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from bridge.log.base import Bounds, Record, TopicPartition, record_of
from bridge.log.memory import MemoryLog
from bridge.log.scan import Found, Selection, ranges_of, scan
from schemas.topics import GROUP
from tests.consuming import joined


@pytest.fixture
async def log() -> AsyncIterator[MemoryLog]:
    memory = MemoryLog(partitions=2)
    yield memory
    await memory.close()


def at(number: int, group: str = "g1") -> Record:
    """Return the record of the ``number``-th person to join, accepted ``number`` seconds after the epoch."""
    return record_of(GROUP, joined(number, group), number * 1000)


async def found(log: MemoryLog, selection: Selection) -> list[Found]:
    return [each async for each in scan(log, await ranges_of(log, selection), selection.takes)]


async def ids(log: MemoryLog, selection: Selection) -> list[str]:
    return [stored.record.headers["ce_id"] for _, stored in await found(log, selection)]


async def test_everything_up_to_the_end_is_found_in_order_per_partition(log: MemoryLog) -> None:
    await log.append([at(number, f"g{number % 5}") for number in range(1200)])
    places: dict[TopicPartition, list[int]] = {}
    for place, stored in await found(log, Selection(GROUP)):
        places.setdefault(place, []).append(stored.offset)
    assert len(places) == 2
    assert all(offsets == list(range(len(offsets))) for offsets in places.values())
    assert sum(map(len, places.values())) == 1200


async def test_what_arrives_while_it_is_read_is_not_part_of_it(log: MemoryLog) -> None:
    await log.append([at(0), at(1)])
    seen = []
    async for _, stored in scan(log, await ranges_of(log, Selection(GROUP))):
        seen.append(stored.record.headers["ce_id"])
        await log.append([at(len(seen) + 10)])
    assert seen == ["e0", "e1"]


async def test_following_goes_on_with_what_arrives(log: MemoryLog) -> None:
    await log.append([at(0)])
    following = scan(log, await ranges_of(log, Selection(GROUP)), follow=True)
    async with asyncio.timeout(10), aclosing(following):
        assert (await anext(following))[1].record.headers["ce_id"] == "e0"
        await log.append([at(1)])
        assert (await anext(following))[1].record.headers["ce_id"] == "e1"


async def test_an_empty_topic_holds_nothing_and_can_be_followed(log: MemoryLog) -> None:
    assert await found(log, Selection(GROUP)) == []
    following = scan(log, await ranges_of(log, Selection(GROUP)), follow=True)
    async with asyncio.timeout(10), aclosing(following):
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0)
        await log.append([at(7)])
        assert (await waiting)[1].record.headers["ce_id"] == "e7"


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(GROUP, since_ms=2000), [2, 3, 4]),
        (Selection(GROUP, until_ms=2000), [0, 1]),
        (Selection(GROUP, since_ms=1000, until_ms=3000), [1, 2]),
        (Selection(GROUP, since_ms=99_000), []),
        (Selection(GROUP, first_offset=1, end_offset=3), [1, 2]),
        (Selection(GROUP, first_offset=3), [3, 4]),
        (Selection(GROUP, end_offset=99), [0, 1, 2, 3, 4]),
        (Selection(GROUP, first_offset=3, end_offset=1), []),
        (Selection(GROUP, first_offset=1, since_ms=3000), [3, 4]),
    ],
)
async def test_times_and_offsets_are_half_open(selection: Selection, wanted: list[int]) -> None:
    log = MemoryLog(partitions=1)
    await log.append([at(number) for number in range(5)])
    assert await ids(log, selection) == [f"e{number}" for number in wanted]


async def test_a_late_record_before_the_first_of_its_time_is_left_out(log: MemoryLog) -> None:
    await log.append([at(5), at(1), at(6)])
    assert await ids(log, Selection(GROUP, since_ms=4000)) == ["e5", "e6"]


async def test_keys_and_types_are_exact_or_patterns(log: MemoryLog) -> None:
    await log.append([at(0, "alpha"), at(1, "beta"), at(2, "alphabet"), at(3, "[x]?")])
    assert await ids(log, Selection(GROUP, key="alpha")) == ["e0"]
    assert sorted(await ids(log, Selection(GROUP, key="alpha*"))) == ["e0", "e2"]
    assert await ids(log, Selection(GROUP, key="ALPHA")) == []
    assert sorted(await ids(log, Selection(GROUP, type="im.group.*"))) == ["e0", "e1", "e2", "e3"]
    assert await ids(log, Selection(GROUP, type="im.user.*")) == []
    assert await ids(log, Selection(GROUP, key="[x]?")) == ["e3"]
    assert await ids(log, Selection(GROUP, key="[x]*")) == ["e3"]
    assert await ids(log, Selection(GROUP, key="?eta")) == []


async def test_one_partition_alone_is_read(log: MemoryLog) -> None:
    await log.append([at(number, f"g{number}") for number in range(10)])
    for number in (0, 1):
        places = {place.partition for place, _ in await found(log, Selection(GROUP, partition=number))}
        assert places == {number}


async def test_what_was_forgotten_is_not_asked_for(log: MemoryLog) -> None:
    log = MemoryLog(partitions=1)
    await log.append([at(number) for number in range(5)])
    log.forget(TopicPartition(GROUP, 0), 3)
    assert await ranges_of(log, Selection(GROUP, first_offset=0)) == {TopicPartition(GROUP, 0): Bounds(3, 5)}
    assert await ids(log, Selection(GROUP)) == ["e3", "e4"]
