"""How OpenIM since 3.7 reads an answer, from its webhook client and the handler of each callback.

It never looks at the HTTP status. The body must be one JSON object with fields of exactly its types; it is a
refusal on actionCode 0 with nextCode 1, and anything else goes ahead with the fields the handler takes.
https://github.com/openimsdk/open-im-server/blob/7848d7c7354945fe7b40f6b990db8b6013a9037c/pkg/callbackstruct/common.go
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from schemas.dialects.openim_commands import ALIASES, COMMANDS, COMMON, Command, Kind
from schemas.dialects.readings import BadAnswer, Fault, Reading, people_at, question_of

_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
_CODES: Final = range(20001, 30000)
_USER_FIELDS: Final[Mapping[str, Kind]] = {
    "userID": "text",
    "nickname": "text",
    "faceURL": "text",
    "ex": "text",
    "createTime": "int64",
    "appMangerLevel": "int32",
    "globalRecvMsgOpt": "int32",
}
_MEMBER_FIELDS: Final[Mapping[str, Kind]] = {
    "userID": "text",
    "nickname": "text",
    "faceURL": "text",
    "roleLevel": "int32",
    "muteEndTime": "int64",
    "ex": "text",
}
_PUSH_FIELDS: Final[Mapping[str, Kind]] = {
    "title": "text",
    "desc": "text",
    "ex": "text",
    "iOSPushSound": "text",
    "iOSBadgeCount": "flag",
    "signalInfo": "text",
}
_RECORDS: Final = {"users": _USER_FIELDS, "members": _MEMBER_FIELDS}
_NOTHING: Final = Command()


def read_answer(command: str, question_body: bytes, http_status: int, answer_bytes: bytes) -> Reading | Fault:
    """Return what OpenIM does after this answer to the question, or why the answer is none."""
    _ = http_status  # it never looks there
    told = COMMANDS.get(ALIASES.get(command.lower(), command), _NOTHING)
    try:
        return _read(told, question_of(question_body), _answer_of(told, answer_bytes))
    except BadAnswer as bad:
        return Fault(str(bad))


def _answer_of(told: Command, body: bytes) -> dict[str, Any]:
    """Return the fields of the answer that the handler knows, each of its type; null is kept as None."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(f"the answer is not one JSON value: {error}") from None
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise BadAnswer("the answer is no JSON object")
    kinds = {**COMMON, **told.ignored, **told.fields}
    spelled = {name.lower(): name for name in kinds}
    answer = {spelled[key.lower()]: value for key, value in said.items() if key.lower() in spelled}
    for name, value in answer.items():
        _check(name, kinds[name], value)
    return answer


def _check(name: str, kind: Kind, value: Any) -> None:
    if value is not None and not _fits(kind, value):
        raise BadAnswer(f"{name} must be {kind}, got {type(value).__name__}")


def _fits(kind: Kind, value: Any) -> bool:
    if kind in ("int32", "int64"):
        return type(value) is int and value in (_INT32 if kind == "int32" else _INT64)
    if kind in _RECORDS:
        return _are_records(value, _RECORDS[kind])
    if kind == "texts":
        return isinstance(value, list) and all(one is None or isinstance(one, str) for one in value)
    if kind == "flags":
        return isinstance(value, dict) and all(isinstance(one, bool) for one in value.values())
    if kind == "push":
        return _are_records([value], _PUSH_FIELDS)
    return isinstance(value, bool if kind == "flag" else str)


def _are_records(value: Any, kinds: Mapping[str, Kind]) -> bool:
    if not isinstance(value, list):
        return False
    return all(
        one is None
        or (
            isinstance(one, dict)
            and all(one.get(name) is None or _fits(kind, one[name]) for name, kind in kinds.items())
        )
        for one in value
    )


def _read(told: Command, question: Mapping[str, Any], answer: Mapping[str, Any]) -> Reading:
    code = answer.get("errCode") or 0
    if (answer.get("actionCode") or 0, answer.get("nextCode") or 0) == (0, 1):
        if code not in _CODES:
            raise BadAnswer(
                f"refused with errCode {code}: outside {_CODES[0]}-{_CODES[-1]}, 0 looks like success"
            )
        return Reading("deny", code, answer.get("errMsg") or "")
    _check_crashes(told, question, answer)
    if told.overwritten:
        return _modified(_overwriting(told, question, answer))
    if told.people and answer.get(_list_of(told)):
        return _listed(told, question, answer)
    return _modified({name: answer[name] for name in told.fields if _counts(told, answer.get(name))})


def _counts(told: Command, value: Any) -> bool:
    """Return whether a field changes something: null never, an empty list or text where it keeps."""
    return value is not None and not (value == [] or (told.empty_keeps and value == ""))


def _modified(changes: Mapping[str, Any]) -> Reading:
    return Reading("modify", changes=changes) if changes else Reading("allow")


def _check_crashes(told: Command, question: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Raise BadAnswer on what makes the handler follow a nil pointer, or fail the act for its argument."""
    for name in told.asked_only:
        if answer.get(name) is not None and question.get(name) is None:
            raise BadAnswer(f"{name} was null in the question: the handler follows a nil pointer")
    for name, kind in told.fields.items():
        if kind in _RECORDS and not all(
            isinstance(one, dict) and one.get("userID") for one in answer.get(name) or ()
        ):
            raise BadAnswer(f"an entry of {name} has no userID")
    if told.json_content and answer.get("content") is not None and not _is_object(answer["content"]):
        raise BadAnswer("content is not the text of a JSON object")


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False


def _overwriting(told: Command, question: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the answer changes where every field not said is blanked. Raises BadAnswer on a blank."""
    changes: dict[str, Any] = {}
    for name, kind in told.fields.items():
        asked = question.get(name) if _fits(kind, question.get(name)) else None
        if name not in told.overwritten:
            changes |= {name: answer[name]} if answer.get(name) is not None and answer[name] != asked else {}
            continue
        if asked and (name not in answer or (name == "groupID" and answer[name] != asked)):
            raise BadAnswer(f"{name} is not carried back: the handler overwrites it, and the update is lost")
        said = answer.get(name) if told.null_stays or answer.get(name) is not None else ""
        if said != (asked if told.null_stays or asked is not None else ""):
            changes[name] = said
    return changes


def _list_of(told: Command) -> str:
    return told.people.partition("[]")[0]


def _listed(told: Command, question: Mapping[str, Any], answer: Mapping[str, Any]) -> Reading:
    """Return what a list that replaces the one of the question does: it leaves some out, or changes more."""
    name = _list_of(told)
    others = {key for key in told.fields if key != name and answer.get(key) is not None}
    asked, said = people_at(question, told.people), people_at(answer, told.people)
    records = question.get(name)
    kept = isinstance(records, list) and all(one in records for one in answer[name])
    if asked is None or said is None or not kept or others:
        return _modified({key: answer[key] for key in (name, *sorted(others))})
    refused = tuple(dict.fromkeys(one for one in asked if one not in said))
    return Reading("refuse_some", refused=refused) if refused else Reading("allow")
