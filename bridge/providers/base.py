"""The Provider protocol: one vendor's wire, from a raw request to an authentic callback and back to bytes.

A request changes type as it gains trust: RawRequest, AuthenticRequest, Callback.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from schemas.callback import Callback
from schemas.catalog_rows import Answers
from schemas.decisions import Decision


class RawRequest(NamedTuple):
    """One POST as it came; nothing about it is believed yet.

    ``segments`` is the path below the provider's base path, decoded and without empty segments; ``bare``
    says that it came outside the base path. ``headers`` compares names without regard to letter case.
    """

    segments: tuple[str, ...]
    bare: bool
    query: dict[str, str]
    headers: Mapping[str, str]


class AuthenticRequest(NamedTuple):
    """One request that passed the door. ``command`` is the one in the URL, None where it names none.

    ``query`` holds no secrets; those taken out of query or path are named in ``redacted``. ``signed`` is what
    a repeat of the same request has in common with it, empty where no signature was checked.
    """

    provider: str
    app: str
    command: str | None
    query: Mapping[str, str]
    operation_id: str | None
    redacted: tuple[str, ...] = ()
    signed: str = ""


class Reply(NamedTuple):
    """One answer: HTTP status and a JSON object in the provider's dialect."""

    status: int
    body: bytes


class Provider(Protocol):
    """One vendor's wire. Everything here is pure but for the clock, does no I/O, and answers at once.

    ``varying`` names the headers it reads of which each request has another value.
    """

    name: str
    base: tuple[str, ...]
    varying: tuple[str, ...]

    def claims(self, segments: tuple[str, ...], query: Mapping[str, str]) -> bool:
        """Return whether a request outside every base path is of this provider's form."""

    def authenticate(self, request: RawRequest) -> AuthenticRequest:
        """Return the request as one that passed the door. Raises Unauthenticated, UnknownPath."""

    def parse(self, request: AuthenticRequest, body: bytes, moment: int) -> Callback:
        """Return the callback. Never raises: a body that cannot be read is kept as it is."""

    def command_in(self, body: Any) -> str | None:
        """Return the command that a parsed body names itself, None where it names none."""

    def ack(self) -> Reply:
        """Return the answer that takes responsibility for an after-callback; a plain allow as well."""

    def failure(self, status: int, why: str) -> Reply:
        """Return the answer that takes no responsibility, harmless should the callback be a question."""

    def reply(self, answers: Answers, decision: Decision, body: Any) -> Reply:
        """Return a decision in the provider's words. ``body`` is what was asked, for fields to echo."""


def code_of(answers: Answers, decision: Decision) -> int:
    """Return the refusal's code: the decision's where it lies in the command's range, else its default."""
    low, high = answers.codes
    code = decision.reason_code
    return code if code is not None and low <= code <= high else answers.deny_code


def named_in(body: Any, key: str) -> str | None:
    """Return the text at ``key`` of a parsed body, None where there is none."""
    value = body.get(key) if isinstance(body, dict) else None
    return value if isinstance(value, str) and value else None


def failure_for_both(status: int, why: str) -> Reply:
    """Return an answer legal in both dialects, for a request that names no provider."""
    body = {
        "ActionStatus": "FAIL",
        "ErrorCode": 1,
        "ErrorInfo": why,
        "actionCode": 1,
        "errCode": 20001,
        "errMsg": why,
        "errDlt": "",
        "nextCode": 0,
    }
    return Reply(status, orjson.dumps(body))
