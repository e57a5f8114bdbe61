"""A decision in Tencent's words: codes, refused members, verdicts per target, changed fields.

Asked without being given a verdict of each target, or without its mandatory field, Tencent counts an answer
as failed: so every answer carries them, a plain allow as well.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from bridge.providers.base import Reply, code_of
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect


def reply_of(answers: Answers, decision: Decision, body: Any) -> Reply:
    """Return the answer to the question ``body``; what the vendor has no words for is refused."""
    effect = answers.express(decision.sent)
    if answers.per_target is not None:
        return _per_target(answers, answers.per_target, decision, effect, body)
    if effect.kind == "deny":
        return answer(code_of(answers, decision), decision.reason_text, answers.constant)
    if effect.kind == "drop":
        return answer(answers.drop_code or 0, "", answers.constant)
    return answer(0, "", {**answers.constant, **_said(answers, effect)})


def answer(code: int, info: str, more: Mapping[str, Any]) -> Reply:
    """Return the mandatory three with ``more``."""
    return Reply(200, orjson.dumps({"ActionStatus": "OK", "ErrorCode": code, "ErrorInfo": info, **more}))


def _said(answers: Answers, effect: Effect) -> Mapping[str, Any]:
    """Return the fields of an answer that lets the act go ahead, wholly or in part."""
    if effect.kind == "refuse_members" and answers.refuse_some is not None:
        return {answers.refuse_some: list(effect.refused)}
    if effect.kind == "modify":
        return {answers.modify[name]: _worded(name, value) for name, value in effect.changes.items()}
    return {}


def _worded(name: str, value: Any) -> Any:
    """Return a changed field as Tencent writes it: content in elements of MsgBody, others as they are."""
    if name != "content":
        return value
    return [{"MsgType": element["vendor_kind"], "MsgContent": element["body"]} for element in value]


def _per_target(answers: Answers, path: str, decision: Decision, effect: Effect, body: Any) -> Reply:
    """Return one verdict for each target; a code of its own above them would mean that we failed."""
    code, info = code_of(answers, decision), decision.reason_text

    def verdict(target: str) -> dict[str, Any]:
        refused = effect.kind == "deny" or (effect.kind == "refuse_members" and target in effect.refused)
        return {
            "To_Account": target,
            "ResultCode": code if refused else 0,
            "ResultInfo": info if refused else "",
        }

    verdicts = [verdict(target) for target in _targets(path, body)]
    # Nobody named whom a verdict could refuse: all that can be said is that we failed.
    failed = effect.kind == "deny" and not verdicts
    return answer(code if failed else 0, info if failed else "", {"ResultItem": verdicts})


def _targets(path: str, body: Any) -> list[str]:
    """Return whom the question names, one by one: a target that cannot be read costs no other its verdict."""
    head, _, key = path.partition("[].")
    listed = body.get(head) if isinstance(body, dict) else None
    targets = [one.get(key) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [str(target) for target in targets if type(target) in (str, int) and target != ""]
