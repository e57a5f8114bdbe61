"""How Tencent Chat reads an answer, from the page of each command.

HTTP 200 and three mandatory fields; it is ErrorCode that decides, and what each code means and which fields
may stand beside it differs from command to command. Two commands want a verdict for each target.
https://trtc.io/document/34354
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from schemas.dialects.readings import BadAnswer, Fault, Reading, people_at, question_of

_OK: Final = 200
_REFUSE: Final = 1
_DROP: Final = 2


class Command(NamedTuple):
    """What one command can be told.

    ``codes`` are the own codes of a refusal, ``drops`` says whether code 2 is known, ``replaces`` names the
    fields that replace content. ``refused`` is the field of refused people, ``people`` where the question
    names them. ``verdicts`` says that each of the people needs one. ``must`` is a mandatory text.
    """

    codes: range = range(0)
    drops: bool = False
    replaces: tuple[str, ...] = ()
    refused: str = ""
    people: str = ""
    verdicts: bool = False
    must: str = ""


_GROUP: Final = range(10100, 10201)
_USER: Final = range(120001, 130001)
_FRIEND: Final = range(38000, 39001)
_CONTENT: Final = ("MsgBody", "CloudCustomData")
_COMMON: Final = frozenset({"ActionStatus", "ErrorCode", "ErrorInfo"})
COMMANDS: Final[Mapping[str, Command]] = {
    "C2C.CallbackBeforeSendMsg": Command(_USER, drops=True, replaces=_CONTENT),
    "Group.CallbackBeforeSendMsg": Command(_GROUP, drops=True, replaces=_CONTENT),
    "Group.CallbackBeforeCreateGroup": Command(_GROUP),
    "Group.CallbackBeforeApplyJoinGroup": Command(_GROUP),
    "Group.CallbackBeforeInviteJoinGroup": Command(
        _GROUP, refused="RefusedMembers_Account", people="DestinationMembers[].Member_Account"
    ),
    "Group.CallbackBeforeCreateTopic": Command(_GROUP),
    "OfficialAccount.CallbackBeforeCreateOfficialAccount": Command(_USER),
    "OfficialAccount.CallbackBeforeAddSubscriber": Command(
        refused="RefusedSubscribers_Account", people="SubscribeAccountList[].Subscriber_Account"
    ),
    "OfficialAccount.CallbackBeforeSendMsg": Command(_USER, drops=True, replaces=_CONTENT),
    "Sns.CallbackPrevFriendAdd": Command(_FRIEND, people="FriendItem[].To_Account", verdicts=True),
    "Sns.CallbackPrevFriendResponse": Command(
        _FRIEND, people="ResponseFriendItem[].To_Account", verdicts=True
    ),
    "Chatbot.OnC2CSignalMessage": Command(must="RspData"),
}
"""The commands whose answer counts; the code in the answer to any other one is ignored."""


def read_answer(command: str, question_body: bytes, http_status: int, answer_bytes: bytes) -> Reading | Fault:
    """Return what Tencent does after this answer to the question, or why the answer is none."""
    try:
        answer = _answer_of(http_status, answer_bytes)
        told = COMMANDS.get(command)
        return Reading("allow") if told is None else _read(told, question_of(question_body), answer)
    except BadAnswer as bad:
        return Fault(str(bad))


def _answer_of(status: int, body: bytes) -> dict[str, Any]:
    if status != _OK:
        raise BadAnswer(f"HTTP status {status}: anything but 200 counts as failed")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(f"the answer is no JSON: {error}") from None
    if not isinstance(answer, dict):
        raise BadAnswer("the answer is no JSON object")
    if answer.get("ActionStatus") != "OK":
        raise BadAnswer(f"ActionStatus is {answer.get('ActionStatus')!r}: only OK is known to be understood")
    if type(answer.get("ErrorCode")) is not int:
        raise BadAnswer("ErrorCode is no integer")
    if not isinstance(answer.get("ErrorInfo"), str):
        raise BadAnswer("ErrorInfo is no text")
    return answer


def _read(told: Command, question: Mapping[str, Any], answer: Mapping[str, Any]) -> Reading:
    _check_fields(told, answer)
    people = people_at(question, told.people) if told.people else None
    code, text = answer["ErrorCode"], answer["ErrorInfo"]
    if told.verdicts:
        verdicts = _verdicts(told, answer.get("ResultItem"), people)
        return Reading("failed", code, text) if _is_own(told, code) else _judged(verdicts)
    if code == _DROP and told.drops:
        return Reading("drop", code, text)
    if code == _REFUSE or (code != 0 and _is_own(told, code)):
        return Reading("deny", code, text)
    if code != 0:
        raise BadAnswer(f"ErrorCode {code} means nothing to this command")
    return _gone_ahead(told, answer, people)


def _check_fields(told: Command, answer: Mapping[str, Any]) -> None:
    """Hold the fields beside the mandatory ones against what the command knows, and when it knows it."""
    allowing = {*told.replaces, told.refused} - {""}
    always = {told.must, "ResultItem" if told.verdicts else ""} - {""}
    for name in sorted(answer.keys() - _COMMON):
        if name not in allowing | always:
            raise BadAnswer(f"{name} means nothing to this command")
        if name in allowing and answer["ErrorCode"] != 0:
            raise BadAnswer(f"{name} counts with ErrorCode 0 only, and the code is {answer['ErrorCode']}")
    if told.must and not isinstance(answer.get(told.must), str):
        raise BadAnswer(f"{told.must} is mandatory text")


def _is_own(told: Command, code: int) -> bool:
    """Return whether the code is one of the command's own. Raises BadAnswer on one that no verdict knows."""
    if told.verdicts and code != 0 and code not in told.codes:
        raise BadAnswer(f"ErrorCode {code} lies outside {told.codes[0]}-{told.codes[-1]}")
    return code in told.codes


def _gone_ahead(told: Command, answer: Mapping[str, Any], people: tuple[str, ...] | None) -> Reading:
    """Return what an answer with code 0 lets happen."""
    if told.refused in answer:
        return _some_refused(told.refused, answer[told.refused], people)
    names = [*told.replaces, *([told.must] if answer.get(told.must) else [])]
    changes = {name: _CHANGE_CHECKS[name](answer[name]) for name in names if name in answer}
    return Reading("modify", changes=changes) if changes else Reading("allow")


def _some_refused(field: str, refused: Any, people: tuple[str, ...] | None) -> Reading:
    if not isinstance(refused, list) or not all(isinstance(one, str) and one for one in refused):
        raise BadAnswer(f"{field} is no list of accounts")
    if people is not None and not set(refused) <= set(people):
        raise BadAnswer(f"{field} names people the question does not")
    return Reading("refuse_some", refused=tuple(refused)) if refused else Reading("allow")


def _elements(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise BadAnswer("MsgBody is no list of elements")
    for element in value:
        if not isinstance(element, dict) or not isinstance(element.get("MsgType"), str):
            raise BadAnswer("an element of MsgBody has no MsgType")
        if not isinstance(element.get("MsgContent"), dict):
            raise BadAnswer("an element of MsgBody has no MsgContent")
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise BadAnswer("a replaced field is no text")
    return value


_CHANGE_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "MsgBody": _elements,
    "CloudCustomData": _text,
    "RspData": _text,
}


def _verdicts(told: Command, items: Any, people: tuple[str, ...] | None) -> list[Mapping[str, Any]]:
    """Return one verdict for each target, each of them legal."""
    if not isinstance(items, list):
        raise BadAnswer("ResultItem is mandatory, a list of verdicts")
    for item in items:
        _check_verdict(told, item)
    if people is not None and Counter(item["To_Account"] for item in items) != Counter(people):
        raise BadAnswer("ResultItem has not one verdict for each target")
    if len({(item["To_Account"], item["ResultCode"]) for item in items}) != len(
        {item["To_Account"] for item in items}
    ):
        raise BadAnswer("ResultItem has two verdicts on one target")
    return items


def _check_verdict(told: Command, item: Any) -> None:
    if not isinstance(item, dict) or item.keys() != {"To_Account", "ResultCode", "ResultInfo"}:
        raise BadAnswer("a verdict is not made of To_Account, ResultCode and ResultInfo")
    if not isinstance(item["To_Account"], str) or not isinstance(item["ResultInfo"], str):
        raise BadAnswer("To_Account or ResultInfo of a verdict is no text")
    code = item["ResultCode"]
    if type(code) is not int or not (code == 0 or code in told.codes):
        raise BadAnswer(f"ResultCode {code!r} is neither 0 nor in {told.codes[0]}-{told.codes[-1]}")


def _judged(verdicts: list[Mapping[str, Any]]) -> Reading:
    against = [verdict for verdict in verdicts if verdict["ResultCode"] != 0]
    if not against:
        return Reading("allow")
    code, text = against[0]["ResultCode"], against[0]["ResultInfo"]
    if len(against) == len(verdicts):
        return Reading("deny", code, text)
    refused = tuple(dict.fromkeys(verdict["To_Account"] for verdict in against))
    return Reading("refuse_some", code, text, refused)
