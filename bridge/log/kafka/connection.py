"""How to reach the cluster, and one log line each time it is lost or found again."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiokafka.helpers import create_ssl_context

from bridge.errors import LogError
from bridge.telemetry import logger

_log = logger("kafka")
SILENT_SECONDS: Final = 10.0
_DRIVER_LOG: Final = logging.getLogger("aiokafka")


class Connection:
    """Addresses and credentials, as every aiokafka object of one log takes them.

    ``request_seconds`` bounds each exchange with a broker, connecting included.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        security_protocol: str = "PLAINTEXT",
        sasl_mechanism: str = "PLAIN",
        sasl_username: str = "",
        sasl_password: str = "",
        ca_file: Path | None = None,
        client_id: str = "imbridge",
        request_seconds: float = 10.0,
    ) -> None:
        servers = [bootstrap_servers] if isinstance(bootstrap_servers, str) else list(bootstrap_servers)
        self.name = ",".join(servers)
        self.request_seconds = request_seconds
        self._lost = False
        self._lost_at = self._found_at = 0.0
        self._options: dict[str, Any] = {
            "bootstrap_servers": servers,
            "client_id": client_id,
            "request_timeout_ms": round(request_seconds * 1000),
            "security_protocol": security_protocol,
        }
        if security_protocol.startswith("SASL"):
            self._options |= {
                "sasl_mechanism": sasl_mechanism,
                "sasl_plain_username": sasl_username,
                "sasl_plain_password": sasl_password,
            }
        if security_protocol.endswith("SSL"):
            self._options["ssl_context"] = create_ssl_context(
                cafile=None if ca_file is None else str(ca_file)
            )
        if _DRIVER_LOG.level == logging.NOTSET:
            # aiokafka writes several lines per attempt; ours are ``kafka.lost`` and ``kafka.found``.
            _DRIVER_LOG.setLevel(logging.CRITICAL)

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments every aiokafka client, producer and consumer needs."""
        return dict(self._options)

    def lost(self, reason: LogError | str) -> None:
        """Say, once, that the cluster does not answer as it should."""
        self._lost_at = time.time()
        if not self._lost:
            self._lost = True
            _log.warning("kafka.lost", servers=self.name, reason=str(reason))

    def found(self) -> None:
        """Say, once, that the cluster answers again."""
        self._found_at = time.time()
        if self._lost:
            self._lost = False
            _log.info("kafka.found", servers=self.name)

    def fetched(self, answered_at: float, began_at: float) -> None:
        """Judge by when a broker last answered a fetch (seconds since the epoch): silence is a loss too."""
        if answered_at > self._lost_at:
            self.found()
        elif time.time() - max(answered_at, began_at, self._found_at) > SILENT_SECONDS:
            self.lost(f"no answer to fetches for {SILENT_SECONDS:.0f} s")
