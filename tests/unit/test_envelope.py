"""The envelope in both content modes."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Envelope, EnvelopeError, format_time, parse_time, read_envelope, read_structured

EVENT = Envelope(
    id="tencent-abc",
    source="/im/tencent/1400000000",
    type="im.group.created.v1",
    subject="group/@TGS#1",
    time="2022-12-09T08:26:54.123Z",
    recordedtime="2026-02-13T16:26:40.000Z",
    sequence="0184f5fe992b0000",
    partitionkey="@TGS#1",
    data={"group_id": "@TGS#1", "origin": {"body": {"GroupId": "@TGS#1"}}},
)
FULL = EVENT._replace(timebasis="received", correlationid="op 1", causationid="c", traceparent="00-1-2-01")
MODES = pytest.mark.parametrize("event", [EVENT, FULL], ids=["required attributes", "all attributes"])


@MODES
def test_binary_mode_is_read_back(event: Envelope) -> None:
    headers, value = event.binary()
    assert read_envelope(headers, value) == event


@MODES
def test_structured_mode_is_read_back_as_line_and_as_record(event: Envelope) -> None:
    line = event.structured()
    assert read_structured(line) == event
    assert read_envelope({"content-type": "application/cloudevents+json; charset=utf-8"}, line) == event


def test_binary_mode_carries_attributes_as_headers_and_data_alone_as_value() -> None:
    headers, value = EVENT.binary()
    assert headers["ce_id"] == "tencent-abc"
    assert headers["ce_specversion"] == "1.0"
    assert headers["content-type"] == "application/json"
    assert "ce_timebasis" not in headers
    assert orjson.loads(value) == EVENT.data


def test_structured_mode_is_a_valid_cloudevent() -> None:
    event = orjson.loads(FULL.structured())
    assert event["specversion"] == "1.0"
    assert event["datacontenttype"] == "application/json"
    assert event["data"] == EVENT.data


@pytest.mark.parametrize("missing", ["id", "source", "type", "subject", "time", "sequence", "partitionkey"])
def test_a_missing_attribute_is_named(missing: str) -> None:
    headers, value = EVENT.binary()
    del headers[f"ce_{missing}"]
    with pytest.raises(EnvelopeError, match=missing):
        read_envelope(headers, value)


@pytest.mark.parametrize("sequence", ["", "123", "0184F5FE992B0000", "0184f5fe992b000g", "0184f5fe992b00000"])
def test_a_sequence_that_does_not_sort_as_text_is_refused(sequence: str) -> None:
    headers, value = EVENT._replace(sequence=sequence).binary()
    with pytest.raises(EnvelopeError, match="sequence"):
        read_envelope(headers, value)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"1"])
def test_a_value_that_is_no_object_is_refused(value: bytes | None) -> None:
    with pytest.raises(EnvelopeError):
        read_envelope(EVENT.binary()[0], value)


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_written_and_read_to_the_millisecond(ms: int) -> None:
    assert parse_time(format_time(ms)) == ms


def test_times_sort_as_text() -> None:
    assert format_time(1_670_574_414_023) == "2022-12-09T08:26:54.023Z"
    assert format_time(999) < format_time(1000) < format_time(10_000)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        parse_time("2022-12-09T08:26:54.023")
