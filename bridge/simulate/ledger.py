"""The ledger of what was acknowledged: JSON lines, appended, on disk within a bounded while."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import orjson

from bridge.errors import LedgerUnusable
from bridge.simulate.markers import Marker, read_marker
from bridge.simulate.traffic import Sending

SYNC_SECONDS: Final = 0.2
"""How long an acknowledgement may wait in memory: what is younger when the simulator is killed is not held
against anybody."""

_MOST_WAITING: Final = 1_000_000
_LONGEST_LINE: Final = 1 << 20


class Entry(NamedTuple):
    """One acknowledged after-callback, one line. Times are ``time.monotonic_ns`` of the machine.

    ``sent_ns`` is when anything with this marker was first sent, ``acked_ns`` when this answer was read.
    ``events`` is how many events the callback becomes. ``twin`` numbers genuine callbacks with the same
    bytes, None where there is only one; ``apart`` says that the identity rules keep such twins apart.
    ``restless`` says that a repeat has ids of its own, since nothing tells it from a second callback.
    ``app``, ``type``, ``group`` and ``users`` say what the tables must show of it; OpenIM names no app.
    """

    marker: Marker
    provider: str
    command: str
    sent_ns: int
    acked_ns: int
    events: int
    twin: int | None = None
    apart: bool = False
    restless: bool = False
    app: str = ""
    type: str = ""
    group: str = ""
    users: tuple[str, ...] = ()

    def line(self) -> bytes:
        """Return the entry as a line; what is as usual is left out."""
        content = self._asdict() | {"marker": str(self.marker)}
        usual = Entry._field_defaults
        return orjson.dumps({key: value for key, value in content.items() if value != usual.get(key, ...)})


def entry_of(sending: Sending, acked_ns: int) -> Entry:
    """Return the entry of a sending that was acknowledged at ``acked_ns``."""
    story = sending.story
    return Entry(
        marker=story.marker,
        provider=story.spec.provider,
        command=story.spec.name,
        sent_ns=story.first_sent_ns,
        acked_ns=acked_ns,
        events=story.events,
        twin=sending.twin if story.twins else None,
        apart=story.apart,
        restless=story.restless,
        app=story.app,
        type=story.spec.type,
        group=story.group,
        users=tuple(story.users),
    )


class Ledger:
    """Appends entries to a file while entered; leaving puts the rest on disk.

    Entering raises LedgerUnusable; so do ``note`` and leaving, once a write has failed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._failure: OSError | None = None
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            self._handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _cut_torn_line(self._handle)
        except OSError as error:
            raise self._unusable(error) from error
        self._writing = asyncio.create_task(self._write_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            await self._writing
        finally:
            os.close(self._handle)
        if self._failure is not None and kind is None:
            raise self._unusable(self._failure)

    def note(self, entry: Entry) -> None:
        """Take an entry in; it is on disk within ``SYNC_SECONDS`` and what one sync takes."""
        if self._failure is not None:
            raise self._unusable(self._failure)
        if len(self._lines) >= _MOST_WAITING:
            raise LedgerUnusable(f"the disk under the ledger {self._file} does not keep up")
        self._lines.append(entry.line())

    async def _write_on(self) -> None:
        while self._failure is None and not (self._over.is_set() and not self._lines):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), SYNC_SECONDS)
            lines, self._lines = self._lines, []
            if lines:
                await asyncio.to_thread(self._write, b"\n".join(lines) + b"\n")

    def _write(self, content: bytes) -> None:
        try:
            while content:
                content = content[os.write(self._handle, content) :]
            os.fdatasync(self._handle)
        except OSError as error:
            self._failure = error

    def _unusable(self, error: OSError) -> LedgerUnusable:
        return LedgerUnusable(f"the ledger {self._file} cannot be written: {error}")


def _cut_torn_line(handle: int) -> None:
    """Take away a last line without an end: whoever wrote it was killed before it counted."""
    size = os.fstat(handle).st_size
    tail = os.pread(handle, _LONGEST_LINE, max(0, size - _LONGEST_LINE))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(handle, size - torn)


def read_ledger(file: Path) -> Iterator[Entry]:
    """Yield the entries of a ledger; a torn last line is none. Raises LedgerUnusable, naming the line."""
    try:
        with file.open("rb") as lines:
            for place, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    yield _read(file, place, line)
    except OSError as error:
        raise LedgerUnusable(f"the ledger {file} cannot be read: {error}") from error


def _read(file: Path, place: int, line: bytes) -> Entry:
    try:
        content: dict[str, Any] = orjson.loads(line)
        known = {key: value for key, value in content.items() if key in Entry._fields}
        users = tuple(content.get("users", ()))
        entry = Entry(**known | {"marker": read_marker(content["marker"]), "users": users})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LedgerUnusable(f"line {place} of {file} is no entry of a ledger: {error!r}") from error
    if entry.marker is None:
        raise LedgerUnusable(f"line {place} of {file} has no marker: {content['marker']!r}")
    return entry
