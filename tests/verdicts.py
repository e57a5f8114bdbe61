"""What a vendor makes of an answer, told by the checkers in ``schemas/dialects``; an illegal answer fails."""

from typing import Any

import orjson

from schemas.callback import UNPARSED
from schemas.dialects import openim, tencent
from schemas.dialects.openim_commands import COMMON
from schemas.dialects.readings import Fault, Reading, ReadingKind

INVITE = {
    "tencent": "Group.CallbackBeforeInviteJoinGroup",
    "openim": "callbackBeforeInviteJoinGroupCommand",
}
_READS = {"tencent": tencent.read_answer, "openim": openim.read_answer}


def verdict(provider: str, answer: bytes, command: str = "", asked: Any = UNPARSED) -> ReadingKind:
    """Return what becomes of the question: an invitation where no command is named."""
    return reading(provider, answer, command or INVITE[provider], asked).kind


def reading(provider: str, answer: bytes, command: str, asked: Any = UNPARSED) -> Reading:
    """Return what the vendor reads, with code, text and people.

    ``asked`` is the question, parsed; where it cannot be read nothing is held against it.
    """
    question = b"" if asked is UNPARSED else orjson.dumps(asked)
    read = _READS[provider](command, question, 200, answer)
    assert not isinstance(read, Fault), (read.why, answer)
    if provider == "openim":
        assert orjson.loads(answer).keys() >= COMMON.keys(), "all releases find every common field"
    return read


def check_failure(provider: str, answer: bytes) -> None:
    """Hold an answer that takes no responsibility against its shape; to OpenIM it is no refusal."""
    if provider == "openim":
        assert verdict(provider, answer) == "allow"
        return
    said = orjson.loads(answer)
    assert (said["ActionStatus"], type(said["ErrorCode"]), type(said["ErrorInfo"])) == ("FAIL", int, str)
    assert said["ErrorCode"] != 0
