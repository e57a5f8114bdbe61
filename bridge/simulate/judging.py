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
_SHOWN_BYTES: Final = 200


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

    An actionCode other than 0 is no decision, so it says that we failed. No answer to an after-callback has
    an effect, so there any other code says so too.
    """
    if isinstance(reading, Fault):
        return _illegal(answer, reading)
    said = {key.lower(): value for key, value in (orjson.loads(answer.body) or {}).items()}
    telling = ("actioncode",) if asks else ("actioncode", "errcode", "nextcode")
    return _refused(answer) if any(said.get(name) for name in telling) else _ACCEPTED


def _tencent(asks: bool, answer: Answer, reading: Reading | Fault) -> Verdict:
    """Return what Tencent makes of it: anything but 200 failed, which is ours to say where the form is right.

    A question may only be refused at the door.
    """
    if isinstance(reading, Fault):
        sayable = answer.status in _DOOR if asks else answer.status != _OK
        return _refused(answer) if sayable and _is_failure(answer.body) else _illegal(answer, reading)
    return _ACCEPTED if asks or orjson.loads(answer.body)["ErrorCode"] == 0 else _refused(answer)


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


def _refused(answer: Answer) -> Verdict:
    return Verdict("refused", _shown(answer))


def _illegal(answer: Answer, fault: Fault) -> Verdict:
    return Verdict("illegal", f"{fault.why} ({_shown(answer)})")


def _shown(answer: Answer) -> str:
    return f"HTTP {answer.status} {answer.body[:_SHOWN_BYTES].decode(errors='replace')}"
