"""Where things stand under the data directory: names of directories and files, listed and parsed.

``journals/0001/``, ``journals/0002/``, ... and ``control/`` hold one segment log each: ``identity``, ``end``,
``lock``, ``relay.lock``, ``reserve``, ``marks/``, ``damaged/`` and segments named by their first offset.
``locks/`` holds the locks of the consumers.
"""

import re
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from bridge.errors import LogUnavailable

CONTROL_NUMBER: Final = 0
MAX_JOURNALS: Final = 9999
IDENTITY: Final = "identity"
END: Final = "end"
LOCK: Final = "lock"
RELAY_LOCK: Final = "relay.lock"
RESERVE: Final = "reserve"
MARKS: Final = "marks"
DAMAGED: Final = "damaged"
FILLING: Final = ".filling"
_SEGMENT: Final = re.compile(r"(\d{20})\.seg")
_JOURNAL: Final = re.compile(r"\d{4}")


def control_directory(data_dir: Path) -> Path:
    """Return where the segment log that every process appends to stands."""
    return data_dir / "control"


def journal_directory(data_dir: Path, number: int) -> Path:
    """Return where the journal with this number stands or would stand."""
    return data_dir / "journals" / f"{number:04d}"


def journal_directories(data_dir: Path) -> dict[int, Path]:
    """Return the journals there are by number, in order. Raises LogUnavailable."""
    try:
        return {
            int(path.name): path
            for path in sorted((data_dir / "journals").iterdir())
            if _JOURNAL.fullmatch(path.name) and int(path.name) > 0 and _is_log(path)
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LogUnavailable(f"the journals under {data_dir} cannot be listed: {error}") from error


def _is_log(directory: Path) -> bool:
    """Say whether a log was begun here: one whose identity is gone has segments, which know it too."""
    return (directory / IDENTITY).exists() or bool(segment_offsets(directory))


def number_of(directory: Path) -> int:
    """Return the number of the log that stands in this directory."""
    return int(directory.name) if _JOURNAL.fullmatch(directory.name) else CONTROL_NUMBER


def log_directories(data_dir: Path) -> dict[int, Path]:
    """Return every segment log there is by number: control, if it was ever written, and the journals.

    Raises LogUnavailable.
    """
    control = control_directory(data_dir)
    found = {CONTROL_NUMBER: control} if _is_log(control) else {}
    return found | journal_directories(data_dir)


def consumer_lock(data_dir: Path, consumer: str) -> Path:
    """Return the lock file of a consumer: who holds it owns every partition of its group."""
    return data_dir / "locks" / file_name(consumer)


def file_name(name: str) -> str:
    """Return a name as one safe file name; ``name_of_file`` reads it back."""
    quoted = quote(name, safe="@._-")
    return quoted.replace(".", "%2E", 1) if quoted.startswith(".") else quoted


def name_of_file(file: str) -> str:
    """Return the name that ``file_name`` made this file name of."""
    return unquote(file)


def segment_path(directory: Path, first_offset: int) -> Path:
    """Return the file of the segment that begins at ``first_offset``."""
    return directory / f"{first_offset:020d}.seg"


def segment_offsets(directory: Path) -> list[int]:
    """Return the first offsets of the segments there are, in order."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(_SEGMENT.fullmatch, names) if match)
