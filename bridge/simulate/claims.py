"""What ledgers claim, one row a marker, in columns: millions of acknowledgements in tens of bytes each."""

from array import array
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from bridge.simulate.ledger import Entry
from bridge.simulate.markers import Marker

_TWINS: Final = 0b11
_IS_TWIN: Final = 0b100
_APART: Final = 0b1000
_RESTLESS: Final = 0b10000
_NONE: Final = -1


class Claim(NamedTuple):
    """What is claimed about one marker, by every line that names it.

    ``sent_ns`` is the first sending, as every line says, ``acked_ns`` the earliest acknowledgement.
    ``callbacks`` genuine ones were acknowledged, each of ``events`` events; ``most`` may stand in the log,
    since a twin that nobody acknowledged may be there all the same. ``apart`` and ``restless`` are as in the
    ledger.
    """

    marker: Marker
    command: str
    sent_ns: int
    acked_ns: int
    events: int
    callbacks: int
    most: int
    apart: bool
    restless: bool

    @property
    def least_ids(self) -> int:
        """How many ids each event must be found under."""
        return self.callbacks if self.apart else 1

    @property
    def most_ids(self) -> int | None:
        """How many ids each event may be found under; None where nothing tells a repeat from a second one."""
        if self.restless:
            return None
        return self.most if self.apart else 1


class Claims:
    """Every claim of some ledgers, by row number, in the order of the ledgers."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._rows: dict[str, array[int]] = {}
        self._runs: list[str] = []
        self._names: list[str] = []
        self._run, self._command, self._events, self._flags = array("I"), array("H"), array("H"), array("B")
        self._number, self.sent_ns, self.acked_ns = array("q"), array("q"), array("q")
        for entry in entries:
            self._take(entry)

    def __len__(self) -> int:
        return len(self._number)

    def __getitem__(self, row: int) -> Claim:
        flags = self._flags[row]
        return Claim(
            marker=Marker(self._runs[self._run[row]], self._number[row]),
            command=self._names[self._command[row]],
            sent_ns=self.sent_ns[row],
            acked_ns=self.acked_ns[row],
            events=self._events[row],
            callbacks=(flags & _TWINS).bit_count(),
            most=2 if flags & _IS_TWIN else 1,
            apart=bool(flags & _APART),
            restless=bool(flags & _RESTLESS),
        )

    def is_simple(self, row: int) -> bool:
        """Return whether a row claims one event with one id, as nearly all do."""
        return self._events[row] == 1 and not self._flags[row] & (_IS_TWIN | _RESTLESS)

    @property
    def callbacks(self) -> int:
        """How many genuine callbacks were acknowledged."""
        return sum((flags & _TWINS).bit_count() for flags in self._flags)

    def indistinct(self) -> Iterator[Claim]:
        """Yield each pair of twins, both acknowledged, that nothing but their number tells apart."""
        for row, flags in enumerate(self._flags):
            if flags & _TWINS == _TWINS and not flags & _APART:
                yield self[row]

    def row_of(self, marker: Marker) -> int | None:
        """Return the row of a marker, None where no ledger claims it."""
        rows = self._rows.get(marker.run)
        if rows is None or marker.number >= len(rows) or rows[marker.number] == _NONE:
            return None
        return rows[marker.number]

    def _take(self, entry: Entry) -> None:
        row = self.row_of(entry.marker)
        if row is None:
            row = self._new_row(entry)
        self.acked_ns[row] = min(self.acked_ns[row], entry.acked_ns)
        flags = 1 << (entry.twin or 0)
        flags |= _IS_TWIN if entry.twin is not None else 0
        flags |= (_APART if entry.apart else 0) | (_RESTLESS if entry.restless else 0)
        self._flags[row] |= flags

    def _new_row(self, entry: Entry) -> int:
        row, marker = len(self), entry.marker
        if marker.run not in self._runs:
            self._runs.append(marker.run)
        rows = self._rows.setdefault(marker.run, array("q"))
        rows.extend([_NONE] * (marker.number + 1 - len(rows)))
        rows[marker.number] = row
        self._run.append(self._runs.index(marker.run))
        if entry.command not in self._names:
            self._names.append(entry.command)
        self._command.append(self._names.index(entry.command))
        self._events.append(entry.events)
        self._flags.append(0)
        self._number.append(marker.number)
        self.sent_ns.append(entry.sent_ns)
        self.acked_ns.append(entry.acked_ns)
        return row
