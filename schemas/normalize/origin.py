"""What came in, kept beside what was made of it: ``origin`` in every event's data."""

from base64 import b64encode
from typing import Any

from schemas.callback import UNPARSED, Callback


def origin_of(callback: Callback) -> dict[str, Any]:
    """Return provider, app id, command and query as sent, and the body.

    ``body`` is the JSON value when the bytes parse without loss, else ``body_base64`` holds them. What was
    taken out because it is a secret is named in ``redacted``.
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
    if callback.redacted:
        origin["redacted"] = list(callback.redacted)
    return origin
