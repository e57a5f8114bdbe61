"""The operators' port: what it answers cannot become a page in a browser."""

import aiohttp

from bridge.ops.server import OpsServer, Part

HOSTILE = "<script>alert(1)</script>"


async def test_what_the_operators_port_tells_is_no_html_for_any_browser() -> None:
    ops = OpsServer(lambda: {HOSTILE: Part(False, HOSTILE, gates=True)})
    host, port = await ops.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            for path, kind in (
                ("/livez", "application/json"),
                ("/readyz", "application/json"),
                ("/metrics", "text/plain"),
                (f"/{HOSTILE}", "text/plain"),
            ):
                async with session.get(path) as response:
                    assert response.content_type == kind
                    assert response.headers["X-Content-Type-Options"] == "nosniff"
    finally:
        await ops.stop()
