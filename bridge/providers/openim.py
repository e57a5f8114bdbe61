"""OpenIM: the command in the path, seldom anything signed, answers with actionCode, errCode and nextCode.

What the server's code does, which its documents contradict in places: it reads no HTTP status, takes any body
that is not one JSON object for a failure of the question, and refuses on actionCode 0 with nextCode 1.
https://github.com/openimsdk/open-im-server/blob/7848d7c7354945fe7b40f6b990db8b6013a9037c/pkg/common/webhook/http_client.go
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final

import orjson

from bridge.errors import Unauthenticated, UnknownPath
from bridge.providers.base import AuthenticRequest, RawRequest, Reply, named_in
from bridge.providers.openim_signature import NonceSignature
from bridge.providers.openim_words import answer, reply_of
from schemas.callback import UNPARSED, Callback
from schemas.catalog_rows import Answers
from schemas.decisions import Decision
from schemas.named import make
from schemas.normalize.lossless import read_json

NAME: Final = "openim"
OPERATION_HEADER: Final = "OperationID"

_FAILURE_CODE: Final = 20001
_SECRET_AND_COMMAND: Final = 2
_NOTHING: Final[tuple[str, ...]] = ()
_SERVER_SECRET: Final = "secret"  # noqa: S105 (the name of the field, not a secret)
"""Releases 3.4.2 to 3.8.0 put the server's secret into the bodies of both register commands."""

_SECRET_IN_BYTES: Final = re.compile(rb'("secret"\s*:\s*)"(?:[^"\\]|\\.)*"?')


class OpenIMProvider:
    """The wire of OpenIM, which sends no app id: ``app`` is what its events carry.

    With ``path_secrets`` (two live ones, for rotation) the first path segment below the base path must be
    one of them, and every other form of OpenIM's is refused. A ``signature`` has its headers checked too.
    """

    name = NAME

    def __init__(
        self,
        *,
        path: str = "/openim",
        app: str = "openim",
        path_secrets: Sequence[str] = (),
        signature: NonceSignature | None = None,
    ) -> None:
        self.base = tuple(segment for segment in path.split("/") if segment)
        self._app = app
        self._secrets = tuple(secret.encode() for secret in path_secrets)
        self._signature = signature
        self.varying = (OPERATION_HEADER, *(signature.headers if signature else ()))

    def claims(self, segments: tuple[str, ...], query: Mapping[str, str]) -> bool:
        """Return whether this is ``/{command}`` with what reads like one of OpenIM's, or ``/?command=``."""
        if not segments:
            return "command" in query
        name = segments[0].lower()
        return len(segments) == 1 and (name.startswith("callback") or name.endswith("command"))

    def authenticate(self, request: RawRequest) -> AuthenticRequest:
        """Check path secret and signature. Raises Unauthenticated, UnknownPath."""
        segments, redacted = request.segments, _NOTHING
        if self._secrets:
            segments, redacted = self._below_secret(request), ("path_secret",)
        if self._signature is not None:
            self._signature.check(request.headers)
        if len(segments) > 1:
            raise UnknownPath(f"OpenIM's callbacks arrive at /command, one segment: {len(segments)} came")
        command = segments[0] if segments else request.query.get("command")
        operation_id = _text(request.headers.get(OPERATION_HEADER, ""))
        return make(
            AuthenticRequest,
            (NAME, self._app, command or None, request.query, operation_id or None, redacted, ""),
        )

    def parse(self, request: AuthenticRequest, body: bytes, moment: int) -> Callback:
        """Return the callback; URL and header name command and operation, else the body does."""
        content, redacted = read_json(body), request.redacted
        command = request.command or self.command_in(content) or ""
        operation_id = request.operation_id or named_in(content, "operationID")
        if isinstance(content, dict) and _SERVER_SECRET in content:
            content = {name: value for name, value in content.items() if name != _SERVER_SECRET}
            redacted = (*redacted, f"body.{_SERVER_SECRET}")
        elif content is UNPARSED:
            body, found = _SECRET_IN_BYTES.subn(rb'\1""', body)
            redacted = (*redacted, f"body.{_SERVER_SECRET}") if found else redacted
        return make(
            Callback,
            (NAME, request.app, command, request.query, operation_id, body, content, moment, redacted),
        )

    def command_in(self, body: Any) -> str | None:
        """Return the body's ``callbackCommand``."""
        return named_in(body, "callbackCommand")

    def ack(self) -> Reply:
        """Return success: stored, or allowed."""
        return _OK

    def failure(self, status: int, why: str) -> Reply:
        """Return an answer that no release since 3.7 takes for a refusal: actionCode 1 means go on."""
        return _failure(status, why)

    def reply(self, answers: Answers, decision: Decision, body: Any) -> Reply:
        """Return the decision: actionCode 0 with nextCode 1 refuses, echoed fields keep what stands."""
        if decision.sent.kind == "allow" and not answers.echo:
            return _OK
        return reply_of(answers, decision, body)

    def _below_secret(self, request: RawRequest) -> tuple[str, ...]:
        genuine = False
        if request.segments and not request.bare:
            offered = request.segments[0].encode()
            for secret in self._secrets:
                genuine |= compare_digest(secret, offered)
        if not genuine or len(request.segments) > _SECRET_AND_COMMAND:
            raise Unauthenticated("path_secret", "the path carries no live secret: openim.path_secrets")
        return request.segments[1:]


def _text(header: str) -> str:
    """Return a header as text that can be written: bytes that are not UTF-8 are replaced."""
    return header if header.isascii() else header.encode(errors="surrogateescape").decode(errors="replace")


@lru_cache(maxsize=256)
def _failure(status: int, why: str) -> Reply:
    body = {"actionCode": 1, "errCode": _FAILURE_CODE, "errMsg": why, "errDlt": "", "nextCode": 0}
    return Reply(status, orjson.dumps(body))


_OK: Final = answer(0, "", 0, {})
