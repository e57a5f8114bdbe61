"""What came in, kept beside what was made of it: ``origin`` in every event's data."""

from base64 import b64encode
from typing import Any, NamedTuple

from schemas.callback import UNPARSED, Callback


class Part(NamedTuple):
    """One event of a batch, the ``number``-th (from 1) of so many; ``body`` holds it as if it came alone."""

    number: int
    of: int
    body: dict[str, Any]


def origin_of(callback: Callback, part: Part | None = None) -> dict[str, Any]:
    """Return provider, app id, command and query as sent, and the body.

    ``body`` is the JSON value when the bytes parse without loss, else ``body_base64`` holds them. What was
    taken out because it is a secret is named in ``redacted``. Of a batch it is one ``part``: its body holds
    that one alone, as if it had come alone.
    """
    origin: dict[str, Any] = {
        "provider": callback.provider,
        "app_id": callback.app,
        "command": callback.command,
        "query": callback.query,
    }
    if callback.operation_id is not None:
        origin["operation_id"] = callback.operation_id
    if part is not None:
        origin["body"], origin["part"] = part.body, {"number": part.number, "of": part.of}
    elif callback.json is UNPARSED:
        origin["body_base64"] = b64encode(callback.body).decode()
    else:
        origin["body"] = callback.json
    if callback.redacted:
        origin["redacted"] = list(callback.redacted)
    return origin
