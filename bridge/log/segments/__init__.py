"""The segment log: append-only files, one writer, readers in any process. ARCHITECTURE.md has the format.

``open_journal`` gives this process a journal; ``ControlLog`` is what every process appends to; ``LogView``
and ``read_all`` look at a log from outside; marks say how far readers have got.
"""

from bridge.log.base import TopicPartition
from bridge.log.bell import Bell
from bridge.log.segments.adoption import Adopted, adopt
from bridge.log.segments.control import ControlLog
from bridge.log.segments.journal import SegmentLog, open_journal
from bridge.log.segments.layout import journal_directories, log_directories
from bridge.log.segments.locks import OsLock, relay_lock
from bridge.log.segments.marks import (
    RELAY,
    Mark,
    PlacedMark,
    consumer_mark,
    drop_marks,
    list_marks,
)
from bridge.log.segments.reader import SegmentReader, Source
from bridge.log.segments.view import LogView

__all__ = [
    "RELAY",
    "Adopted",
    "Bell",
    "ControlLog",
    "LogView",
    "Mark",
    "OsLock",
    "PlacedMark",
    "SegmentLog",
    "SegmentReader",
    "adopt",
    "consumer_mark",
    "drop_marks",
    "journal_directories",
    "list_marks",
    "log_directories",
    "open_journal",
    "read_all",
    "relay_lock",
]


def read_all(view: LogView, start: int, bell: Bell | None = None) -> SegmentReader:
    """Return a reader of every topic of one log in offset order, from ``start`` on.

    Its batches carry the partition ``("", number)``. ``bell`` is the journal's, when this process writes it.
    """
    partition = TopicPartition("", view.number)
    return SegmentReader([Source(lambda: view, partition, start, None)], bell or Bell())
