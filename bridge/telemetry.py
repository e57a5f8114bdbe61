"""Logging set-up and every metric, declared in one list.

Log events are ``noun.past_tense`` with keys; bodies and secrets are never logged. Metrics are labelled by
provider, command, topic, consumer and outcome, never by subject or user.
"""

import logging
import sys
from typing import Any, Final, Literal

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bridge.counting import PlainCounter, PlainHistogram

Across = Literal["sum", "max", "min"]

REGISTRY = CollectorRegistry()
ACROSS: Final[dict[str, Across]] = {}  # how each gauge is taken over several processes; all else is summed
_FAST = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


def _counter(name: str, says: str, *labels: str) -> Counter:
    return Counter(f"imbridge_{name}", says, labels, registry=REGISTRY)


def _gauge(name: str, says: str, *labels: str, across: Across) -> Gauge:
    ACROSS[f"imbridge_{name}"] = across
    return Gauge(f"imbridge_{name}", says, labels, registry=REGISTRY)


def _histogram(name: str, says: str, *labels: str) -> Histogram:
    return Histogram(f"imbridge_{name}", says, labels, registry=REGISTRY, buckets=_FAST)


CALLBACKS = PlainCounter(
    "imbridge_callbacks_total", "Callbacks answered", ("provider", "command", "outcome"), REGISTRY
)
CALLBACK_SECONDS = PlainHistogram(
    "imbridge_callback_seconds",
    "From request read to answer handed over",
    ("provider", "phase"),
    _FAST,
    REGISTRY,
)
CONNECTIONS = _gauge("connections", "Open connections of callers", across="sum")
CONNECTIONS_ENDED = _counter("connections_ended_total", "Connections ended before their caller did", "reason")
DOOR_REFUSALS = _counter("door_refusals_total", "Requests that did not pass the door", "provider", "reason")
DECISIONS = PlainCounter(
    "imbridge_decisions_total", "Before-callbacks decided", ("provider", "command", "outcome"), REGISTRY
)
DECISION_SECONDS = PlainHistogram("imbridge_decision_seconds", "Time to decide", (), _FAST, REGISTRY)
DECISION_EVENTS_DROPPED = _counter(
    "decision_events_dropped_total", "Decision events the journal had no place for"
)
JOURNAL_RECORDS = _counter("journal_records_total", "Records made durable in the journal")
JOURNAL_BYTES = _counter("journal_bytes_total", "Bytes made durable in the journal")
JOURNAL_SYNC_SECONDS = _histogram("journal_sync_seconds", "One write and fdatasync of a batch")
JOURNAL_FULL = _gauge(
    "journal_full", "1 while after-callbacks are refused for want of disk space", across="max"
)
JOURNAL_LOST = _counter("journal_lost_records_total", "Records found damaged on disk")
RELAY_RECORDS = _counter("relay_records_total", "Journal records handled by the relay", "outcome")
RELAY_RETRIES = _counter("relay_retries_total", "Relay batches tried again", "reason")
RELAY_LAG_RECORDS = _gauge("relay_lag_records", "Journal offsets not yet relayed", "journal", across="max")
RELAY_LAG_SECONDS = _gauge(
    "relay_lag_seconds", "Age of the oldest record not yet relayed", "journal", across="max"
)
CONSUMER_RECORDS = _counter("consumer_records_total", "Records consumed", "consumer", "topic", "outcome")
CONSUMER_BATCH_SECONDS = _histogram("consumer_batch_seconds", "One batch applied and committed", "consumer")
CONSUMER_LAG_RECORDS = _gauge(
    "consumer_lag_records", "End offset minus next offset", "consumer", "topic", "partition", across="max"
)
CONSUMER_LAG_SECONDS = _gauge(
    "consumer_lag_seconds", "Age of the last applied event while behind", "consumer", across="max"
)
CONSUMER_RETRIES = _counter("consumer_retries_total", "Batches tried again", "consumer", "reason")
CONSUMER_FENCED = _counter(
    "consumer_fenced_total", "Commits refused since another runner claimed", "consumer"
)
CONSUMER_GAPS = _counter("consumer_gaps_total", "Offsets that no longer existed", "consumer", "topic")
DEAD_LETTERS = _counter("dead_letters_total", "Records parked", "consumer", "disposition")
RULES_VERSION = _gauge("rules_version", "Version of the served rule set", "set", across="min")
RULES_AGE_SECONDS = _gauge(
    "rules_age_seconds", "Seconds since the rules topic was last read to its end", across="max"
)
RULES_ERRORS = _counter("rules_errors_total", "Decisions the fallback answered since a rule raised")
RULES_REJECTED = _counter("rules_rejected_total", "Manifests that did not check out and are not served")
WORKER_RESTARTS = _counter("worker_restarts_total", "Worker processes started again", "worker")


def _json(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(level: str = "info", style: Literal["auto", "json", "text"] = "auto") -> None:
    """Send structlog to standard error: text on a terminal, else one JSON object a line."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if not text else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> Any:
    """Return the logger of one part; it carries ``part``."""
    return structlog.get_logger(part=name)
