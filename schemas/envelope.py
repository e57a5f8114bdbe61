"""The normalized event: CloudEvents 1.0 in both content modes, written and read back.

Binary mode (Kafka): attributes are ``ce_*`` headers, the value is the JSON data alone.
Structured mode (files, command line, HTTP): one self-contained JSON object.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

SPEC_VERSION: Final = "1.0"
BINARY_CONTENT_TYPE: Final = "application/json"
STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
_REQUIRED: Final = ("id", "source", "type", "subject", "time", "recordedtime", "sequence", "partitionkey")
_OPTIONAL: Final = ("timebasis", "correlationid", "causationid", "traceparent", "dataschema")
_SEQUENCE_DIGITS: Final = 16
_HEX: Final = frozenset("0123456789abcdef")
_THOUSANDTHS: Final = [f".{part:03d}Z" for part in range(1000)]
_PAIRS: Final = tuple((name, f"ce_{name}") for name in (*_REQUIRED, *_OPTIONAL))


class EnvelopeError(ValueError):
    """What was read is no envelope of ours; the message names the attribute."""


class Envelope(NamedTuple):
    """One normalized event, neutral of the provider, with the original body kept in ``data["origin"]``.

    ``time`` and ``recordedtime`` are RFC 3339 in UTC with milliseconds; ``sequence`` is 16 hex digits
    (48 bits milliseconds, 16 bits counter), sortable as text.
    """

    id: str
    source: str
    type: str
    subject: str
    time: str
    recordedtime: str
    sequence: str
    partitionkey: str
    data: dict[str, Any]
    timebasis: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    dataschema: str | None = None

    def binary(self) -> tuple[dict[str, str], bytes]:
        """Return headers and value in binary content mode."""
        # Unpacked and written out, since it runs once per callback: half the time of a loop over the names.
        (
            event_id, source, event_type, subject, time, recordedtime, sequence, partitionkey, data,
            timebasis, correlationid, causationid, traceparent, dataschema,
        ) = self  # fmt: skip
        headers = {
            "content-type": BINARY_CONTENT_TYPE,
            "ce_specversion": SPEC_VERSION,
            "ce_id": event_id,
            "ce_source": source,
            "ce_type": event_type,
            "ce_subject": subject,
            "ce_time": time,
            "ce_recordedtime": recordedtime,
            "ce_sequence": sequence,
            "ce_partitionkey": partitionkey,
        }
        if timebasis is not None:
            headers["ce_timebasis"] = timebasis
        if correlationid is not None:
            headers["ce_correlationid"] = correlationid
        if causationid is not None:
            headers["ce_causationid"] = causationid
        if traceparent is not None:
            headers["ce_traceparent"] = traceparent
        if dataschema is not None:
            headers["ce_dataschema"] = dataschema
        return headers, orjson.dumps(data)

    def structured(self) -> bytes:
        """Return the event as one JSON object in structured content mode."""
        event: dict[str, Any] = {"specversion": SPEC_VERSION}
        for name, _ in _PAIRS:
            value = getattr(self, name)
            if value is not None:
                event[name] = value
        event["datacontenttype"] = BINARY_CONTENT_TYPE
        event["data"] = self.data
        return orjson.dumps(event)


def read_envelope(headers: Mapping[str, str], value: bytes | None) -> Envelope:
    """Return the envelope that headers and value carry, in whichever content mode they are.

    Raises EnvelopeError, which says what is missing or malformed.
    """
    if value is None:
        raise EnvelopeError("a record without a value is a tombstone, not an event")
    content = _parse(value)
    if headers.get("content-type", "").startswith("application/cloudevents"):
        return _structured(content)
    return _build({name: headers[header] for name, header in _PAIRS if header in headers}, content)


def read_structured(line: bytes) -> Envelope:
    """Return the envelope of one structured JSON object. Raises EnvelopeError."""
    return _structured(_parse(line))


def _structured(content: dict[str, Any]) -> Envelope:
    data = content.get("data")
    if not isinstance(data, dict):
        raise EnvelopeError(f"data must be a JSON object, got {type(data).__name__}")
    return _build({name: content[name] for name, _ in _PAIRS if content.get(name) is not None}, data)


def _parse(value: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise EnvelopeError(f"the value is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise EnvelopeError(f"the value must be a JSON object, got {type(content).__name__}")
    return content


def _build(attributes: dict[str, Any], data: dict[str, Any]) -> Envelope:
    missing = [name for name in _REQUIRED if name not in attributes]
    if missing:
        raise EnvelopeError(f"missing CloudEvents attributes: {', '.join(missing)}")
    for name, value in attributes.items():
        if not isinstance(value, str):
            raise EnvelopeError(f"attribute {name} must be text, got {type(value).__name__}")
    _check_sequence(attributes["sequence"])
    return Envelope(data=data, **attributes)


def _check_sequence(text: str) -> None:
    if len(text) != _SEQUENCE_DIGITS or not set(text) <= _HEX:
        raise EnvelopeError(f"sequence must be 16 hex digits in lower case, got {text!r}")


def format_time(ms: int) -> str:
    """Return milliseconds since the epoch as RFC 3339 text in UTC with milliseconds."""
    return _format_second(ms // 1000) + _THOUSANDTHS[ms % 1000]


@lru_cache(maxsize=1024)
def _format_second(seconds: int) -> str:
    # Events of one second share this part; strftime costs ten times the rest.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """Return RFC 3339 text as milliseconds since the epoch. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time needs a zone, got {text!r}: add Z or an offset")
    return round(moment.timestamp() * 1000)
