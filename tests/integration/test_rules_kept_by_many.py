"""The last good set of rules on disk, kept by several processes at once: whole, and never set back."""

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import orjson
import pytest

from consumers.rules import snapshots
from consumers.rules.snapshots import Snapshot, load, note_seen, save

KEEP = """
import sys
from pathlib import Path
from tests.integration.test_rules_kept_by_many import keep
keep(Path(sys.argv[1]), range(int(sys.argv[2]), 80, 4))
"""


def version(number: int) -> Snapshot:
    manifest = orjson.dumps({"set": "default", "version": number})
    return Snapshot("default", "journal:1", number, manifest, {"rule/r/1": b"x" * 20_000})


def keep(directory: Path, numbers: range) -> None:
    for number in numbers:
        save(directory, version(number))
        note_seen(directory, version(number))


def number_on(directory: Path) -> int | None:
    kept = load(directory, "default")
    return None if kept is None else int(orjson.loads(kept.manifest)["version"])


def test_processes_that_keep_sets_at_once_leave_the_latest_and_readers_see_whole_ones(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    keepers = [
        subprocess.Popen([sys.executable, "-c", KEEP, str(tmp_path), str(first)], cwd=root)
        for first in (1, 2, 3, 4)
    ]
    seen = []
    try:
        while any(keeper.poll() is None for keeper in keepers):
            seen.append(number_on(tmp_path))  # raises when it is not whole
        assert [keeper.returncode for keeper in keepers] == [0, 0, 0, 0]
    finally:
        for keeper in keepers:
            keeper.kill()
            keeper.wait()
    found = [number for number in seen if number is not None]
    assert found == sorted(found)
    assert number_on(tmp_path) == 79
    assert not [left for left in tmp_path.iterdir() if left.name.endswith(".writing")]


def test_a_slow_process_between_its_look_and_its_write_does_not_set_the_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, faster_is_done = Event(), Event()
    replace = snapshots._replace

    def slow(path: Path, content: bytes, **how: Any) -> None:
        if b'\\"version\\":1}' in content:
            looked.set()
            faster_is_done.wait(0.5)  # it is not, when this one holds the lock
        replace(path, content, **how)

    def faster() -> None:
        looked.wait(10)
        save(tmp_path, version(2))
        faster_is_done.set()

    monkeypatch.setattr(snapshots, "_replace", slow)
    thread = Thread(target=faster)
    thread.start()
    save(tmp_path, version(1))
    thread.join(10)
    assert looked.is_set()
    assert number_on(tmp_path) == 2
