"""A disk that is full, or read-only: refused before the last safe byte, and healed by itself."""

import errno
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.calls import assert_answers_questions_only, fixed_ports, is_stored, kept
from tests.faults.disks import Disk, NoDisk, small_disk
from tests.faults.kit import assert_kept, assert_legal, calling, drained, metric, over
from tests.faults.scale import scaled
from tests.faults.shim import READ_ONLY, Shim
from tests.faults.test_sync import acknowledged_between, bridge_on, ends_in_order
from tests.integration.callers import openim_join, tencent_join
from tests.parts import KafkaServer
from tests.process_kit import Bridge, running, until

MEBIBYTE = 1 << 20
MakeDisk = Callable[..., Disk]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Makes the disk under a bridge's data directory; skipped, loudly, where nothing can be mounted."""
    with ExitStack() as mounted:

        def make(mebibytes: int, inodes: int = 0) -> Disk:
            try:
                return mounted.enter_context(small_disk(tmp_path / "disk", mebibytes, inodes))
            except NoDisk as reason:
                warnings.warn(f"NOT TESTED ON A FULL DISK: {reason}", stacklevel=1)
                pytest.skip(f"NOT TESTED ON A FULL DISK: {reason}")

        yield make


@pytest.mark.parametrize("bound", ["disk", "journal.max_bytes"])
def test_filled_through_an_outage_of_kafka_it_refuses_in_time_and_resumes_by_itself(
    tmp_path: Path, make_disk: MakeDisk, absent_kafka: KafkaServer, bound: str
) -> None:
    settings = {**over(absent_kafka), "JOURNAL__SEGMENT_BYTES": str(4 * MEBIBYTE)}
    data_dir, disk = tmp_path / "data", None
    if bound == "disk":
        disk = make_disk(60)
        data_dir = disk.path
    else:
        settings["JOURNAL__MAX_BYTES"] = str(20 * MEBIBYTE)
    with running("run", data_dir=data_dir, **settings) as bridge:
        options = ("--before", "0.2")
        with calling(bridge.ingress, tmp_path, *options, rate=scaled(60, 400), seconds=170) as load:
            load.until_acknowledged(100)
            until(lambda: not takes(bridge, 200_000) and is_full(bridge), "the journal is full", 60)
            says_that_it_is_full(bridge)
            if disk is not None:
                assert disk.free >= 2 * MEBIBYTE, "the store was left nothing to write to"
            assert_answers_questions_only(bridge)
            absent_kafka.start()
            until(lambda: bridge.readyz()[0] == 200, "it is ready", 60)
            load.until_acknowledged(150, 60)
            reports = load.stop()
        assert_legal(reports)
        assert all(report["refused"] > 0 for report in reports.values())
        assert all(report["latency_ms"]["before"]["count"] > 0 for report in reports.values())
        drained(bridge)
        until(lambda: bridge.events("segment.forgotten_early"), "what was relayed made room")
        until(lambda: bridge.part("projection groups")["ok"], "the tables follow")
        assert metric(bridge, "imbridge_journal_lost_records_total") == 0
        assert bridge.stop() == 0
    assert_kept(load.ledgers, data_dir, **settings)


def takes(bridge: Bridge, size: int) -> bool:
    """Send an after-callback of so many bytes; say whether it was acknowledged."""
    call = tencent_join("large", f"u{time.monotonic_ns()}")
    call.body["Filler"] = "x" * size
    return is_stored(bridge, call)


def is_full(bridge: Bridge) -> bool:
    return str(bridge.part("journal")["says"]).startswith("full, after-callbacks are refused")


def says_that_it_is_full(bridge: Bridge) -> None:
    status, content = bridge.readyz()
    assert (status, content["ready"]) == (503, False)
    assert metric(bridge, "imbridge_journal_full") == 1
    assert bridge.events("journal.filled")


@pytest.mark.parametrize("of", ["bytes", "inodes"])
def test_full_from_the_start_and_full_again_it_refuses_facts_and_answers_questions_until_there_is_room(
    make_disk: MakeDisk, of: str
) -> None:
    disk = make_disk(12, 100)
    fill = disk.fill if of == "bytes" else disk.take_every_inode
    acknowledged: list[str] = []

    def full() -> bool:
        call = openim_join("g", f"u{len(acknowledged)}")
        call.body["ex"] = "x" * 60_000
        if is_stored(bridge, call):
            acknowledged.append(call.user)
            return False
        return is_full(bridge)

    fill()
    with running("run", data_dir=disk.path) as bridge:
        assert_answers_questions_only(bridge)
        assert bridge.part("journal")["says"].startswith("unusable, after-callbacks are refused: ")
        disk.empty()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        until(lambda: bridge.part("projection groups")["ok"], "the tables are made")

        fill()
        until(full, "the journal is full", 30)
        assert_answers_questions_only(bridge)
        assert bridge.readyz()[0] == 503
        disk.empty()
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        assert is_stored(bridge, tencent_join("g", "ada"))
        assert bridge.stop() == 0
    assert kept(disk.path) == [*acknowledged, "ada"]


def test_embedded_on_a_small_disk_the_journal_gives_way_to_the_tables(
    tmp_path: Path, make_disk: MakeDisk
) -> None:
    disk = make_disk(14)
    with running("run", data_dir=disk.path) as bridge:
        number = 0

        def forgotten() -> bool:
            nonlocal number
            call = openim_join(f"g{number % 50}", f"u{number % 40}")  # 200 members: 4 MB of tables
            call.body["ex"] = "x" * 20_000
            number += is_stored(bridge, call)
            return len(bridge.events("segment.forgotten_early")) >= scaled(4, 100)

        until(forgotten, "the journal forgets what the tables hold", scaled(60, 1200))
        until(lambda: bridge.readyz()[0] == 200, "it is ready")
        until(lambda: bridge.part("projection groups")["lag_records"] == 0, "the tables are complete")
        assert bridge.part("projection groups")["ok"]
        assert bridge.stop() == 0


def test_a_disk_that_becomes_read_only_ends_the_process_and_its_successor_waits_until_it_is_writable(
    tmp_path: Path, shim: Shim
) -> None:
    data_dir, settings = tmp_path / "data", fixed_ports()
    with (
        bridge_on(shim, data_dir, **settings) as bridge,
        calling(bridge.ingress, tmp_path, "--before", "0.3", rate=100, seconds=90) as load,
    ):
        load.until_acknowledged(200)
        shim.fail(READ_ONLY, str(data_dir), error=errno.EROFS, after=20)
        ends_in_order(bridge, "Read-only file system")
        with bridge_on(shim, data_dir, **settings) as successor:
            assert_answers_questions_only(successor)
            says = successor.part("journal")["says"]
            assert says.startswith("unusable, after-callbacks are refused: ")
            assert "Read-only file system" in says
            assert successor.is_running
            healed_ns = time.monotonic_ns()
            shim.heal()
            until(lambda: successor.readyz()[0] == 200, "it is ready", 30)
            load.until_acknowledged(200)
            assert_legal(load.stop())
            assert successor.stop() == 0
    assert acknowledged_between(load.ledgers, shim.failed_ns, healed_ns) == []
    assert_kept(load.ledgers, data_dir)


def test_started_on_a_read_only_disk_it_heals_when_that_becomes_writable(make_disk: MakeDisk) -> None:
    disk = make_disk(12)
    with running("run", data_dir=disk.path) as bridge:
        assert is_stored(bridge, tencent_join("g", "ada"))
        assert bridge.stop() == 0
    disk.remount("ro")
    with running("run", data_dir=disk.path) as bridge:
        assert_answers_questions_only(bridge)
        assert "Read-only file system" in bridge.part("journal")["says"]
        disk.remount("rw")
        until(lambda: bridge.readyz()[0] == 200, "it is ready", 30)
        assert is_stored(bridge, tencent_join("g", "bob"))
        until(lambda: bridge.part("projection groups").get("ok"), "the tables are written again", 40)
        assert bridge.stop() == 0
    assert kept(disk.path) == ["ada", "bob"]
