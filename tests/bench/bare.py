"""The yardstick: aiohttp with uvloop, a handler that parses the body and answers a constant."""

import sys

import orjson
import uvloop
from aiohttp import web

ANSWER = b'{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}'


async def callback(request: web.Request) -> web.Response:
    """Answer OK to any JSON."""
    orjson.loads(await request.read())
    return web.Response(body=ANSWER, content_type="application/json")


def application() -> web.Application:
    """Return the application with its one route."""
    app = web.Application()
    app.router.add_post("/tencent", callback)
    return app


if __name__ == "__main__":
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
