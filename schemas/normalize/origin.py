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
    origin: dict[str, Any] = {
        "provider": callback.provider,
        "app_id": callback.app,
        "command": callback.command,
        "query": callback.query,
    }
    if callback.operation_id is not None:
        origin["operation_id"] = callback.operation_id
    if callback.json is UNPARSED:
        origin["body_base64"] = b64encode(callback.body).decode()
    else:
        origin["body"] = callback.json
    if part is not None:
        origin["part"] = part._asdict()
    if callback.redacted:
        origin["redacted"] = list(callback.redacted)
    return origin
