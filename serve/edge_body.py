"""Read a request's headers and body within limits of size, time and kind, before anything is parsed."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from serve.config import ServerConfig
from serve.errors import BodyTimeout, BodyTooLarge, HeadersTooLarge, InvalidRequest, UnsupportedMedia

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024


def check_headers(request: Request) -> None:
    """Raise HeadersTooLarge. uvicorn has no such limit, and Serve's own proxy none either."""
    headers = request.headers.raw
    if len(headers) > MAX_HEADERS:
        raise HeadersTooLarge(f"A request may have at most {MAX_HEADERS} headers")
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise HeadersTooLarge(
            f"The headers of a request may have at most {MAX_HEADER_BYTES:,} bytes together"
        )


async def read(request: Request, limits: ServerConfig) -> bytes:
    """The body. Raises UnsupportedMedia, BodyTooLarge, BodyTimeout or InvalidRequest."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A web page may post text/plain to a loopback address without asking; JSON it may not.
    if kind != "application/json":
        raise UnsupportedMedia("Send the header content-type: application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Compressed bodies are not accepted: leave out content-encoding")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.max_body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            return await _bounded(request, limits)
    except TimeoutError:
        raise BodyTimeout(f"The body did not arrive within {limits.body_timeout_s:g} s") from None
    except ClientDisconnect:
        raise InvalidRequest("The client left before the body was complete") from None


async def _bounded(request: Request, limits: ServerConfig) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limits.max_body_bytes:
            raise _too_large(limits)
    return bytes(body)


def _too_large(limits: ServerConfig) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limits.max_body_bytes:,} bytes")
