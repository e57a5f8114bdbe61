"""One authenticated request from a provider, parsed, as the catalog takes it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

UNPARSED: Final = object()
"""The value of ``Callback.json`` when the body is not JSON that parses without loss."""


class Callback(NamedTuple):
    """One authenticated request from a provider.

    ``command`` is the provider's own name, as sent. ``query`` holds every query parameter but secrets.
    ``operation_id`` is OpenIM's header or Tencent's RequestID. ``moment`` is the hybrid time of
    acceptance: 48 bits milliseconds, 16 bits counter, never going back within a journal. ``redacted`` names
    the secrets that were taken out of query, path or body.
    """

    provider: str
    app: str
    command: str
    query: Mapping[str, str]
    operation_id: str | None
    body: bytes
    json: Any
    moment: int
    redacted: tuple[str, ...] = ()

    @property
    def received_ms(self) -> int:
        """When the bridge accepted it, in milliseconds since the epoch."""
        return self.moment >> 16
