"""The headers of records on the topics, as JSON Schemas."""

from typing import Any, Final

from schemas.envelope import BINARY_CONTENT_TYPE, SPEC_VERSION

_MOMENT: Final = {"type": "string", "format": "date-time"}
_SEQUENCE: Final = "^[0-9a-f]{16}$"


def _text(says: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": says, **more}


CLOUD_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes; values are UTF-8 texts.",
    "required": [
        "content-type",
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_subject",
        "ce_time",
        "ce_recordedtime",
        "ce_sequence",
        "ce_partitionkey",
    ],
    "properties": {
        "content-type": {"const": BINARY_CONTENT_TYPE},
        "ce_specversion": {"const": SPEC_VERSION},
        "ce_id": _text("The same for a repeat of the same callback."),
        "ce_source": _text("Where it was told: /im/{provider}/{app}, or /im/operations."),
        "ce_type": _text("What happened: im.{entity}.{fact}.v1."),
        "ce_subject": _text("What it is about: group/{id}, user/{id}, conversation/{id}, ..."),
        "ce_time": {**_MOMENT, "description": "When it happened."},
        "ce_recordedtime": {**_MOMENT, "description": "When the bridge accepted it."},
        "ce_sequence": _text(
            "48 bits of milliseconds, 16 bits of counter, in hex: orders facts about one subject, as text.",
            pattern=_SEQUENCE,
        ),
        "ce_partitionkey": _text("What keeps related facts in one partition; the record's key."),
        "ce_timebasis": _text("received, where the provider gave no usable time.", enum=["received"]),
        "ce_correlationid": _text("OpenIM's operation id, Tencent's RequestID."),
        "ce_causationid": _text("The event that caused this one."),
        "ce_traceparent": _text("W3C trace context, when tracing is on."),
        "ce_dataschema": _text("The schema of the data, where it is named."),
        "im-journal": _text("The journal it was accepted in: within one, the order of a key is kept."),
        "im-replay-job": _text("The job that gave the record again; id and sequence are the first ones."),
    },
}

RULES_RECORD: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["content-type"],
    "properties": {"content-type": {"const": BINARY_CONTENT_TYPE}},
}

DEAD_LETTER: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Beside the headers the parked record had.",
    "required": [
        "im-dlq-id",
        "im-dlq-consumer",
        "im-dlq-log",
        "im-dlq-topic",
        "im-dlq-partition",
        "im-dlq-offset",
        "im-dlq-timestamp",
        "im-dlq-reason",
        "im-dlq-attempts",
        "im-dlq-disposition",
    ],
    "properties": {
        "im-dlq-id": _text("The same each time one consumer parks one record."),
        "im-dlq-consumer": _text("Who could not use it."),
        "im-dlq-log": _text("The log it stood in."),
        "im-dlq-topic": _text("The topic it stood on."),
        "im-dlq-partition": _text("Its partition.", pattern="^[0-9]+$"),
        "im-dlq-offset": _text("Its offset.", pattern="^[0-9]+$"),
        "im-dlq-timestamp": _text("Its timestamp, in milliseconds.", pattern="^-?[0-9]+$"),
        "im-dlq-reason": _text("Why it is here."),
        "im-dlq-attempts": _text("How often it was tried.", pattern="^[0-9]+$"),
        "im-dlq-disposition": _text(
            "poison: it cannot be applied; refused: Kafka does not take it; gap: records are missing.",
            enum=["poison", "refused", "gap"],
        ),
    },
}
