"""Which settings file the command line names."""

from pathlib import Path
from typing import Final

_file: Final[list[Path]] = []


def use_file(file: Path | None) -> None:
    """Read settings from this file from now on."""
    _file[:] = [file] if file else []


def chosen_file() -> Path | None:
    """Return the file settings are read from; None without one."""
    return _file[0] if _file else None
