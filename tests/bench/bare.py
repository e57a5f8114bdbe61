"""The yardstick: aiohttp with uvloop, a handler that parses the body and answers a constant.

``python -m tests.bench.bare PORT [ANSWER]``
"""

import sys

import orjson
import uvloop
from aiohttp import web

ANSWER = '{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}'


def application(answer: str = ANSWER) -> web.Application:
    """Return the application with its one route, which answers the same to any JSON."""
    body = answer.encode()

    async def callback(request: web.Request) -> web.Response:
        orjson.loads(await request.read())
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/tencent", callback)
    return app


if __name__ == "__main__":
    web.run_app(
        application(*sys.argv[2:]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
