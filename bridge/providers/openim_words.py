"""A decision in OpenIM's words: a refusal, or an allow with the fields the server takes from it.

The server reads an answer strictly: one field of another type and the whole answer counts as a failure, which
refuses. Some answers crash its handler. What cannot be said safely is therefore refused in plain words.
https://github.com/openimsdk/open-im-server/blob/7848d7c7354945fe7b40f6b990db8b6013a9037c/pkg/callbackstruct/common.go
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from bridge.providers.base import Reply, code_of
from schemas.catalog_rows import Answers
from schemas.decisions import Decision

Fields = dict[str, Any]

_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
_USER_NUMBERS: Final = {"createTime": _INT64, "appMangerLevel": _INT32, "globalRecvMsgOpt": _INT32}
_USER: Final = {"userID", "nickname", "faceURL", "ex", *_USER_NUMBERS}
_NUMBERS: Final = frozenset({"needVerification", "lookMemberInfo", "applyMemberFriend"})
"""Echoed fields that are numbers; all others are text."""

_KIND_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_ROLES: Final = {"member": 20, "admin": 60, "owner": 100}
_MEMBER: Final = {
    "user_id": "userID",
    "nickname": "nickname",
    "avatar_url": "faceURL",
    "role": "roleLevel",
    "extension": "ex",
}
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "pinned": bool,
    "private": bool,
    "burn_duration": int,
    "mention_kind": int,
}
"""Fields that are no text. A flag is no number here, a number no flag."""


class Unspeakable(ValueError):
    """The decision has no form that the server would read as it is meant."""


def reply_of(answers: Answers, decision: Decision, body: Any) -> Reply:
    """Return the answer to the question ``body``; what the vendor has no words for is refused."""
    effect = answers.express(decision.sent)
    if effect.kind not in ("deny", "drop"):
        asked = body if isinstance(body, dict) else {}
        try:
            more = _echoed(answers, asked)
            if effect.kind == "refuse_members":
                more |= _kept(answers, effect.refused, asked)
            elif effect.kind == "modify":
                more |= _changed(answers, effect.changes, asked)
            return answer(0, "", 0, more)
        except Unspeakable:
            pass
    return answer(code_of(answers, decision), decision.reason_text or "refused", 1, {})


def answer(code: int, message: str, following: int, more: Mapping[str, Any]) -> Reply:
    """Return the five common fields with ``more``; actionCode 0 with ``following`` 1 refuses."""
    body = {"actionCode": 0, "errCode": code, "errMsg": message, "errDlt": "", "nextCode": following, **more}
    return Reply(200, orjson.dumps(body))


def _echoed(answers: Answers, asked: Mapping[str, Any]) -> Fields:
    """Return the fields to carry back, null as null; one of another type would spoil the answer."""
    return {name: asked[name] for name in answers.echo if name in asked and _is_echo(name, asked[name])}


def _is_echo(name: str, value: Any) -> bool:
    if name in _NUMBERS:
        return value is None or (type(value) is int and value in _INT32)
    return value is None or isinstance(value, str)


def _kept(answers: Answers, refused: tuple[str, ...], asked: Mapping[str, Any]) -> Fields:
    """Return the list with those who stay; an empty one would let everybody in."""
    name, in_objects, key = (answers.keep_some or "").partition("[].")
    said = asked.get(name)
    kept = [one for one in said or () if _who(one, key) not in refused] if isinstance(said, list) else []
    if not kept or not all(_is_user(one) if in_objects else isinstance(one, str) for one in kept):
        raise Unspeakable
    return {name: kept}


def _is_user(one: Any) -> bool:
    """Say whether the server can read a user carried back; a wrong type would spoil the whole answer."""
    return isinstance(one, dict) and all(
        type(value) is int and value in _USER_NUMBERS[name]
        if name in _USER_NUMBERS
        else isinstance(value, str)
        for name, value in one.items()
        if value is not None and name in _USER
    )


def _who(one: Any, key: str) -> Any:
    return one.get(key) if key and isinstance(one, dict) else one


def _changed(answers: Answers, changes: Mapping[str, Any], asked: Mapping[str, Any]) -> Fields:
    fields: Fields = {}
    for name, value in changes.items():
        field = answers.modify[name]
        if answers.modify_asked_only and asked.get(field) is None:
            raise Unspeakable  # the server would follow a pointer to nothing
        fields |= _worded(name, field, value)
    return fields


def _worded(name: str, field: str, value: Any) -> Fields:
    if name == "content":
        return _content(field, value)
    if name == "members":
        return {field: [_member(member) for member in value]}
    if name in ("mentioned_ids", "user_ids"):
        if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise Unspeakable
        if name == "user_ids" and not value:
            raise Unspeakable  # an empty list stands for everybody
        return {field: value}
    return {field: _plain(name, value)}


def _plain(name: str, value: Any) -> Any:
    if name == "role":
        if value not in _ROLES:
            raise Unspeakable
        return _ROLES[value]
    if type(value) is not _KINDS.get(name, str) or (type(value) is int and value not in _INT32):
        raise Unspeakable
    if name == "remark" and not value:
        raise Unspeakable  # the server keeps what the caller wrote
    return value


def _content(field: str, elements: Any) -> Fields:
    """Return the one element as text that holds a JSON object; anything else fails the sending."""
    if not (isinstance(elements, list) and len(elements) == 1 and isinstance(elements[0], dict)):
        raise Unspeakable
    body, kind = elements[0].get("body"), elements[0].get("vendor_kind")
    if not isinstance(body, dict):
        raise Unspeakable
    number = {"contentType": int(kind)} if isinstance(kind, str) and _KIND_NUMBER.fullmatch(kind) else {}
    return {field: orjson.dumps(body).decode(), **number}


def _member(member: Any) -> Fields:
    """Return one entry of the list of changed members, never without the user: that crashes the handler."""
    if not (isinstance(member, dict) and isinstance(member.get("user_id"), str) and member["user_id"]):
        raise Unspeakable
    if not member.keys() <= _MEMBER.keys():
        raise Unspeakable
    return {_MEMBER[name]: _plain(name, value) for name, value in member.items()}
