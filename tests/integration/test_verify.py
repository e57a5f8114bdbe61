"""imbridge verify after a real run: embedded log, real Kafka and tables, whole and doctored."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.log.base import JOURNAL_HEADER, Record
from bridge.log.kafka import KafkaLog
from bridge.log.segments import LogView, journal_directories
from bridge.simulate.ledger import Entry, read_ledger
from bridge.simulate.markers import FIELD
from schemas.catalog import Catalog
from schemas.topics import DECISION
from tests.command_line import imbridge
from tests.faults.kit import Load, calling, over, verify
from tests.parts import KafkaServer
from tests.process_kit import environment, running
from tests.segment_log import append, opened, stored

TOKEN, SECRET = "xxxxyyyy", "sesame"
DOOR = {"TENCENT__TOKENS": TOKEN, "OPENIM__PATH_SECRETS": SECRET}
Doctor = Callable[[list[Record], Sequence[Entry]], list[Record]]


def played(url: str, place: Path, *options: str, providers: Sequence[Any] = ("tencent", "openim")) -> Load:
    """Let both vendors call for two seconds, with twins and repeats; fail unless all was accepted."""
    place.mkdir(exist_ok=True)
    shares = ("--identical", "0.1", "--repeat", "0.1")
    with calling(url, place, *shares, *options, rate=60, seconds=2, providers=providers) as load:
        for report in load.reports().values():
            assert report["accepted"] == report["sent"] > 100, report
            assert min(report["repeats"], report["identical"]) > 0
    return load


class Recorded:
    """One run against an embedded bridge: its ledgers, and the records its journal holds."""

    def __init__(self, place: Path) -> None:
        self.data_dir = place / "data"
        with running("ingress", data_dir=self.data_dir) as bridge:
            self.ledgers = played(bridge.ingress, place).ledgers
            assert bridge.stop() == 0
        (self.directory,) = journal_directories(self.data_dir).values()
        self.records = [each.record for each in stored(self.directory)]
        self.entries = list(chain.from_iterable(map(read_ledger, self.ledgers)))

    @property
    def journal(self) -> str:
        view = LogView(self.directory)
        view.close()
        return view.log_id


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run that all doctored logs are made from."""
    return Recorded(tmp_path_factory.mktemp("recorded"))


def marker(record: Record) -> str:
    return str(orjson.loads(record.value or b"")["origin"]["body"][FIELD])


def plain(records: list[Record], entries: Sequence[Entry]) -> list[int]:
    """Return where the events stand that were told once, whose callback has no twin and no repeat."""
    told = [str(entry.marker) for entry in entries]
    once = {one for one in told if told.count(one) == 1}
    markers = [marker(record) for record in records]
    return [
        place
        for place, (record, one) in enumerate(zip(records, markers, strict=True))
        if record.topic != DECISION and one in once and markers.count(one) == 1
    ]


def whole(records: list[Record], _: Sequence[Entry]) -> list[Record]:
    return records


def removed(records: list[Record], entries: Sequence[Entry]) -> list[Record]:
    place = plain(records, entries)[7]
    return records[:place] + records[place + 1 :]


def doubled(records: list[Record], entries: Sequence[Entry]) -> list[Record]:
    return [*records, records[plain(records, entries)[7]]]


def swapped(records: list[Record], entries: Sequence[Entry]) -> list[Record]:
    """Exchange two neighbours of one key, the second sent after the first was acknowledged."""
    times = {str(entry.marker): entry for entry in entries}
    able = set(plain(records, entries))
    last: dict[tuple[str, str | None], int] = {}
    for place, record in enumerate(records):
        before = last.get((record.topic, record.key))
        last[record.topic, record.key] = place
        if before is None or not {before, place} <= able:
            continue
        if times[marker(record)].sent_ns > times[marker(records[before])].acked_ns:
            exchanged = list(records)
            exchanged[before], exchanged[place] = record, records[before]
            return exchanged
    raise AssertionError("no two events of one key were told one after the other")


DOCTORS = pytest.mark.parametrize(
    ("doctor", "wrong"),
    [
        (whole, {}),
        (removed, {"missing": 1}),
        (doubled, {"duplicated": 1}),
        (swapped, {"inversions": 1}),
    ],
)


def differing(found: dict[str, Any], usual: dict[str, Any]) -> dict[str, int]:
    """Return by how much each count differs from that of the log as it was."""
    kinds = ("missing", "duplicated", "split", "merged", "inversions", "unordered")
    return {kind: found[kind] - usual[kind] for kind in kinds if found[kind] != usual[kind]}


@pytest.fixture(scope="module")
def usual(recorded: Recorded) -> dict[str, Any]:
    """What verify says of the log as it was."""
    found = verify(recorded.ledgers, recorded.data_dir)
    wrong = {kind: found[kind] for kind in ("missing", "split", "merged", "inversions", "unordered")}
    assert not any(wrong.values()), found
    assert found["exit"] == 0
    assert found["found"] == found["acknowledged"] > 150
    assert found["duplicated"] > 0, "the vendor repeated callbacks, and nothing was signed"
    return found


@DOCTORS
def test_what_was_done_to_an_embedded_log_is_found(
    doctor: Doctor, wrong: dict[str, int], recorded: Recorded, usual: dict[str, Any], tmp_path: Path
) -> None:
    async def write() -> None:
        async with opened(tmp_path / "data", segment_bytes=1 << 20, max_bytes=8 << 20) as journal:
            await append(journal, *doctor(recorded.records, recorded.entries))

    asyncio.run(write())
    found = verify(recorded.ledgers, tmp_path / "data")
    assert differing(found, usual) == wrong
    assert found["exit"] == (1 if wrong.keys() - {"duplicated"} else 0)


@DOCTORS
def test_what_was_done_to_topics_on_kafka_is_found(
    doctor: Doctor,
    wrong: dict[str, int],
    recorded: Recorded,
    usual: dict[str, Any],
    tmp_path: Path,
    kafka: KafkaServer,
    prefix: str,
) -> None:
    def relayed(record: Record) -> Record:
        return record._replace(headers={**record.headers, JOURNAL_HEADER: recorded.journal})

    async def write() -> None:
        log = KafkaLog(kafka.bootstrap_servers, topic_prefix=prefix)
        try:
            await log.ensure_topics()
            await log.append([relayed(each) for each in doctor(recorded.records, recorded.entries)])
        finally:
            await log.close()

    asyncio.run(write())
    found = verify(recorded.ledgers, tmp_path / "data", **over(kafka, prefix))
    assert differing(found, usual) == wrong
    assert found["exit"] == (1 if wrong.keys() - {"duplicated"} else 0)


def test_a_bridge_over_kafka_keeps_its_promises_through_signed_and_secret_doors(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir, settings = tmp_path / "data", over(kafka, prefix)
    with running("run", data_dir=data_dir, **DOOR, **settings) as bridge:
        tencent = played(bridge.ingress, tmp_path / "t", "--token", TOKEN, providers=("tencent",))
        openim = played(bridge.ingress, tmp_path / "o", "--path-secret", SECRET, providers=("openim",))
        ledgers = [*tencent.ledgers, *openim.ledgers]
        found = verify(ledgers, data_dir, "--wait", "60", **settings)
        shown = verify(ledgers, data_dir, "--store", "--wait", "60", **settings)
    counts = {kind: found[kind] for kind in ("missing", "split", "merged", "inversions", "unordered", "exit")}
    assert not any(counts.values()), found
    assert found["found"] == found["acknowledged"] > 150
    assert (shown["missing"], shown["exit"]) == (0, 0)
    assert shown["found"] > 30


def test_a_member_who_is_not_in_the_tables_is_missing_there(tmp_path: Path) -> None:
    with running("run", data_dir=tmp_path / "data") as bridge:
        ledgers = played(bridge.ingress, tmp_path).ledgers
        assert verify(ledgers, tmp_path / "data", "--store", "--wait", "60")["exit"] == 0
        assert bridge.stop() == 0
    entries = chain.from_iterable(map(read_ledger, ledgers))
    joined = next(entry for entry in entries if entry.type == "im.group.member.joined.v1")
    with closing(sqlite3.connect(tmp_path / "data" / "imbridge.sqlite")) as tables:
        tables.execute("DELETE FROM members WHERE user_id = ?", joined.users[:1])
        tables.commit()
    found = verify(ledgers, tmp_path / "data", "--store")
    assert (found["missing"] > 0, found["exit"]) == (True, 1)
    assert found["examples"]["missing"][0]["group"] == joined.group


@pytest.mark.parametrize("provider", ["tencent", "openim"])
def test_every_command_of_the_catalog_is_sent_answered_legally_and_kept(
    provider: Any, tmp_path: Path
) -> None:
    mix = tmp_path / "mix.json"
    mix.write_bytes(orjson.dumps({spec.name: 1 for spec in Catalog.load() if spec.provider == provider}))
    data_dir, shares = tmp_path / "data", ("--identical", "0.1", "--repeat", "0.1")
    with running("ingress", data_dir=data_dir) as bridge:
        options = ("--mix", str(mix), *shares)
        with calling(bridge.ingress, tmp_path, *options, rate=150, seconds=4, providers=[provider]) as load:
            report = load.reports()[provider]
        found = verify(load.ledgers, data_dir)
    assert report["accepted"] == report["sent"] > 500, report
    assert (found["missing"], found["exit"]) == (0, 0), found
    assert found["indistinct"] > 0
    told = list(chain.from_iterable(map(read_ledger, load.ledgers)))
    assert len({entry.command for entry in told}) > 20
    if provider == "tencent":
        assert {entry.events for entry in told} == {1, 2}


def test_people_are_shown_a_table_and_programs_get_json(recorded: Recorded, usual: dict[str, Any]) -> None:
    env = environment(recorded.data_dir)
    words = [word for ledger in recorded.ledgers for word in ("--ledger", str(ledger))]
    shown = imbridge("verify", *words, env=env)
    assert shown.code == 0
    for kind in ("acknowledged", "found", "missing", "duplicated", "inversions"):
        (row,) = (line for line in shown.out.splitlines() if line.startswith(f"│ {kind} "))
        assert f" {usual[kind]} " in row
    assert imbridge("verify", *words, "--json", env=env).json() == {
        kind: value for kind, value in usual.items() if kind != "exit"
    }


def test_a_ledger_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("nonsense\n")
    done = imbridge("verify", "--ledger", str(tmp_path / "ledger"), env=environment(tmp_path / "data"))
    assert (done.code, "line 1" in done.err) == (1, True)
