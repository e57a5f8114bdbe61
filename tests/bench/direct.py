"""The usual way: aiohttp and aiokafka, each callback answered once the broker has taken it, acks=all.

Written as most teams would, on uvloop though many are not: the standard library's JSON, the producer's
defaults, the body passed on as it came.
"""

import json
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

TOPIC = "bench.direct"
PRODUCER = web.AppKey("PRODUCER", AIOKafkaProducer)


async def callback(request: web.Request) -> web.Response:
    """Publish the callback and answer OK."""
    body = await request.json()
    producer = request.app[PRODUCER]
    await producer.send_and_wait(TOPIC, json.dumps(body).encode(), key=body["GroupId"].encode())
    return web.json_response({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""})


def application(bootstrap_servers: str) -> web.Application:
    """Return the application; its producer lives as long as it does."""

    async def producing(app: web.Application) -> AsyncIterator[None]:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
            app[PRODUCER] = producer
            yield

    app = web.Application()
    app.router.add_post("/tencent", callback)
    app.cleanup_ctx.append(producing)
    return app


async def make_topic(bootstrap_servers: str, partitions: int = 12) -> None:
    """Make the topic, with as many partitions as the bridge's own has, unless it is there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=partitions, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        await admin.close()


if __name__ == "__main__":
    web.run_app(
        application(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
