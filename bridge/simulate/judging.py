"""What an answer amounts to, as its vendor reads it: the checker of the dialects judges, not our words."""

from typing import Any, Final, Literal, NamedTuple

import orjson

from bridge.simulate.traffic import Sending
from schemas.dialects import openim, tencent
from schemas.dialects.readings import Fault, Reading

Outcome = Literal["accepted", "refused", "illegal", "late", "failed"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("accepted", "refused", "illegal", "late", "failed")
"""What can become of one request.

accepted: a legal answer; to an after-callback one that says success, which is what acknowledged means.
refused: we said in the vendor's own form that we failed. illegal: the vendor cannot read it, or it means
nothing. late: none within the vendor's time-out. failed: no connection, or it broke.
"""

_OK: Final = 200
_DOOR: Final = frozenset({403, 404})


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    body: bytes


class Verdict(NamedTuple):
    """What became of one request; ``why`` is empty where it was accepted."""

    outcome: Outcome
    why: str = ""


_ACCEPTED: Final = Verdict("accepted")


def judge(sending: Sending, answer: Answer) -> Verdict:
    """Return what the answer amounts to."""
    spec = sending.story.spec
    read = openim.read_answer if spec.provider == "openim" else tencent.read_answer
    reading = read(spec.name, sending.body, answer.status, answer.body)
    weigh = _openim if spec.provider == "openim" else _tencent
    return weigh(sending.asks, answer, reading)


def _openim(asks: bool, answer: Answer, reading: Reading | Fault) -> Verdict:
    """Return what OpenIM makes of it, which looks at no status.

    No answer to an after-callback has an effect, so whether one says success is read off its codes. To a
    question any reading is an answer, unless the status says that we meant to fail.
    """
    if isinstance(reading, Fault):
        return Verdict("illegal", reading.why)
    if asks:
        return _ACCEPTED if answer.status == _OK else _refusal(answer)
    said = orjson.loads(answer.body) or {}
    codes = [value for key, value in said.items() if key.lower() in ("actioncode", "errcode", "nextcode")]
    return _refusal(answer) if any(codes) else _ACCEPTED


def _tencent(asks: bool, answer: Answer, reading: Reading | Fault) -> Verdict:
    """Return what Tencent makes of it: anything but 200 failed, which is ours to say where the form is right.

    A question may only be refused at the door.
    """
    if isinstance(reading, Fault):
        sayable = answer.status in _DOOR if asks else answer.status != _OK
        return _refusal(answer) if sayable and _is_failure(answer.body) else Verdict("illegal", reading.why)
    if asks or orjson.loads(answer.body)["ErrorCode"] == 0:
        return _ACCEPTED
    return _refusal(answer)


def _is_failure(body: bytes) -> bool:
    """Return whether this is FAIL with code and text, all there is to say about a failure."""
    try:
        said: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return (
        isinstance(said, dict)
        and said.get("ActionStatus") == "FAIL"
        and type(said.get("ErrorCode")) is int
        and isinstance(said.get("ErrorInfo"), str)
    )


def _refusal(answer: Answer) -> Verdict:
    return Verdict("refused", f"HTTP {answer.status}")
