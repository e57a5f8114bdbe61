"""What the command line prints: tables for people on standard output, JSON for programs, the rest on stderr.

Text that came over the wire is made harmless first: a hostile nickname must not steer a terminal.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 160
_LOOSE_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")  # what JSON lets through: DEL, and C1 in UTF-8


class ReaderGone(Exception):
    """Whoever read standard output has seen enough: the command ends, and has not failed."""


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise ReaderGone


_out = _Output(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
_err = Console(stderr=True, highlight=False)


def clean(value: Any) -> str:
    """Return the value as one line of text without control characters; absent values are a dash."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else str(value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print one table on standard output; an empty one says so."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(value)) for value in row))
    _out.print(table if table.row_count else Text(f"{title}: none"))


def print_line(text: str, style: str = "") -> None:
    """Print lines of our own words on standard output."""
    _out.print(Text(_lines(text), style=style), soft_wrap=True)


def print_json(content: Any) -> None:
    """Print one JSON document on one line on standard output."""
    print_bytes(orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS))


def print_bytes(line: bytes) -> None:
    """Print one JSON document, already written, and a line end on standard output."""
    try:
        sys.stdout.buffer.write(_LOOSE_CONTROLS.sub(_escape, line) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise ReaderGone from None


def complain(text: str) -> None:
    """Print one message on standard error."""
    _err.print(Text(_lines(text)), soft_wrap=True)


def progress() -> Progress:
    """Return bars for people, on standard error, gone when they are done."""
    return Progress(console=_err, transient=True)


def _lines(text: str) -> str:
    return "\n".join(map(clean, text.split("\n")))


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
