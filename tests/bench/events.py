"""Real events for benches that need no callers: what the ingress makes of the load generators' callback."""

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from bridge.log.base import Record, record_of
from bridge.log.clock import HybridClock
from schemas.callback import Callback
from schemas.catalog import Catalog
from schemas.normalize.lossless import read_json
from tests.bench.traffic import Traffic

_APP: Final = "1400000000"
_COMMAND: Final = "Group.CallbackAfterNewMemberJoin"
_QUERY: Final = {
    "SdkAppid": _APP,
    "CallbackCommand": _COMMAND,
    "contenttype": "json",
    "ClientIP": "10.100.100.100",
    "OptPlatform": "Android",
}


def joined(amount: int, run: int = 0) -> Sequence[Record]:
    """Return that many different events of members who joined one of a thousand groups, as records."""
    return list(_joined(amount, run))


def _joined(amount: int, run: int) -> Iterator[Record]:
    spec = Catalog.load().find("tencent", _COMMAND)
    if spec is None:
        raise LookupError(f"the catalog has no row {_COMMAND}")
    traffic, clock = Traffic(1, run), HybridClock()
    for number in range(amount):
        body = traffic.request(number).partition(b"\r\n\r\n")[2]
        callback = Callback("tencent", _APP, _COMMAND, _QUERY, None, body, read_json(body), clock.tick())
        for envelope in spec.normalize(callback):
            yield record_of(spec.topic, envelope, callback.received_ms)


def bytes_of(records: Sequence[Record]) -> int:
    """Return how many bytes the records' keys, values and headers are, on average."""
    total = sum(
        len(record.key or "") + len(record.value or b"") + len(orjson.dumps(dict(record.headers)))
        for record in records
    )
    return round(total / max(1, len(records)))
