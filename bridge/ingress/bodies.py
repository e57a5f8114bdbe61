"""Reading a body that comes after its head: capped while it arrives, and within a time."""

import asyncio
from typing import Final, Protocol

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from bridge.errors import BodyTooLarge, BodyTooSlow, CallbackError

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyLimits(Protocol):
    """The limits of one body, in bytes and seconds."""

    @property
    def body_bytes(self) -> int:
        """The cap."""

    @property
    def body_seconds(self) -> float:
        """The time from the head to the end of the body."""


async def read_body(
    message: RawRequestMessage,
    content: StreamReader,
    transport: asyncio.Transport | None,
    limits: BodyLimits,
) -> bytes:
    """Return the body. Raises BodyTooLarge, BodyTooSlow, CallbackError where the caller breaks off."""
    if int(message.headers.get("Content-Length", 0)) > limits.body_bytes:
        raise too_large(limits.body_bytes)
    if transport is not None and message.headers.get("Expect", "").lower() == "100-continue":
        transport.write(_CONTINUE)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _collect(content, limits.body_bytes)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {limits.body_seconds:g} s") from None
    except CallbackError:
        raise
    except Exception as error:
        raise CallbackError(f"the body was cut off: {type(error).__name__}") from error


async def _collect(content: StreamReader, body_bytes: int) -> bytes:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > body_bytes:
            raise too_large(body_bytes)
    return bytes(body)


def too_large(body_bytes: int) -> BodyTooLarge:
    """Return the error of a body beyond the cap."""
    return BodyTooLarge(f"the body passes the cap of {body_bytes} bytes")
