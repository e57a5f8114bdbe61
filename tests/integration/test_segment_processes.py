"""The segment log across processes: kill -9, many writers of control, and the order of the system calls."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from bridge.errors import LogLocked
from bridge.log.segments import ControlLog, LogView, read_all, relay_lock
from bridge.log.segments.layout import control_directory, journal_directory
from tests.segment_log import SECONDS, numbers, open_at, opened, record, stored

ROOT = Path(__file__).parents[2]
JOURNAL_CHILD = """
import asyncio, itertools, os, sys
from pathlib import Path
from tests.segment_log import open_at, record
async def main():
    journal = await open_at(Path(sys.argv[1]), segment_bytes=1 << 20, max_bytes=64 << 20)
    count = itertools.count()
    async def caller():
        for number in count:
            await journal.append([record(number)])
            os.write(1, b"%d\\n" % number)
    await asyncio.gather(*(caller() for _ in range(16)))
asyncio.run(main())
"""
CHURNING_CHILD = """
import asyncio, itertools, sys
from pathlib import Path
from bridge.errors import JournalBusy
from bridge.log.clock import wall_ms
from bridge.log.segments import LogView
from tests.segment_log import open_at, record
async def main():
    journal = await open_at(Path(sys.argv[1]), segment_bytes=1 << 15, max_bytes=1 << 30)
    view, count = LogView(journal.directory), itertools.count()
    async def caller():
        for number in count:
            try:
                await journal.append([record(number, size=number % 700)])
            except JournalBusy:
                await asyncio.sleep(0.001)
    async def forget():
        while True:
            mark = view.marks().get("relay")
            if mark:
                await asyncio.to_thread(journal.forget, wall_ms(), 0, {"relay": mark.next_offset})
            await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.gather(forget(), *(caller() for _ in range(8)))
asyncio.run(main())
"""
CONTROL_CHILD = """
import sys
from pathlib import Path
from bridge.log.segments import ControlLog
from schemas.topics import DLQ
from tests.segment_log import record
control = ControlLog(Path(sys.argv[1]), segment_bytes=16 << 10)
begin, count = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(begin, begin + count):
    [place] = control.append([record(number, topic=DLQ, size=300)])
    print(number, place.offset, flush=True)
"""


def child(code: str, *arguments: object, before: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def children() -> Iterator[list["subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate(timeout=SECONDS)


async def test_what_was_acknowledged_is_there_after_kill_9(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    acked: set[int] = set()
    for turn in range(3):
        process = child(JOURNAL_CHILD, tmp_path)
        children.append(process)
        assert process.stdout is not None
        told = {int(process.stdout.readline()) for _ in range(200 * turn + 50)}
        process.send_signal(signal.SIGKILL)
        told |= {int(line) for line in process.stdout.read().split("\n")[:-1]}
        process.wait(SECONDS)
        acked |= told
        async with opened(tmp_path) as journal:
            assert journal.number == 1
            assert journal.lost_records == 0
            found = stored(journal.directory)
        assert acked <= set(numbers(found))
        assert [each.offset for each in found] == list(range(len(found)))
        shutil.rmtree(journal_directory(tmp_path, 1))
        acked.clear()


async def test_the_locks_of_a_killed_process_are_free(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    process = child(JOURNAL_CHILD, tmp_path)
    children.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    journal = await open_at(tmp_path)
    assert journal.number == 2
    await journal.close()
    process.kill()
    process.wait(SECONDS)
    async with opened(tmp_path) as journal:
        assert journal.number == 1


async def test_a_reader_in_another_process_misses_nothing_while_segments_come_and_go(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    process = child(CHURNING_CHILD, tmp_path)
    children.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    view = LogView(journal_directory(tmp_path, 1))
    with capture_logs() as logs:
        async with read_all(view, 0) as reader:
            expected = 0
            while expected < 20_000:
                batch = await reader.read(997, SECONDS)
                assert batch is not None
                offsets = [each.offset for each in batch.records]
                assert offsets == list(range(expected, batch.next_offset))
                expected = batch.next_offset
                view.write_mark("relay", expected, 0)
    assert logs == []
    assert view.bounds().begin > 0
    view.close()


def test_a_lock_held_by_another_process_names_it(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom bridge.log.segments import relay_lock\n"
        "with relay_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()"
    )
    process = child(code, tmp_path)
    children.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LogLocked, match=f"held by process {process.pid}"):
        relay_lock(tmp_path)


def test_processes_append_to_control_at_the_same_time(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    processes = [child(CONTROL_CHILD, tmp_path, 1000 * n, 40) for n in range(4)]
    children += processes
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    told = [tuple(map(int, line.split())) for output in outputs for line in output.splitlines()]
    found = stored(control_directory(tmp_path))
    assert sorted(told, key=lambda pair: pair[1]) == list(zip(numbers(found), range(len(told)), strict=True))
    assert len(told) == 4 * 40
    for begin in range(0, 4000, 1000):
        own = [number for number in numbers(found) if begin <= number < begin + 1000]
        assert own == list(range(begin, begin + 40))


def test_a_process_killed_while_appending_to_control_leaves_it_usable(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    acked: set[int] = set()
    for turn in range(4):
        process = child(CONTROL_CHILD, tmp_path, 10_000 * (turn + 1), 10_000)
        children.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        told = [process.stdout.readline() for _ in range(20)]
        process.kill()
        told += process.stdout.read().split("\n")[:-1]
        acked |= {int(line.split()[0]) for line in told}
        ControlLog(tmp_path, segment_bytes=16 << 10).append([record(turn, topic="im.dlq.v1")])
        acked.add(turn)
    found = numbers(stored(control_directory(tmp_path)))
    assert acked <= set(found)
    assert len(found) == len(set(found))


async def test_an_append_to_control_that_waits_in_vain_for_the_lock_says_who_holds_it(
    tmp_path: Path, children: list["subprocess.Popen[str]"]
) -> None:
    ControlLog(tmp_path, segment_bytes=16 << 10).create()
    code = (
        "import sys\nfrom pathlib import Path\nfrom bridge.log.segments.locks import try_lock\n"
        "lock = try_lock(Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    process = child(code, control_directory(tmp_path) / "lock")
    children.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    control = ControlLog(tmp_path, segment_bytes=16 << 10, lock_seconds=0.05)
    with pytest.raises(Exception, match=f"held for 0.05 s by process {process.pid}: try again"):
        await asyncio.to_thread(control.append, [record(1)])


# The order of the system calls


class Call(NamedTuple):
    """One system call: when it began and ended, counted in events."""

    name: str
    file: str
    data: str
    began: int
    ended: int


ACKING_CHILD = """
import asyncio, json, os, sys, threading
from pathlib import Path
from bridge.log.segments import disk
from bridge.log.segments.segment import Segment
from tests.segment_log import open_at, record

data_dir, fault, shim = sys.argv[1:]
if fault == "no sync":
    disk.sync = lambda fd: None
elif fault == "sync before write":
    def append(self, data, real=Segment.append):
        real_sync, disk.sync = disk.sync, lambda fd: None
        real_sync(self.fd)
        real(self, data)
        disk.sync = real_sync
    Segment.append = append

calls, lock = [], threading.Lock()
def traced(name, real):
    def call(fd, *arguments):
        data = arguments[0].decode("latin-1") if arguments else ""
        entry = {"name": name, "file": os.readlink(f"/proc/self/fd/{fd}"), "data": data}
        with lock:
            calls.append(("began", entry))
        result = real(fd, *arguments)
        with lock:
            calls.append(("ended", entry))
        return result
    return call
if shim:
    for name in ("pwrite", "fdatasync", "write"):
        setattr(os, name, traced(name, getattr(os, name)))

async def main():
    journal = await open_at(Path(data_dir), segment_bytes=1 << 16, max_bytes=1 << 22)
    acks = os.open(Path(data_dir) / "acks", os.O_WRONLY | os.O_CREAT)
    async def caller(place):
        for turn in range(8):
            number = 100_000 + 100 * turn + place
            await journal.append([record(number)])
            os.write(acks, b"ACK %d;" % number)
    await asyncio.gather(*(caller(place) for place in range(8)))
    await journal.close()
    if shim:
        entries = []
        for place, (what, entry) in enumerate(calls):
            if what == "began":
                entry["began"] = place
                entries.append(entry)
            else:
                entry["ended"] = place
        Path(shim).write_text(json.dumps(entries))
asyncio.run(main())
"""


def traced_by_shim(tmp_path: Path, fault: str) -> list[Call]:
    trace = tmp_path / "trace.json"
    process = child(ACKING_CHILD, tmp_path / "data", fault, trace)
    assert process.wait(SECONDS) == 0
    process.communicate()
    return [Call(**entry) for entry in json.loads(trace.read_text())]


def traced_by_strace(tmp_path: Path, fault: str) -> list[Call]:
    trace = tmp_path / "trace.txt"
    options = ("-f", "-y", "-s", "100000", "-e", "trace=pwrite64,fdatasync,write", "-o", str(trace))
    process = child(ACKING_CHILD, tmp_path / "data", fault, "", before=("strace", *options))
    assert process.wait(3 * SECONDS) == 0
    process.communicate()
    return parsed(trace.read_text().splitlines())


def parsed(lines: list[str]) -> list[Call]:
    """Return the calls in strace's output, where one that others overlap takes two lines."""
    calls: list[Call] = []
    open_calls: dict[str, tuple[str, int]] = {}
    for place, line in enumerate(lines):
        thread, _, text = line.partition(" ")
        text = text.strip()
        began = place
        if text.endswith("<unfinished ...>"):
            open_calls[thread] = text, place
            continue
        if text.startswith("<..."):
            start, began = open_calls.pop(thread)
            text = start.removesuffix("<unfinished ...>") + text.partition("resumed>")[2]
        match = re.match(r"(\w+?)(?:64)?\(\d+<([^>]*)>(.*)", text)
        if match and re.search(r"= \d+$", text):
            calls.append(Call(match[1], match[2], match[3], began, place))
    return calls


def violations(calls: list[Call]) -> list[str]:
    """Return the acknowledgements not written after a sync that began after their bytes were written."""
    wrong = []
    acks = [call for call in calls if call.name == "write" and "ACK " in call.data]
    assert len(acks) == 64
    for ack in acks:
        match = re.search(r"ACK (\d+);", ack.data)
        assert match
        writes = [call for call in calls if call.name == "pwrite" and f"{match[1]} ...." in call.data]
        syncs = [
            sync
            for write in writes
            for sync in calls
            if sync.name == "fdatasync" and sync.file == write.file and write.ended < sync.began
        ]
        if not any(sync.ended < ack.began for sync in syncs):
            wrong.append(match[1])
    return wrong


@pytest.fixture(params=["shim", "strace"])
def tracer(request: pytest.FixtureRequest) -> object:
    if request.param == "shim":
        return traced_by_shim
    if shutil.which("strace") is None:
        warnings.warn(
            "NOT TRACED BY strace, which is not installed: by a shim in the child only", stacklevel=1
        )
        pytest.skip("strace is not installed")
    return traced_by_strace


def test_every_acknowledgement_follows_a_sync_that_began_after_its_bytes_were_written(
    tmp_path: Path, tracer: object
) -> None:
    assert callable(tracer)
    calls = tracer(tmp_path, "")
    assert violations(calls) == []


@pytest.mark.parametrize("fault", ["no sync", "sync before write"])
def test_taking_the_sync_out_is_noticed(tmp_path: Path, tracer: object, fault: str) -> None:
    assert callable(tracer)
    assert len(violations(tracer(tmp_path, fault))) > 32
