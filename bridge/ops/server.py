"""The operators' port: /livez, /readyz with its parts named, /metrics."""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bridge.errors import ConfigurationError
from bridge.telemetry import REGISTRY


class Part(NamedTuple):
    """How one part of the process is doing.

    ``says`` is one sentence for an operator. Only a part that ``gates`` turns readiness: an outage of Kafka
    must not make an orchestrator remove every instance.
    """

    ok: bool
    says: str
    gates: bool = False
    details: Mapping[str, Any] = {}


async def own_metrics() -> bytes:
    """Return this process's metrics as Prometheus reads them."""
    return generate_latest(REGISTRY)


class OpsServer:
    """Serves health and metrics; ``parts`` and ``metrics`` are asked at every look."""

    def __init__(
        self,
        parts: Callable[[], Mapping[str, Part]],
        metrics: Callable[[], Awaitable[bytes]] = own_metrics,
    ) -> None:
        self._parts, self._metrics_now = parts, metrics
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen and return the address in effect (port 0 takes a free one). Raises ConfigurationError."""
        runner = await self._set_up()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            why = os.strerror(error.errno or 0)
            raise ConfigurationError(
                f"cannot listen for operators on {host}:{port}: {why}; set ops.host and ops.port "
                "(each process needs its own, 0 takes a free one)"
            ) from error
        address = runner.addresses[0]
        return str(address[0]), int(address[1])

    async def start_at(self, path: Path) -> None:
        """Listen on a Unix socket at ``path``, for a supervisor on this machine. Raises OSError."""
        await web.UnixSite(await self._set_up(), str(path)).start()

    async def _set_up(self) -> web.AppRunner:
        app = web.Application()
        app.on_response_prepare.append(_as_it_is)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        return self._runner

    async def stop(self) -> None:
        """Close the port; looks under way are finished within a second."""
        if self._runner:
            await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return _json({"alive": True}, 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        parts = self._parts()
        ready = all(part.ok for part in parts.values() if part.gates)
        shown = {
            name: {"ok": part.ok, "says": part.says, "gates": part.gates, **part.details}
            for name, part in parts.items()
        }
        return _json({"ready": ready, "parts": shown}, 200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics_now(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _as_it_is(_: web.Request, response: web.StreamResponse) -> None:
    """Keep browsers from reading anything else into what is JSON or text."""
    response.headers["X-Content-Type-Options"] = "nosniff"


def _json(content: Any, status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(content, default=str), status=status, content_type="application/json"
    )
