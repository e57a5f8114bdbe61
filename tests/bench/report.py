"""What a bench hands back: tables for people, raw figures for the files in ``tests/bench/results``."""

import datetime as dt
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

RESULTS = Path(__file__).with_name("results")
_PATH = re.compile(r"(?<!\S)/[^\s,;:]*")
_LIBRARIES = ("aiohttp", "uvloop", "orjson", "aiokafka", "sqlalchemy", "psycopg")


@dataclass(frozen=True)
class Table:
    """Rows of texts under a title; the first column is what the row is about."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """One bench's outcome. ``raw`` holds every figure measured, as plain JSON values."""

    name: str
    tables: Sequence[Table]
    notes: Sequence[str]
    raw: Mapping[str, Any]


def show(report: Report, console: Console) -> None:
    """Print the tables, then the notes."""
    for table in report.tables:
        drawn = RichTable(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)
    for note in report.notes:
        console.print(f"- {note}", markup=False, highlight=False)


def keep(report: Report, folder: Path = RESULTS) -> Path:
    """Write raw figures, tables and the machine to ``{name}.json`` in the folder and return that file.

    Paths of this machine are taken out of the notes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{report.name}.json"
    kept = {
        "bench": report.name,
        "machine": machine(),
        "tables": [
            {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
            for table in report.tables
        ],
        "notes": [_PATH.sub("…", note.replace(str(Path.cwd()), "/here")) for note in report.notes],
        "raw": report.raw,
    }
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return file


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processors, kernel, disk, versions, load, date; not its name."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": dict(_versions()),
        "fdatasync_us": sync_us(),
        "load_average_5_minutes": round(os.getloadavg()[1], 1),  # of the bench itself, and who else was there
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> list[tuple[str, str]]:
    found = []
    for library in _LIBRARIES:
        try:
            found.append((library, version(library)))
        except PackageNotFoundError:
            continue
    return found


def disk() -> Path:
    """Return a folder for data that is likely on a disk: /tmp often is memory, /var/tmp must not be."""
    durable = Path("/var/tmp")
    return (
        durable if os.access(durable, os.W_OK) and "TMPDIR" not in os.environ else Path(tempfile.gettempdir())
    )


def sync_us(times: int = 50) -> int:
    """Return the median microseconds of writing 1 KiB into an allocated file and syncing it."""
    taken = []
    with tempfile.TemporaryFile(dir=disk()) as file:
        os.write(file.fileno(), bytes(1 << 20))
        os.fsync(file.fileno())
        for number in range(times):
            since = time.perf_counter()
            os.pwrite(file.fileno(), bytes(1024), number * 1024)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - since)
    return round(statistics.median(taken) * 1e6)
