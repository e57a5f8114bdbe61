"""What came in, kept beside what was made of it: ``origin`` in every event's data."""

from base64 import b64encode
from typing import Any, NamedTuple

from schemas.callback import UNPARSED, Callback


class Part(NamedTuple):
    """Which event of a batch: the ``number``-th, from 1, of so many."""

    number: int
    of: int


def origin_of(callback: Callback, part: Part | None = None) -> dict[str, Any]:
    """Return provider, app id, command and query as sent, and the body.

    ``body`` is the JSON value when the bytes parse without loss, else ``body_base64`` holds them. What was
    taken out because it is a secret is named in ``redacted``, and ``part`` which event of a batch it is.
    """
    provider, app, command, query, operation_id, body, content, _, redacted = callback
    origin: dict[str, Any] = {"provider": provider, "app_id": app, "command": command, "query": query}
    if operation_id is not None:
        origin["operation_id"] = operation_id
    if content is UNPARSED:
        origin["body_base64"] = b64encode(body).decode()
    else:
        origin["body"] = content
    if part is not None:
        origin["part"] = part._asdict()
    if redacted:
        origin["redacted"] = list(redacted)
    return origin
