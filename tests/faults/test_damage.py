"""Damage to what is on disk: all records back, or a loss that is named and counted; never a silent one.

A bridge is filled by the simulators and stopped; its directory is copied and damaged, at random places by a
seed that is printed; a bridge is started on the copy. What verify misses may not exceed what the log names.
"""

import random
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bridge.log.segments.layout import journal_directory, segment_offsets, segment_path
from tests.faults.calls import is_stored, until_members
from tests.faults.kit import calling, drained, metric, over, verify
from tests.faults.scale import chance, scaled
from tests.integration.callers import openim_join
from tests.parts import KafkaServer
from tests.process_kit import running, until

TRIALS = scaled(6, 1000)
WOUNDS = 5  # in each trial
SEGMENT = {"JOURNAL__SEGMENT_BYTES": str(96 << 10)}


class Filled(NamedTuple):
    """A data directory with what the simulators were told was stored, and its ledgers."""

    data_dir: Path
    ledgers: list[Path]

    def copied(self, place: Path) -> Path:
        """Return a copy of the directory."""
        shutil.copytree(self.data_dir, place)
        return place


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What an ingress left when it was killed, its journal not read yet by anybody."""
    place = tmp_path_factory.mktemp("filled")
    with running("ingress", data_dir=place / "data", **SEGMENT) as bridge:
        with calling(bridge.ingress, place, rate=150, seconds=60) as load:
            load.until_acknowledged(scaled(600, 3000), 50)
            load.stop()
        bridge.kill()
    assert len(segments(place / "data")) >= 4
    return Filled(place / "data", load.ledgers)


def segments(data_dir: Path) -> list[Path]:
    directory = journal_directory(data_dir, 1)
    return [segment_path(directory, offset) for offset in segment_offsets(directory)]


class Outcome(NamedTuple):
    """What the log named as lost, and what the ledgers miss."""

    named: int
    missing: int
    said: list[dict[str, Any]]


def started_on(data_dir: Path, ledgers: list[Path]) -> Outcome:
    """Start a bridge on the directory, let it read everything and take something on, and verify."""
    with running("run", data_dir=data_dir, **SEGMENT) as bridge:
        until(lambda: bridge.readyz()[0] == 200, "it is ready", 30)
        assert is_stored(bridge, openim_join("later", "ada"))
        until_members(data_dir, "later", {"ada"})
        lost = bridge.events("records.lost")
        named = sum(event["records"] for event in lost)
        assert metric(bridge, "imbridge_journal_lost_records_total") == named
        assert all(Path(event["file"]).is_relative_to(data_dir) for event in lost)
        assert bridge.stop() == 0
    return Outcome(named, verify(ledgers, data_dir)["missing"], bridge.events())


def test_whatever_is_damaged_at_random_is_read_or_named(filled: Filled, tmp_path: Path) -> None:
    by = chance("damage")
    for trial in range(TRIALS):
        data_dir = filled.copied(tmp_path / str(trial))
        wounds = [wound(data_dir, by) for _ in range(WOUNDS)]
        outcome = started_on(data_dir, filled.ledgers)
        assert outcome.missing <= outcome.named, f"trial {trial}: {wounds}: {outcome[:2]}"
        shutil.rmtree(data_dir)


def wound(data_dir: Path, by: random.Random) -> str:
    """Damage one file of the journal or of control, mostly where something stands; say what was done.

    ``end`` of the journal is spared: where it and the first or the last segment go together, nobody is left
    who knows what there was.
    """
    files = [path for path in sorted(data_dir.glob("*/**/*")) if path.is_file() and path.stat().st_size]
    names = [path for path in files if path.parts[-2] in ("0001", "control", "marks")]
    spared = ("0001/end", "0001/lock", "0001/relay.lock", "0001/reserve", "control/lock", "control/reserve")
    path = by.choice([name for name in names if "/".join(name.parts[-2:]) not in spared])
    harm = by.choice((flip, flip, cut, zero, remove))
    harm(path, by)
    return f"{harm.__name__} {path.relative_to(data_dir)}"


def flip(path: Path, by: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(by.randrange(1, 4)):
        content[by.randrange(written(content))] ^= 1 << by.randrange(8)
    path.write_bytes(content)


def cut(path: Path, by: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: by.randrange(written(content))])


def zero(path: Path, by: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = by.randrange(written(content))
    stop = min(len(content), start + by.choice((1, 512, 4096, 20_000)))
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def remove(path: Path, by: random.Random) -> None:
    path.unlink()


def written(content: bytes | bytearray) -> int:
    """Return up to where something stands."""
    return max(1, len(bytes(content).rstrip(b"\0")))


@pytest.mark.parametrize("which", ["first and a middle one", "last", "all"])
def test_a_missing_segment_is_lost_by_name(filled: Filled, tmp_path: Path, which: str) -> None:
    data_dir = filled.copied(tmp_path / "data")
    there = segments(data_dir)
    gone = {"last": there[-1:], "all": there}.get(which, [there[0], there[2]])
    for path in gone:
        path.unlink()
    outcome = started_on(data_dir, filled.ledgers)
    assert outcome.missing > 0
    assert outcome.named >= outcome.missing


@pytest.mark.parametrize("harm", ["removed", "garbled"])
def test_without_its_small_files_the_journal_has_all_records_back(
    filled: Filled, tmp_path: Path, harm: str
) -> None:
    data_dir = filled.copied(tmp_path / "data")
    for path in data_dir.glob("*/**/*"):
        if path.name in ("identity", "end") or path.parent.name == "marks":
            spoil(path, harm)
    assert started_on(data_dir, filled.ledgers)[:2] == (0, 0)


def spoil(path: Path, harm: str) -> None:
    if harm == "removed":
        path.unlink()
    else:
        path.write_bytes(chance(path.name).randbytes(1024))


def test_what_rots_beneath_a_running_relay_is_passed_over_named_and_repeated_at_most(
    filled: Filled, tmp_path: Path, absent_kafka: KafkaServer
) -> None:
    data_dir = filled.copied(tmp_path / "data")
    settings = {**over(absent_kafka), **SEGMENT}
    settings |= {"INGRESS__WORKERS": "0"}  # the relay then has only 300 records in hand, and 300 read ahead
    with running("run", data_dir=data_dir, **settings) as bridge:
        until(lambda: bridge.part("relay of journal 1"), "the relay is at work")
        there = segments(data_dir)
        by = chance("rot")
        flip(there[0], by)
        zero(there[2], by)
        there[3].unlink()
        absent_kafka.start()
        assert is_stored(bridge, openim_join("later", "ada"))
        drained(bridge)
        named = sum(event["records"] for event in bridge.events("records.lost"))
        assert metric(bridge, "imbridge_journal_lost_records_total") == named > 0
        assert bridge.stop() == 0
    found = verify(filled.ledgers, data_dir, **settings)
    assert 0 < found["missing"] <= named
    assert found["inversions"] == 0
