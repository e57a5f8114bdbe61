"""The error tree. Each class says whether trying again can help.

ImbridgeError
├── ConfigurationError          settings do not fit; names every problem at once
├── UsageError                  a command line that cannot be carried out as given
├── CallbackError               a request is answered with its status, nothing is stored
│   ├── Unauthenticated         403: app id, signature, freshness, path secret, network
│   ├── UnknownPath             404
│   ├── BodyTooLarge            413
│   └── BodyTooSlow             408
├── LogError
│   ├── LogUnavailable          retriable: broker unreachable, journal queue full, disk full
│   │   ├── JournalFull         retriable: no room until space is freed
│   │   └── JournalBusy         retriable: the bounded queue is full
│   ├── JournalFailed           a sync failed: this process must not append again
│   ├── LogLocked               another process holds the log
│   ├── RecordRefused           the log refuses this record for itself (too large, no such topic)
│   ├── OffsetGone              the offset asked for was forgotten or never was: a named incident
│   ├── LogCorrupt              bytes that do not check out
│   └── FormatTooNew            written by a newer program
├── StoreError
│   ├── StoreUnavailable        retriable: database away, locked, time-out
│   ├── Fenced                  another runner claimed this checkpoint
│   └── StoreRefused            the database refuses these rows for themselves
├── RulesRefused                rules do not check out; names every problem at once
├── LedgerUnusable              a simulator's ledger cannot be written or read
└── PoisonRecord                a record that fails the same way every time
"""

from collections.abc import Sequence
from typing import ClassVar


class ImbridgeError(Exception):
    """Root of every error the product raises on purpose. The message says what, which value, what to do."""

    retriable: ClassVar[bool] = False


class ConfigurationError(ImbridgeError):
    """Settings do not fit; the message names every problem with its key and the accepted values."""


class UsageError(ImbridgeError):
    """A command line cannot be carried out as given."""


class CallbackError(ImbridgeError):
    """A request is answered with ``status`` in the caller's dialect and nothing is stored."""

    status: ClassVar[int] = 400


class Unauthenticated(CallbackError):
    """The request did not pass the door; ``reason`` is one word for counting."""

    status: ClassVar[int] = 403

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnknownPath(CallbackError):
    """No provider answers at this path."""

    status: ClassVar[int] = 404


class BodyTooLarge(CallbackError):
    """The body passed the cap while being read."""

    status: ClassVar[int] = 413


class BodyTooSlow(CallbackError):
    """The body did not arrive in time."""

    status: ClassVar[int] = 408


class Overloaded(CallbackError):
    """There is no memory left for requests that have not arrived whole."""

    status: ClassVar[int] = 503


class LogError(ImbridgeError):
    """A log could not do what was asked."""


class LogUnavailable(LogError):
    """The log cannot be reached or written now; the same call may succeed later."""

    retriable: ClassVar[bool] = True


class JournalFull(LogUnavailable):
    """The reserve is reached: nothing is accepted until space is freed."""


class JournalBusy(LogUnavailable):
    """The bounded queue in front of the journal is full."""


class JournalFailed(LogError):
    """A write or sync failed; what was acknowledged stands, nothing more is accepted by this process."""


class LogLocked(LogError):
    """Another process holds this log."""


class RecordRefused(LogError):
    """The log refuses these records for themselves; trying again fails the same way."""


class OffsetGone(LogError):
    """The offset asked for lies outside what the log holds."""

    def __init__(self, topic: str, partition: int, offset: int, begin: int, end: int) -> None:
        super().__init__(
            f"{topic}/{partition} holds offsets {begin} to {end}, asked for {offset}: "
            "it was forgotten by retention or belongs to another log"
        )
        self.topic, self.partition, self.offset, self.begin, self.end = topic, partition, offset, begin, end


class LogCorrupt(LogError):
    """Bytes on disk do not check out; the message names file, position and what is lost."""


class FormatTooNew(LogError):
    """The file was written by a newer program; upgrade this one."""


class StoreError(ImbridgeError):
    """A store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or is busy; the same call may succeed later."""

    retriable: ClassVar[bool] = True


class Fenced(StoreError):
    """Another runner has claimed this checkpoint, or it was moved; nothing was written."""


class StoreRefused(StoreError):
    """The database refuses these rows for themselves; trying again fails the same way."""


class RulesRefused(ImbridgeError):
    """Rules do not check out, so nothing was published or served; ``problems`` names each."""

    def __init__(self, message: str, problems: Sequence[object]) -> None:
        super().__init__("\n".join((message, *map(str, problems))))
        self.problems = tuple(problems)


class PoisonRecord(ImbridgeError):
    """A record that fails the same way every time; it is parked with this reason."""


class LedgerUnusable(ImbridgeError):
    """A ledger of what was acknowledged cannot be written or read; what follows from it would be no proof."""
