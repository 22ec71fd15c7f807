"""The body of an upstream's answer, read within bounds: an upstream is not trusted with our memory."""

import asyncio
from collections.abc import AsyncIterator

# Far above any answer: a million tokens are some four megabytes.
MOST_BYTES = 8 << 20
MOST_VECTOR_BYTES = 64 << 20
"""The same for embeddings: 2,048 vectors of 3,072 numbers are 34 megabytes in base64."""
DRAIN_S = 0.1


class BodyTooLong(ValueError):
    """The whole answer is larger than any answer can be."""


async def whole(source: AsyncIterator[bytes], most: int = MOST_BYTES) -> str:
    """All of a body as text. Raises BodyTooLong, and UnicodeDecodeError for bad UTF-8."""
    body = bytearray()
    async for data in source:
        body += data
        if len(body) > most:
            raise BodyTooLong(f"the answer is longer than {most} bytes")
    return body.decode("utf-8-sig")


async def drain(source: AsyncIterator[bytes]) -> None:
    """Read the few bytes after the last event: HTTP/1.1 cannot use the connection again before."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in source:
                pass
    except TimeoutError:
        return
