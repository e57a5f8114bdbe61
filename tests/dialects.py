"""How each vendor reads an answer, written from its documents and its code, not from our replies."""

from typing import Any

import orjson

INT32 = range(-(2**31), 2**31)


def tencent_reads(body: bytes) -> str:
    """Return what Tencent makes of an answer to an invitation: allow, some, deny. Fails on illegal ones."""
    answer = _object(body)
    assert answer["ActionStatus"] in {"OK", "FAIL"}
    assert type(answer["ErrorCode"]) is int
    assert isinstance(answer["ErrorInfo"], str)
    if answer["ErrorCode"] != 0:
        assert answer["ErrorCode"] == 1 or 10100 <= answer["ErrorCode"] <= 10200
        return "deny"
    refused = answer.get("RefusedMembers_Account", [])
    assert isinstance(refused, list)
    assert all(isinstance(item, str) for item in refused)
    return "some" if refused else "allow"


def openim_reads(body: bytes) -> str:
    """Return what OpenIM since 3.7 makes of an answer: allow or deny. Fails on what it cannot parse."""
    answer = _object(body)
    for name in ("actionCode", "errCode", "nextCode"):
        assert type(answer[name]) is int
        assert answer[name] in INT32
    for name in ("errMsg", "errDlt"):
        assert isinstance(answer[name], str)
    if (answer["actionCode"], answer["nextCode"]) != (0, 1):
        return "allow"
    assert 20001 <= answer["errCode"] <= 29999, "with code 0 a refusal looks like success"
    return "deny"


def _object(body: bytes) -> dict[str, Any]:
    answer = orjson.loads(body)
    assert isinstance(answer, dict)
    return answer


READS = {"tencent": tencent_reads, "openim": openim_reads}
