"""Hostile bodies for every row: nothing is raised, every answer is legal, and no byte is lost.

About a thousand bodies in all; IMBRIDGE_FUZZ_BODIES says how many instead (``make fuzz``).
"""

import asyncio
import os
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.ingress.before import BeforePath
from bridge.ingress.state import IngressState
from bridge.ingress.tally import Tally
from bridge.log.base import Done, Journal, Record, record_of
from bridge.providers.base import AuthenticRequest, Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from bridge.telemetry import logger
from schemas.callback import UNPARSED, Callback
from schemas.catalog import CommandSpec, Misfit
from schemas.decisions import Decision, Effect, Question
from schemas.dialects import openim, tencent
from schemas.dialects.readings import Fault
from schemas.envelope import Envelope
from tests.samples import CATALOG

PROVIDERS: dict[str, Provider] = {"tencent": TencentProvider(), "openim": OpenIMProvider()}
READS = {"tencent": tencent.read_answer, "openim": openim.read_answer}
ROWS = list(CATALOG)
BODIES = int(os.environ.get("IMBRIDGE_FUZZ_BODIES", "1000"))
FUZZ = settings(max_examples=-(-BODIES // len(ROWS)), deadline=None, suppress_health_check=list(HealthCheck))
LONG = pytest.mark.timeout(120 + BODIES // 20)
ALLOW, DENY, DROP = Effect("allow"), Effect("deny"), Effect("drop")

ODD = st.sampled_from(
    [
        *(b"null", b"true", b"0", b"-1", b"9223372036854775808", b"18446744073709551615", b"1.5"),
        *(b'""', b'"\\u0000"', b'"12"', b'"%s"' % (b"9" * 30), b'"\\u202e<b>"', b'"%s"' % (b"x" * 70_000)),
        *(b"[]", b"{}", b"[null]", b"[[]]", b'{"":{}}', b'{"userID":5}', b'[{"userID":null}]'),
        *(b"[%s0]" % (b'"",' * 2000), b"[" * 300 + b"]" * 300),
    ]
).map(orjson.loads)
Place = tuple[str | int, ...]
DEEPEST = 8


def places(value: Any, ahead: Place = ()) -> list[Place]:
    """Return every place inside a body, down to some depth."""
    if len(ahead) >= DEEPEST:
        return []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inside for place in ((*ahead, key), *places(one, (*ahead, key)))]


@st.composite
def bodies(draw: st.DrawFn, spec: CommandSpec) -> bytes:
    """Return the example of a row, spoilt at up to three places, and sometimes in its bytes."""
    body = orjson.loads(orjson.dumps(spec.row.example))
    for _ in range(draw(st.integers(0, 3))):
        spoil(draw, body)
    sent = written(body)
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(sent)))
        sent = (
            sent[:at]
            + draw(st.sampled_from([b"", b"\xff", b"\x00", b'"', b"\xed\xa0\x80", b"}"]))
            + sent[at + draw(st.integers(0, 3)) :]
        )
    return sent


def spoil(draw: st.DrawFn, body: Any) -> None:
    """Take one value out, put another in its place, or add one nobody knows."""
    found = places(body)
    if not found or draw(st.integers(0, 5)) == 0:
        body["unheard_of"] = draw(ODD)
        return
    *road, last = draw(st.sampled_from(found))
    holder = reduce(lambda inside, key: inside[key], road, body)
    if draw(st.booleans()):
        holder[last] = draw(ODD)
    else:
        del holder[last]


def written(body: Any) -> bytes:
    """Return the body as bytes; what orjson does not nest so deep is written around."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return b'{"deep":' + b"[" * 2000 + b"]" * 2000 + b"}"


class Shelf:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def submit(self, records: Sequence[Record], _: Done, *, patient: bool = False) -> None:  # noqa: ARG002 as the protocol has it
        self.records.extend(records)


class Told:
    """Decides what it is told."""

    def __init__(self, effect_of: Callable[[Question], Effect]) -> None:
        self._effect_of = effect_of

    def decide(self, question: Question) -> Decision:
        effect = self._effect_of(question)
        return Decision(effect, effect, "why")


def received(spec: CommandSpec, sent: bytes) -> Callback:
    request = AuthenticRequest(spec.provider, "app", spec.name, {}, None)
    return PROVIDERS[spec.provider].parse(request, sent, 1_771_000_000_000 << 16)


def told(spec: CommandSpec, callback: Callback) -> list[Envelope]:
    try:
        return spec.normalize(callback)
    except Misfit as misfit:
        return [CATALOG.unrecognized(callback, str(misfit))]


async def decided(spec: CommandSpec, callback: Callback, rules: Told) -> tuple[int, bytes, list[Envelope]]:
    """Return answer and events of one question, as the ingress makes them."""
    shelf = Shelf()
    state = IngressState(journal=cast("Journal", shelf))
    path = BeforePath(CATALOG, rules, state, Tally(), logger("fuzz"), fallback="allow")
    reply = path.answer(PROVIDERS[spec.provider], spec, callback)
    assert state.decision_events_dropped == 0
    return reply.status, reply.body, [record.envelope() for record in shelf.records]


def check_kept(spec: CommandSpec, callback: Callback, sent: bytes, events: list[Envelope]) -> None:
    """Hold what events keep of the body against what was sent, secrets aside; a batch is kept by parts."""
    origins = [orjson.loads(event.structured())["data"]["origin"] for event in events]
    if callback.json is UNPARSED:
        (origin,) = origins
        assert b64decode(origin["body_base64"]) == sent or "body.secret" in origin["redacted"]
        return
    whole = orjson.loads(sent)
    if callback.redacted:
        del whole["secret"]
    assert together(spec, origins) == whole


def together(spec: CommandSpec, origins: list[dict[str, Any]]) -> Any:
    """Return the body that the origins of one callback's events hold."""
    first, *others = [origin["body"] for origin in origins]
    if spec.row.batch is None or not others:
        assert not others
        return first
    path = spec.row.batch.path
    assert [origin["part"] for origin in origins] == [
        {"number": number, "of": len(origins)} for number in range(1, len(origins) + 1)
    ]
    assert all({**other, path: []} == {**first, path: []} for other in others)
    return {**first, path: [part for body in (first, *others) for part in body[path]]}


@LONG
@pytest.mark.parametrize("spec", [spec for spec in ROWS if spec.phase == "after"], ids=lambda spec: spec.name)
@FUZZ
@given(data=st.data())
def test_whatever_an_after_callback_holds_is_kept(spec: CommandSpec, data: st.DataObject) -> None:
    sent = data.draw(bodies(spec))
    callback = received(spec, sent)
    events = told(spec, callback)
    check_kept(spec, callback, sent, events)
    for event in events:
        record = record_of(spec.topic, event, callback.received_ms)
        assert record.envelope() == event
    ack = PROVIDERS[spec.provider].ack()
    assert not isinstance(READS[spec.provider](spec.name, sent, ack.status, ack.body), Fault)


EFFECTS: list[Callable[[Question], Effect]] = [
    lambda _: ALLOW,
    lambda _: DENY,
    lambda _: DROP,
    lambda question: Effect("refuse_members", question.members[:1]),
    lambda question: Effect("refuse_members", question.members),
]


@LONG
@pytest.mark.parametrize(
    "spec", [spec for spec in ROWS if spec.phase == "before"], ids=lambda spec: spec.name
)
@FUZZ
@given(data=st.data())
def test_whatever_a_before_callback_holds_is_answered_and_kept(
    spec: CommandSpec, data: st.DataObject
) -> None:
    sent = data.draw(bodies(spec))
    callback = received(spec, sent)
    rules = Told(data.draw(st.sampled_from(EFFECTS)))
    status, answer, events = asyncio.run(decided(spec, callback, rules))
    reading = READS[spec.provider](spec.name, sent if callback.json is not UNPARSED else b"", status, answer)
    assert not isinstance(reading, Fault), (reading.why, answer)
    check_kept(spec, callback, sent, events)
