"""Tencent Cloud Chat: signed query strings, answers with ActionStatus, ErrorCode and ErrorInfo.

https://trtc.io/document/34354
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

import orjson

from bridge.errors import Unauthenticated, UnknownPath
from bridge.providers.base import AuthenticRequest, RawRequest, Reply, named_in
from bridge.providers.tencent_words import answer, reply_of
from schemas.callback import Callback
from schemas.catalog_rows import Answers
from schemas.decisions import Decision
from schemas.named import make
from schemas.normalize.lossless import read_json

NAME: Final = "tencent"
_SIGN: Final = "Sign"
_DOCUMENTED: Final = frozenset(
    (
        "SdkAppid",
        "CallbackCommand",
        "contenttype",
        "ClientIP",
        "OptPlatform",
        "RequestTime",
        "RequestID",
        _SIGN,
    )
)
_SPELLED: Final = {name.lower(): name for name in _DOCUMENTED}
_APP_LENGTH: Final = 32
_TIME_LENGTH: Final = 12


class TencentProvider:
    """The wire of Tencent Chat.

    ``app_ids`` are the accepted ones, all when empty. With ``tokens`` (two live ones, for rotation) every
    request must be signed within ``freshness_seconds`` of ``now``, either way.
    """

    name = NAME

    def __init__(
        self,
        *,
        path: str = "/tencent",
        app_ids: Sequence[str] = (),
        tokens: Sequence[str] = (),
        freshness_seconds: float = 300.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.base = tuple(segment for segment in path.split("/") if segment)
        self.varying: tuple[str, ...] = ()
        self._app_ids = frozenset(app_ids)
        self._tokens = tuple(token.encode() for token in tokens)
        self._freshness_seconds = freshness_seconds
        self._now = now

    def claims(self, segments: tuple[str, ...], query: Mapping[str, str]) -> bool:
        """Return whether this is ``/`` with an app id, spelled in any letter case."""
        if segments:
            return False
        return "SdkAppid" in query or any(name.lower() == "sdkappid" for name in query)

    def authenticate(self, request: RawRequest) -> AuthenticRequest:
        """Check app id, signature and freshness. Raises Unauthenticated, UnknownPath."""
        if request.segments:
            raise UnknownPath(f"Tencent's callbacks arrive at one path, nothing below it: {request.segments}")
        query = request.query if request.query.keys() <= _DOCUMENTED else _as_documented(request.query)
        app = query.get("SdkAppid", "")
        self._check_app(app)
        signed = ""
        if self._tokens:
            request_time, sign = query.get("RequestTime", ""), query.get(_SIGN, "").lower()
            self._check_signature(request_time, sign)
            signed = f"{request_time} {sign}"
        command, operation_id = query.get("CallbackCommand"), query.get("RequestID")
        if _SIGN not in query:
            return make(
                AuthenticRequest, (NAME, app, command or None, request.query, operation_id or None, (), "")
            )
        kept = {name: value for name, value in request.query.items() if name.lower() != _SIGN.lower()}
        return AuthenticRequest(NAME, app, command or None, kept, operation_id or None, (_SIGN,), signed)

    def parse(self, request: AuthenticRequest, body: bytes, moment: int) -> Callback:
        """Return the callback; the URL names the command, else the body does."""
        content = read_json(body)
        command = request.command or self.command_in(content) or ""
        _, app, _, query, operation_id, redacted, _ = request
        return make(Callback, (NAME, app, command, query, operation_id, body, content, moment, redacted))

    def command_in(self, body: Any) -> str | None:
        """Return the body's ``CallbackCommand``; two kinds of body have none."""
        return named_in(body, "CallbackCommand")

    def ack(self) -> Reply:
        """Return success: stored, or allowed."""
        return _OK

    def failure(self, status: int, why: str) -> Reply:
        """Return FAIL; anything but 200 counts as failed, and a failed question goes ahead by default."""
        return _failure(status, why)

    def reply(self, answers: Answers, decision: Decision, body: Any) -> Reply:
        """Return the decision: it is the code that decides, ActionStatus stays OK."""
        if decision.sent.kind == "allow" and answers.per_target is None and not answers.constant:
            return _OK
        return reply_of(answers, decision, body)

    def _check_app(self, app: str) -> None:
        if not (app.isascii() and app.isalnum() and len(app) <= _APP_LENGTH):
            raise Unauthenticated("app_id", f"SdkAppid is missing or no app id: {app[:_APP_LENGTH]!r}")
        if self._app_ids and app not in self._app_ids:
            raise Unauthenticated("app_id", f"SdkAppid {app} is not accepted here: is it in tencent.app_ids?")

    def _check_signature(self, request_time: str, sign: str) -> None:
        genuine = False
        for token in self._tokens:
            expected = sha256(token + request_time.encode()).hexdigest()
            genuine |= compare_digest(expected.encode(), sign.encode())
        if not genuine:
            said = "carries another signature than" if sign else "is not signed with"
            raise Unauthenticated("signature", f"the request {said} any live token: is it in tencent.tokens?")
        if not (request_time.isdigit() and len(request_time) <= _TIME_LENGTH):
            raise Unauthenticated("freshness", f"RequestTime is no time: {request_time[:_TIME_LENGTH]!r}")
        age = self._now() - int(request_time)
        if abs(age) > self._freshness_seconds:
            raise Unauthenticated(
                "freshness", f"RequestTime lies {age:.0f} s back, {self._freshness_seconds:.0f} are allowed"
            )


def _as_documented(query: Mapping[str, str]) -> dict[str, str]:
    """Return the query with its names as the vendor documents them, the first of each in any letter case."""
    spelled: dict[str, str] = {}
    for name, value in query.items():
        spelled.setdefault(_SPELLED.get(name.lower(), name), value)
    return spelled


@lru_cache(maxsize=256)
def _failure(status: int, why: str) -> Reply:
    return Reply(status, orjson.dumps({"ActionStatus": "FAIL", "ErrorCode": 1, "ErrorInfo": why}))


_OK: Final = answer(0, "", {})
