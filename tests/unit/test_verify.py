"""What verify makes of a log: nothing wrong, one record gone, doubled, swapped, under two ids, under one."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from bridge.errors import LogUnavailable
from bridge.log.base import JOB_HEADER, JOURNAL_HEADER, Bounds, Record
from bridge.log.memory import MemoryLog
from bridge.simulate.claims import Claims
from bridge.simulate.findings import is_kept
from bridge.simulate.ledger import Entry
from bridge.simulate.markers import FIELD, Marker
from bridge.simulate.verification import Verification
from schemas.topics import GROUP, USER

JOURNAL = "journal:one"


def entry(number: int, **more: Any) -> Entry:
    """Return a claim: each is sent when the one before has been acknowledged."""
    times = {"sent_ns": 10 * number, "acked_ns": 10 * number + 5}
    return Entry(
        **{
            "marker": Marker("testruns", number),
            "provider": "tencent",
            "command": "C",
            "events": 1,
            **times,
            **more,
        }
    )


def record(
    number: int, event_id: str = "", part: int | None = None, journal: str | None = JOURNAL, **more: Any
) -> Record:
    origin: dict[str, Any] = {"body": {FIELD: f"testruns-{number}"}}
    if part is not None:
        origin["part"] = {"number": part, "of": 2}
    headers = {"ce_id": event_id or f"e{number}"} | ({JOURNAL_HEADER: journal} if journal else {})
    value = orjson.dumps({"origin": origin})
    return Record(**{"topic": GROUP, "key": "g1", "value": value, "headers": headers, "timestamp": 0, **more})


async def findings(entries: Sequence[Entry], records: Sequence[Record]) -> dict[str, Any]:
    log = MemoryLog(partitions=1)
    for one in records:
        await log.append([one])
    try:
        return await Verification(log, Claims(entries), lambda _, __: None).run(0)
    finally:
        await log.close()


def wrong(found: dict[str, Any]) -> dict[str, int]:
    """Return what was counted beside what is well, zeros left out."""
    kinds = ("missing", "duplicated", "split", "merged", "inversions", "unordered")
    return {kind: found[kind] for kind in kinds if found[kind]}


ENTRIES = [entry(number) for number in range(6)]
RECORDS = [record(number) for number in range(6)]


async def test_a_log_that_holds_everything_in_order_keeps_every_promise() -> None:
    found = await findings(ENTRIES, RECORDS)
    assert (found["acknowledged"], found["found"], wrong(found)) == (6, 6, {})
    assert is_kept(found)


async def test_one_record_that_was_removed_is_missing() -> None:
    found = await findings(ENTRIES, RECORDS[:2] + RECORDS[3:])
    assert wrong(found) == {"missing": 1}
    assert found["found"] == 5
    assert found["examples"] == {"missing": [{"marker": "testruns-2", "command": "C"}]}
    assert not is_kept(found)


async def test_one_record_that_was_doubled_is_a_duplicate_and_allowed() -> None:
    found = await findings(ENTRIES, [*RECORDS, RECORDS[2]])
    assert wrong(found) == {"duplicated": 1}
    assert is_kept(found)


async def test_two_records_that_were_swapped_are_an_inversion() -> None:
    found = await findings(ENTRIES, [*RECORDS[:2], RECORDS[3], RECORDS[2], *RECORDS[4:]])
    assert wrong(found) == {"inversions": 1}
    shown = found["examples"]["inversions"][0]
    assert (shown["acknowledged_first"], shown["stands_first"]) == ("testruns-2", "testruns-3")
    assert not is_kept(found)


async def test_only_the_first_occurrence_counts_for_the_order() -> None:
    assert wrong(await findings(ENTRIES, [*RECORDS, *RECORDS])) == {"duplicated": 6}


async def test_what_was_under_way_at_the_same_time_has_no_order() -> None:
    entries = [entry(0, sent_ns=0, acked_ns=50), entry(1, sent_ns=10, acked_ns=40)]
    assert wrong(await findings(entries, [record(1), record(0)])) == {}


@pytest.mark.parametrize("apart", [{"key": "g2"}, {"topic": USER}, {"journal": "journal:two"}])
async def test_an_order_is_promised_within_one_topic_key_and_journal(apart: dict[str, Any]) -> None:
    assert wrong(await findings(ENTRIES[:2], [record(1), record(0)])) == {"inversions": 1}
    assert wrong(await findings(ENTRIES[:2], [record(1, **apart), record(0)])) == {}


async def test_what_stands_in_two_journals_is_bound_to_no_order() -> None:
    """Which of the two acknowledged it is not known, so neither place can be held against anybody."""
    records = [record(1), record(0, journal="journal:two"), record(0)]
    assert wrong(await findings(ENTRIES[:2], records)) == {"duplicated": 1, "unordered": 1}


async def test_what_names_no_journal_is_bound_to_no_order() -> None:
    records = [record(1, journal=None), record(0, journal=None)]
    assert wrong(await findings(ENTRIES[:2], records)) == {"unordered": 2}


async def test_what_an_operator_gave_again_counts_as_found_and_not_for_the_order() -> None:
    again = record(0)
    again = again._replace(headers={**again.headers, JOB_HEADER: "job"})
    assert wrong(await findings(ENTRIES[:2], [record(1), again])) == {}


async def test_one_callback_under_two_ids_is_split() -> None:
    found = await findings(ENTRIES, [*RECORDS, record(2, "other")])
    assert wrong(found) == {"split": 1}
    assert not is_kept(found)


async def test_two_callbacks_under_one_id_are_merged() -> None:
    found = await findings(ENTRIES, [*RECORDS[:5], record(5, "e4")])
    assert wrong(found) == {"merged": 1}
    assert set(found["examples"]["merged"][0]["markers"]) == {"testruns-4", "testruns-5"}
    assert not is_kept(found)


async def test_of_a_batch_every_part_must_be_there() -> None:
    batch = [entry(0, events=2)]
    both = [record(0, "e0a", part=1), record(0, "e0b", part=2, key="g2")]
    assert wrong(await findings(batch, both)) == {}
    assert wrong(await findings(batch, both[:1])) == {"missing": 1}
    assert wrong(await findings(batch, [*both, both[0]])) == {"duplicated": 1}
    assert wrong(await findings(batch, [*both, record(0, "e0c", part=2)])) == {"split": 1}


async def test_twins_that_are_told_apart_must_both_be_there_under_two_ids() -> None:
    twins = [entry(0, twin=0, apart=True), entry(0, twin=1, apart=True)]
    assert wrong(await findings(twins, [record(0, "a"), record(0, "b")])) == {}
    found = await findings(twins, [record(0, "a"), record(0, "a")])
    assert wrong(found) == {"missing": 1, "duplicated": 1}
    assert found["acknowledged"] == 2
    assert wrong(await findings(twins, [record(0, "a"), record(0, "b"), record(0, "c")])) == {"split": 1}
    assert wrong(await findings(twins, [])) == {"missing": 2}


async def test_a_twin_nobody_acknowledged_may_be_there_and_need_not() -> None:
    one = [entry(0, twin=0, apart=True)]
    assert wrong(await findings(one, [record(0, "a")])) == {}
    assert wrong(await findings(one, [record(0, "a"), record(0, "b")])) == {}


async def test_twins_that_nothing_tells_apart_share_an_id() -> None:
    twins = [entry(0, twin=0), entry(0, twin=1)]
    assert wrong(await findings(twins, [record(0), record(0)])) == {}
    assert wrong(await findings(twins, [record(0)])) == {}
    assert wrong(await findings(twins, [record(0)] * 3)) == {"duplicated": 1}
    assert wrong(await findings(twins, [record(0, "a"), record(0, "b")])) == {"split": 1}
    assert wrong(await findings(twins, [])) == {"missing": 2}
    found = await findings(twins, [record(0), record(0)])
    assert (found["indistinct"], found["examples"]) == (1, {"indistinct": [{"command": "C"}]})


async def test_a_repeat_that_nothing_tells_from_a_second_callback_has_an_id_of_its_own() -> None:
    assert wrong(await findings([entry(0, restless=True)] * 2, [record(0, "a"), record(0, "b")])) == {}


async def test_a_repeat_that_was_acknowledged_too_is_one_callback() -> None:
    found = await findings([*ENTRIES, entry(2, acked_ns=900)], [*RECORDS, RECORDS[2]])
    assert (found["acknowledged"], wrong(found)) == (6, {"duplicated": 1})


async def test_the_earliest_acknowledgement_counts_for_the_order() -> None:
    late = entry(0, acked_ns=900)
    for again in ([*ENTRIES[:2], late], [late, *ENTRIES[:2]]):
        assert wrong(await findings(again, [record(1), record(0)])) == {"inversions": 1}


async def test_records_of_others_are_passed_over() -> None:
    strangers = [
        record(99),
        record(0)._replace(value=b"no json"),
        record(0)._replace(value=b'{"origin":{"body_base64":"eA=="}}'),
        record(0)._replace(value=b'{"origin":{"body":["testruns-0"]}}'),
        record(0)._replace(value=b"[]"),
        record(0)._replace(value=orjson.dumps({"origin": {"body": {FIELD: "otherrun-0"}}})),
    ]
    found = await findings(ENTRIES[:1], strangers)
    assert (wrong(found), found["records"]) == ({"missing": 1}, 0)


async def test_waiting_finds_what_arrives_later() -> None:
    log, claims = MemoryLog(partitions=1), Claims(ENTRIES[:2])
    await log.append([RECORDS[0]])
    looking = asyncio.create_task(Verification(log, claims, lambda _, __: None).run(30))
    await asyncio.sleep(0)
    await log.append([RECORDS[1]])
    assert wrong(await looking) == {}
    await log.close()


async def test_a_log_that_is_away_for_a_moment_is_waited_for() -> None:
    class Away(MemoryLog):
        times = 2

        async def bounds(self, topic: str) -> Mapping[int, Bounds]:
            self.times -= 1
            if self.times >= 0:
                raise LogUnavailable("nobody there")
            return await super().bounds(topic)

    def verification(log: MemoryLog) -> Verification:
        return Verification(log, Claims(ENTRIES[:1]), lambda _, __: None)

    log = Away(partitions=1)
    await log.append([RECORDS[0]])
    with pytest.raises(LogUnavailable):
        await verification(log).run(0)
    assert wrong(await verification(log).run(30)) == {}
    await log.close()
