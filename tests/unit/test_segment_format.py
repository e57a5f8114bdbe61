"""The bytes on disk: what round trips, what does not check out, what is too new."""

import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import FormatTooNew, RecordRefused
from bridge.log.base import Record, StoredRecord
from bridge.log.segments import damage
from bridge.log.segments.damage import Gap
from bridge.log.segments.format import (
    BATCH_BYTES,
    SEGMENT_BYTES,
    SegmentHeader,
    Times,
    batch_at,
    find_batch,
    pack_batch,
    pack_block,
    read_block,
    read_segment_header,
)
from bridge.log.segments.frames import decode, encode, topic_prefixes
from bridge.log.segments.layout import file_name, name_of_file
from bridge.log.segments.locks import OsLock, lock_or_refuse, lock_within, try_lock
from bridge.telemetry import JOURNAL_LOST

any_text = st.text(st.characters(codec=None, categories=None))  # lone surrogates too
records = st.builds(
    Record,
    topic=any_text,
    key=st.none() | any_text,
    value=st.none() | st.binary(),
    headers=st.dictionaries(any_text, any_text, max_size=4),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)
MAGIC = b"testing\n"
TIMES = Times(5, 6)


@given(st.lists(records, max_size=4), st.integers(0, 2**60))
def test_records_come_out_of_a_batch_as_they_went_in(given: list[Record], offset: int) -> None:
    data = b"".join(map(encode, given))
    assert decode(data, 0, len(data), offset) == [
        StoredRecord(offset + place, record) for place, record in enumerate(given)
    ]


@given(st.lists(records, max_size=4), any_text)
def test_only_the_topics_wanted_are_decoded(given: list[Record], wanted: str) -> None:
    data = b"".join(map(encode, given))
    topics = [wanted, *(record.topic for record in given[:1])]
    valid = [topic for topic in topics if topic.isascii()]
    found = decode(data, 0, len(data), 0, topic_prefixes(valid))
    assert [stored.offset for stored in found] == [
        n for n, record in enumerate(given) if record.topic in valid
    ]


@pytest.mark.parametrize("timestamp", [2**63, -(2**63) - 1])
def test_a_timestamp_that_cannot_be_written_is_refused(timestamp: int) -> None:
    with pytest.raises(RecordRefused, match=str(timestamp)):
        encode(Record("t", "k", b"v", {}, timestamp))


@given(st.binary(max_size=100), st.data())
def test_a_block_reads_back_and_any_flipped_bit_shows(body: bytes, data: st.DataObject) -> None:
    block = pack_block(MAGIC, body)
    assert read_block(block + b"behind", MAGIC, "here") == body
    bit = data.draw(st.integers(0, 8 * len(block) - 1))
    spoiled = bytearray(block)
    spoiled[bit // 8] ^= 1 << bit % 8
    assert read_block(bytes(spoiled), MAGIC, "here") is None


def test_a_block_of_a_newer_program_is_refused_with_a_clear_sentence() -> None:
    start = struct.pack("<8sHH", MAGIC, 2, 3)
    newer = start + crc32(b"???", crc32(start)).to_bytes(4, "little") + b"???"
    with pytest.raises(FormatTooNew, match=r"/data/x is written in format 2, .* up to format 1: upgrade"):
        read_block(newer, MAGIC, Path("/data/x"))


def test_a_batch_of_a_newer_program_is_refused_too() -> None:
    batch = bytearray(pack_batch(7, 0, 1, 1, TIMES, [b"frame"]))
    batch[8:10] = (2).to_bytes(2, "little")
    batch[4:8] = crc32(batch[8:], 7).to_bytes(4, "little")
    with pytest.raises(FormatTooNew):
        batch_at(bytes(batch), 0, 7, "here")


@given(st.lists(st.binary(max_size=6000), min_size=1, max_size=3), st.data())
def test_any_flipped_bit_of_a_batch_shows(parts: list[bytes], data: st.DataObject) -> None:
    batch = pack_batch(7, 40, len(parts), 1, TIMES, parts)
    found = batch_at(b"before" + batch + b"behind", 6, 7, "here")
    assert found is not None
    assert (found.position, found.stop) == (6, 6 + len(batch))
    assert (found.first_offset, found.next_offset, found.times) == (40, 40 + len(parts), TIMES)
    bit = data.draw(st.integers(0, 8 * len(batch) - 1))
    spoiled = bytearray(batch)
    spoiled[bit // 8] ^= 1 << bit % 8
    assert batch_at(bytes(spoiled), 0, 7, "here") is None


def test_a_batch_of_another_log_does_not_check_out() -> None:
    batch = pack_batch(7, 0, 1, 1, TIMES, [b"frame"])
    assert batch_at(batch, 0, 8, "here") is None
    assert batch_at(batch[:-1], 0, 7, "here") is None
    assert batch_at(b"\0" * BATCH_BYTES, 0, 7, "here") is None


def test_a_batch_is_found_behind_damage_but_not_one_of_the_past() -> None:
    old, new = (pack_batch(7, first, 1, 1, TIMES, [b"frame"]) for first in (3, 9))
    data = b"\xffimB torn" + old + new
    found = find_batch(data, 0, 7, 4, "here")
    assert found is not None
    assert found.first_offset == 9
    assert find_batch(data, 0, 7, 10, "here") is None


def test_a_segment_header_reads_back() -> None:
    header = SegmentHeader(b"u" * 16, 5, 1 << 26, 123, TIMES)
    assert len(header.pack()) == SEGMENT_BYTES
    assert read_segment_header(header.pack() + b"batches", "here") == header
    assert read_segment_header(b"\0" * SEGMENT_BYTES, "here") is None


@given(any_text.filter(lambda name: not any("\ud800" <= char <= "\udfff" for char in name)))
def test_any_name_makes_one_safe_file_name_and_reads_back(name: str) -> None:
    file = file_name(name)
    assert name_of_file(file) == name
    assert "/" not in file
    assert file not in {".", ".."}


def test_loss_is_counted_once_however_many_readers_see_it(tmp_path: Path) -> None:
    before = JOURNAL_LOST._value.get()
    for gap in (Gap(3, 5), Gap(3, 5), Gap(7, 8), Gap(9, 9)):
        damage.report(b"one log, 16 byte", tmp_path, gap, "a reader")
    assert JOURNAL_LOST._value.get() - before == 3


def test_a_lock_is_exclusive_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "groups"
    first = try_lock(path)
    assert isinstance(first, OsLock)
    assert try_lock(path) is None
    first.release()
    first.release()
    with lock_or_refuse(path, "it"):
        assert try_lock(path) is None
    lock_within(path, 0).release()
