"""Bodies nobody expects, over a real socket: always a legal answer, never a lost byte."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.callback import UNPARSED
from schemas.catalog import CommandSpec
from schemas.normalize.lossless import read_json
from tests.ingress_bed import CATALOG, Bed, Wire, request, running
from tests.verdicts import verdict

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def bodies_like(spec: CommandSpec) -> st.SearchStrategy[bytes]:
    """Return bodies that resemble the example: fields missing, null, of other types, extra, cut, mangled."""
    fields = {name: st.just(value) | JSON for name, value in spec.row.example.items()}
    whole = st.fixed_dictionaries({}, optional=fields).map(_written)
    cut = st.tuples(whole, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
    deep = st.integers(0, 3000).map(lambda depth: b'{"groupID":%b%b}' % (b"[" * depth, b"]" * depth))
    return whole | cut | deep | st.binary(max_size=80)


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


SPECS = list(CATALOG)
CASES = st.sampled_from(SPECS).flatmap(lambda spec: st.tuples(st.just(spec), bodies_like(spec)))


@pytest.fixture
def line() -> Iterator[tuple[asyncio.Runner, Bed, Wire]]:
    """One connection to one ingress, for all bodies."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def open_line() -> tuple[Bed, Wire]:
            bed = await stack.enter_async_context(running(body_bytes=64_000))
            return bed, await stack.enter_async_context(bed.wire())

        yield runner, *runner.run(open_line())
        runner.run(stack.aclose())


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=CASES)
@example(case=(SPECS[0], b'{"groupID":"g","userID":"' + b"u" * 60_000 + b'"}'))
@example(case=(SPECS[0], b'{"groupID":"g","userID":"\\ud800"}'))
@example(case=(SPECS[2], b"\xff\xfe\x00"))
@example(case=(SPECS[-1], b""))
def test_whatever_the_body_the_answer_is_legal_and_the_bytes_are_kept(
    line: tuple[asyncio.Runner, Bed, Wire], case: tuple[CommandSpec, bytes]
) -> None:
    runner, bed, wire = line
    spec, body = case
    bed.journal.records.clear()

    async def exchange() -> tuple[int, bytes]:
        target = f"/?SdkAppid=1&CallbackCommand={spec.name}"
        wire.send(request(target if spec.provider == "tencent" else f"/openim/{spec.name}", body))
        answer = await wire.answer()
        return answer.status, answer.body

    status, said = runner.run(exchange())
    assert status == 200
    if spec.phase == "before":
        verdict(spec.provider, said, spec.name)
    else:
        assert verdict(spec.provider, said) == "allow"
    assert _kept(bed) == (body if read_json(body) is UNPARSED else orjson.loads(body))


def _kept(bed: Bed) -> Any:
    """Return the body that what is in the journal keeps; a batch put together again."""
    origins = [event["data"]["origin"] for event in bed.journal.events()]
    if "body_base64" in origins[0]:
        return b64decode(origins[0]["body_base64"])
    whole = origins[0]["body"]
    if "part" in origins[0]:
        return {**whole, "Events": [event for origin in origins for event in origin["body"]["Events"]]}
    assert len(origins) == 1
    return whole
