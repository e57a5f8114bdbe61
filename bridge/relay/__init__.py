"""The relay: moves one journal's records to another log, in order, and marks how far."""

from bridge.relay.relay import BATCH_RECORDS, SHARED_BATCH_RECORDS, Relay
from bridge.relay.source import JournalSource, Source, Target
from bridge.relay.status import RelayStatus

__all__ = [
    "BATCH_RECORDS",
    "SHARED_BATCH_RECORDS",
    "JournalSource",
    "Relay",
    "RelayStatus",
    "Source",
    "Target",
]
