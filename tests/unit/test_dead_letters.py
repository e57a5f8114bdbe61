import pytest

from bridge.errors import UsageError
from bridge.log.base import JOB_HEADER, Position, Record, TopicPartition
from bridge.log.dead_letters import Disposition, dead_letter
from bridge.log.memory import MemoryLog
from consumers.dead_letters import redrive
from schemas.topics import DLQ, GROUP, OPS

RECORD = Record(GROUP, "g", b'{"group_id":"g"}', {"ce_id": "e1", "content-type": "application/json"}, 7)


def letter(record: Record = RECORD, disposition: Disposition = "poison") -> Record:
    where = Position(record.topic, 1, 42)
    return dead_letter(
        record,
        where,
        consumer="groups",
        log_id="journal:x",
        reason="no",
        attempts=1,
        disposition=disposition,
        now_ms=9,
    )


async def stored(log: MemoryLog, topic: str) -> list[Record]:
    found = []
    for partition, held in (await log.bounds(topic)).items():
        if held.begin < held.end:
            reader = log.reader({TopicPartition(topic, partition): held.begin})
            batch = await reader.read(100, 1.0)
            found += [each.record for each in batch.records] if batch else []
            await reader.close()
    return found


async def test_a_redriven_record_is_the_original_with_the_job_named() -> None:
    log = MemoryLog(partitions=1)
    job = await redrive(log, letter(), actor="ops", moment=1 << 16)
    assert await stored(log, GROUP) == [RECORD._replace(headers={**RECORD.headers, JOB_HEADER: job})]
    told = [record.envelope() for record in await stored(log, OPS)]
    assert [(event.type, event.data["to_topic"]) for event in told] == [
        ("im.ops.dead_letter.redriven.v1", GROUP)
    ]


async def test_a_letter_that_tells_of_a_gap_holds_nothing_to_give_again() -> None:
    log = MemoryLog(partitions=1)
    with pytest.raises(UsageError, match="holds no record"):
        await redrive(log, letter(disposition="gap"), actor="ops", moment=1 << 16)
    assert await stored(log, GROUP) == []


async def test_a_letter_from_an_unknown_topic_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"im\.other\.v1"):
        await redrive(MemoryLog(), letter(RECORD._replace(topic="im.other.v1")), actor="ops", moment=1 << 16)


def test_parking_a_record_twice_gives_the_letter_one_id() -> None:
    assert letter().headers["im-dlq-id"] == letter().headers["im-dlq-id"]
    assert letter().topic == DLQ
