"""What was found in a log of what ledgers claim: which events, how often, under which ids, in which order."""

from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson

from bridge.log.base import JOB_HEADER, Record
from bridge.simulate.claims import Claim, Claims
from bridge.simulate.markers import FIELD, Marker, read_marker
from bridge.simulate.order import inversions

_SEEN: Final = 1
_DOUBLED: Final = 2
_SPLIT: Final = 4
_UNBOUND: Final = 8  # stands in several journals, or in one that nobody named: no order binds it

Lane = tuple[str, str | None, str]
"""Topic, partition key and journal: where an order is promised."""

_ALONE: Final = {"number": 1}


class Part(NamedTuple):
    """One event of a callback: its place in the batch it came in, from 1, and its id, hashed."""

    number: int
    event_id: int


class Inversion(NamedTuple):
    """``first`` was acknowledged before ``second`` was sent, and stands behind it."""

    first: Marker
    second: Marker
    lane: Lane


class Sightings:
    """Takes the records of a log, each partition in its order, and is asked afterwards."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._marks = bytearray(len(claims))
        self._ids = array("Q", bytes(8 * len(claims)))
        self._journal = array("H", bytes(2 * len(claims)))
        self._journals: dict[str, int] = {}
        self._parts: dict[int, Counter[Part]] = {}
        self._lanes: dict[Lane, array[int]] = {}
        self.records = 0

    def take(self, record: Record, journal: str | None) -> None:
        """Look at one record; ``journal`` names the journal it was accepted in, None where nobody knows."""
        origin = _origin_of(record)
        marker = read_marker(origin["body"].get(FIELD)) if origin else None
        row = self._claims.row_of(marker) if marker else None
        if row is None:
            return
        self.records += 1
        part = Part(origin.get("part", _ALONE)["number"], _hash(record.headers.get("ce_id", "")))
        is_first = self._is_first(row, part)
        self._note_journal(row, journal)
        if is_first and journal is not None and JOB_HEADER not in record.headers:
            self._lanes.setdefault((record.topic, record.key, journal), array("I")).append(row)

    def _is_first(self, row: int, part: Part) -> bool:
        """Note the event; return whether it is the first of its place in the callback."""
        if self._claims.is_simple(row):
            return self._is_first_of_simple(row, part.event_id)
        self._marks[row] |= _SEEN
        found = self._parts.setdefault(row, Counter())
        is_first = all(each.number != part.number for each in found)
        found[part] += 1
        return is_first

    def _is_first_of_simple(self, row: int, event_id: int) -> bool:
        if not self._marks[row] & _SEEN:
            self._marks[row] |= _SEEN
            self._ids[row] = event_id
            return True
        self._marks[row] |= _DOUBLED if self._ids[row] == event_id else _SPLIT
        return False

    def _note_journal(self, row: int, journal: str | None) -> None:
        number = self._journals.setdefault(journal or "", len(self._journals) + 1)
        if journal is None or self._journal[row] not in (0, number):
            self._marks[row] |= _UNBOUND
        self._journal[row] = number

    def missing(self) -> Iterator[tuple[Claim, int]]:
        """Yield each claim of which not all is there, with the number of its callbacks that are missing."""
        for row, marks in enumerate(self._marks):
            if marks & _SEEN and self._claims.is_simple(row):
                continue
            claim = self._claims[row]
            ids = min(self._ids_of(row, number) for number in range(1, claim.events + 1))
            if ids < claim.least_ids:
                yield claim, claim.callbacks - ids

    def _ids_of(self, row: int, number: int) -> int:
        """Return under how many ids the event at this place of the callback was found."""
        return sum(part.number == number for part in self._parts.get(row, ()))

    def duplicated(self) -> Iterator[Claim]:
        """Yield each claim of which an event stands more often than it was told, under the same id."""
        for row, marks in enumerate(self._marks):
            if marks & _DOUBLED:
                yield self._claims[row]
        for row, found in self._parts.items():
            claim = self._claims[row]
            if max(found.values()) > (1 if claim.apart else claim.most):
                yield claim

    def split(self) -> Iterator[Claim]:
        """Yield each claim of which an event stands under more ids than there were callbacks of it."""
        for row, marks in enumerate(self._marks):
            if marks & _SPLIT:
                yield self._claims[row]
        for row, found in self._parts.items():
            claim, ids = self._claims[row], Counter(part.number for part in found)
            if claim.most_ids is not None and max(ids.values()) > claim.most_ids:
                yield claim

    def merged(self) -> Iterator[tuple[Claim, Claim]]:
        """Yield pairs of claims whose different callbacks stand under one id."""
        in_order = sorted(event_id for event_id, _ in self._found())
        shared = {one for one, other in pairwise(in_order) if one == other}
        owners = {event_id: row for event_id, row in self._found() if event_id in shared}
        for event_id, row in self._found():
            if event_id in shared and owners[event_id] != row:
                yield self._claims[row], self._claims[owners[event_id]]

    def _found(self) -> Iterator[tuple[int, int]]:
        """Yield every id that was found, with the row of its callback."""
        for row, marks in enumerate(self._marks):
            if row in self._parts:
                yield from ((part.event_id, row) for part in self._parts[row])
            elif marks & _SEEN:
                yield self._ids[row], row

    def inversions(self) -> Iterator[Inversion]:
        """Yield each first occurrence that stands behind something sent only after its acknowledgement."""
        claims = self._claims
        for lane, rows in self._lanes.items():
            bound = (row for row in rows if not self._marks[row] & _UNBOUND)
            for late, early in inversions(bound, claims.sent_ns, claims.acked_ns):
                yield Inversion(claims[late].marker, claims[early].marker, lane)

    @property
    def unbound(self) -> int:
        """How many claims no order binds: found in several journals, or in one that nobody named."""
        return sum(bool(marks & _UNBOUND) for marks in self._marks)


def _origin_of(record: Record) -> dict[str, Any]:
    """Return what a record says came in, empty where that is no JSON object."""
    try:
        origin: dict[str, Any] = orjson.loads(record.value or b"")["origin"]
        return origin if isinstance(origin["body"], dict) else {}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}


def _hash(event_id: str) -> int:
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "big")
