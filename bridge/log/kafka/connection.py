"""How to reach the cluster, and one log line each time it is lost or found again."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack

from aiokafka.helpers import create_ssl_context

from bridge.errors import LogError
from bridge.telemetry import logger

_log = logger("kafka")
SILENT_SECONDS: Final = 10.0
Activity = Literal["ask", "append", "fetch"]
_DRIVER_LOG: Final = logging.getLogger("aiokafka")


class Access(TypedDict, total=False):
    """How to connect and log in, as keyword arguments; ``Connection`` has the defaults.

    ``request_seconds`` bounds each exchange with a broker, connecting included, and how long a question is
    asked again while what stands in its way passes.
    """

    security_protocol: str
    sasl_mechanism: str
    sasl_username: str
    sasl_password: str
    ca_file: Path | None
    client_id: str
    request_seconds: float


_DEFAULTS: Final = Access(
    security_protocol="PLAINTEXT",
    sasl_mechanism="PLAIN",
    sasl_username="",
    sasl_password="",
    ca_file=None,
    client_id="imbridge",
    request_seconds=10.0,
)


class Connection:
    """Addresses and credentials, as every aiokafka object of one log takes them."""

    def __init__(self, bootstrap_servers: str | Sequence[str], **access: Unpack[Access]) -> None:
        given = _DEFAULTS | access
        servers = [bootstrap_servers] if isinstance(bootstrap_servers, str) else list(bootstrap_servers)
        self.name = ",".join(servers)
        self.request_seconds = given["request_seconds"]
        self._failing: set[Activity] = set()
        self._lost_at = self._found_at = 0.0
        self._options: dict[str, Any] = {
            "bootstrap_servers": servers,
            "client_id": given["client_id"],
            "request_timeout_ms": round(self.request_seconds * 1000),
            "security_protocol": given["security_protocol"],
        }
        if given["security_protocol"].startswith("SASL"):
            self._options |= {
                "sasl_mechanism": given["sasl_mechanism"],
                "sasl_plain_username": given["sasl_username"],
                "sasl_plain_password": given["sasl_password"],
            }
        if given["security_protocol"].endswith("SSL"):
            authority = given["ca_file"]
            self._options["ssl_context"] = create_ssl_context(
                cafile=None if authority is None else str(authority)
            )
        if _DRIVER_LOG.level == logging.NOTSET:
            # aiokafka writes several lines per attempt; ours are ``kafka.lost`` and ``kafka.found``.
            _DRIVER_LOG.setLevel(logging.CRITICAL)

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments every aiokafka client, producer and consumer needs."""
        return dict(self._options)

    def lost(self, reason: LogError | str, doing: Activity) -> None:
        """Say, once, that the cluster does not answer as it should."""
        self._lost_at = time.time()
        if not self._failing:
            _log.warning("kafka.lost", servers=self.name, reason=str(reason))
        self._failing.add(doing)

    def found(self, doing: Activity) -> None:
        """Say, once, that the cluster answers again: when everything that failed has succeeded since.

        A cluster that answers questions and takes no records is not found and lost by turns.
        """
        self._succeeded(doing, time.time())

    def fetched(self, answered_at: float, began_at: float) -> None:
        """Judge by when a broker last answered a fetch (seconds since the epoch): silence is a loss too."""
        if time.time() - max(answered_at, began_at, self._found_at) > SILENT_SECONDS:
            self.lost(f"no answer to fetches for {SILENT_SECONDS:.0f} s", "fetch")
        elif answered_at > self._lost_at:
            self._succeeded("fetch", answered_at)

    def _succeeded(self, doing: Activity, at: float) -> None:
        self._found_at = max(self._found_at, at)
        if self._failing:
            self._failing.discard(doing)
            if not self._failing:
                _log.info("kafka.found", servers=self.name)
