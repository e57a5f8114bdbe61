"""The bytes on disk: blocks (identity, end, marks, segment headers) and batches, with their checksums.

A block is magic (8), version (2), length of the body (2), CRC-32 (4), body. A batch is a header of 56 bytes
and its records. In both, magic, version and checksum keep their place and meaning in every later version,
so that an older program can tell a newer file from a damaged one.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from bridge.errors import FormatTooNew

VERSION: Final = 1
SEGMENT_MAGIC: Final = b"imb-seg\n"
SEGMENT_BYTES: Final = 72
BATCH_MAGIC: Final = b"\xffimB"  # 0xff never stands in UTF-8, so no JSON body can carry it
BATCH_BYTES: Final = 56
_BLOCK: Final = Struct("<8sHHI")
_BLOCK_START: Final = Struct("<8sHH")
_SEGMENT: Final = Struct("<16sQQQQQ")
_BATCH: Final = Struct("<4sIHHIQIIQQQ")
_BATCH_START: Final = Struct("<4sI")
_BATCH_REST: Final = Struct("<HHIQIIQQQ")


def pack_block(magic: bytes, body: bytes) -> bytes:
    """Return ``body`` behind magic, version, length and checksum."""
    start = _BLOCK_START.pack(magic, VERSION, len(body))
    return start + crc32(body, crc32(start)).to_bytes(4, "little") + body


def read_block(data: bytes, magic: bytes, where: object) -> bytes | None:
    """Return the body of the block ``data`` begins with, None when it does not check out.

    Raises FormatTooNew when a newer program wrote it; ``where`` names the file in the message.
    """
    if len(data) < _BLOCK.size:
        return None
    found, version, length, checksum = _BLOCK.unpack_from(data)
    body = data[_BLOCK.size : _BLOCK.size + length]
    if found != magic or len(body) != length or crc32(body, crc32(data[: _BLOCK_START.size])) != checksum:
        return None
    _check_version(version, where)
    return body


def _check_version(version: int, where: object) -> None:
    if version > VERSION:
        raise FormatTooNew(
            f"{where} is written in format {version}, this program reads up to format {VERSION}: "
            "upgrade imbridge, or give it another data directory"
        )


class Times(NamedTuple):
    """``floor_ms``: the greatest time held, wall clock or record; ``newest_ms``: the greatest timestamp.

    They differ by mistakes: a timestamp far ahead of the wall clock must not hold up the clock of the log.
    """

    floor_ms: int = 0
    newest_ms: int = 0

    def joined(self, other: "Times") -> "Times":
        """Return the greater of each."""
        return Times(max(self.floor_ms, other.floor_ms), max(self.newest_ms, other.newest_ms))


class SegmentHeader(NamedTuple):
    """What the first bytes of a segment say; ``times`` are those of all the records before it."""

    uuid: bytes
    first_offset: int
    capacity: int
    created_ms: int
    times: Times

    def pack(self) -> bytes:
        """Return the header as it stands on disk."""
        return pack_block(SEGMENT_MAGIC, _SEGMENT.pack(*self[:-1], *self.times))


def read_segment_header(data: bytes, where: object) -> SegmentHeader | None:
    """Return the header ``data`` begins with, None when it does not check out. Raises FormatTooNew."""
    body = read_block(data[:SEGMENT_BYTES], SEGMENT_MAGIC, where)
    if body is None:
        return None
    uuid, first_offset, capacity, created_ms, floor_ms, newest_ms = _SEGMENT.unpack(body)
    return SegmentHeader(uuid, first_offset, capacity, created_ms, Times(floor_ms, newest_ms))


class BatchHead(NamedTuple):
    """One batch that checks out: where it stands in the data and what its header says.

    ``time_ms`` is the wall clock when it was written; ``times`` are the floor of the log up to here and the
    greatest timestamp in this batch.
    """

    position: int
    stop: int
    first_offset: int
    next_offset: int
    time_ms: int
    times: Times


def pack_batch(
    seed: int, first_offset: int, count: int, time_ms: int, times: Times, parts: Sequence[bytes]
) -> bytes:
    """Return a batch of ``count`` encoded records, checksummed from ``seed`` (the log's identity) on."""
    length = sum(map(len, parts))
    rest = _BATCH_REST.pack(VERSION, 0, length, first_offset, count, 0, time_ms, *times)
    checksum = crc32(rest, seed)
    for part in parts:  # part by part: one call over more than 5 KiB would give up the interpreter lock
        checksum = crc32(part, checksum)
    return b"".join((_BATCH_START.pack(BATCH_MAGIC, checksum), rest, *parts))


def batch_at(data: bytes, position: int, seed: int, where: object) -> BatchHead | None:
    """Return the batch at ``position``, None when no whole batch of this log checks out there.

    Raises FormatTooNew when it checks out and a newer program wrote it.
    """
    if len(data) - position < BATCH_BYTES:
        return None
    fields = _BATCH.unpack_from(data, position)
    magic, checksum, version, _, length, first_offset, count, _, time_ms, *times = fields
    stop = position + BATCH_BYTES + length
    if magic != BATCH_MAGIC or stop > len(data):
        return None
    if crc32(memoryview(data)[position + _BATCH_START.size : stop], seed) != checksum:
        return None
    _check_version(version, where)
    return BatchHead(position, stop, first_offset, first_offset + count, time_ms, Times(*times))


def batch_stop(data: bytes, position: int) -> int:
    """Return where the batch at ``position`` stops by its own, unchecked length; 0 if none begins there."""
    if len(data) - position < BATCH_BYTES or data[position : position + 4] != BATCH_MAGIC:
        return 0
    length: int = _BATCH.unpack_from(data, position)[4]
    return position + BATCH_BYTES + length


def find_batch(data: bytes, position: int, seed: int, least_offset: int, where: object) -> BatchHead | None:
    """Return the first batch from ``position`` on that checks out and begins at ``least_offset`` or later."""
    while (position := data.find(BATCH_MAGIC, position)) >= 0:
        batch = batch_at(data, position, seed, where)
        if batch is not None and batch.first_offset >= least_offset:
            return batch
        position += 1
    return None
