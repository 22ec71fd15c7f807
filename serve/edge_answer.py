"""Hand an answer to a client that may leave, or stop reading, at any moment.

Knows the client's connection. Does not know what an answer is.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from serve.closing import surely
from serve.coalesce import coalesce

log = logging.getLogger("pointsman.ingress")

T = TypeVar("T")


class ClientGone(Exception):
    """The client left before there was an answer."""


async def unless_gone(
    request: Request, work: Coroutine[Any, Any, T], drop: Callable[[T], Awaitable[None]]
) -> T:
    """The result of `work`. Raises ClientGone when the client leaves first; `work` has then ended.

    A result that nobody gets any more, because the request is cancelled, is handed to `drop`.
    The request's body must have been read: the next message is the client's departure.
    """
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        await _end(left)
        return task.result()  # nothing waits from here on: the caller has it
    except BaseException:
        await surely(_dropped(task, left, drop))
        raise


class EventStream(StreamingResponse):
    """Server-sent events that stop when the client leaves or takes nothing for `stall_s` seconds.

    However it ends, `close` has run before this returns, so what stands behind `events` is free again.
    Starlette's own way cancels over and over, which cuts closing short; here it happens once.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        close: Callable[[], Awaitable[None]],
        headers: Mapping[str, str],
        stall_s: float,
    ) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._events, self._close, self._stall_s = events, close, stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._send_all(send))
        left = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await surely(self._ended(work, left))
        if not work.cancelled():
            work.result()

    async def _ended(self, work: asyncio.Future[None], left: asyncio.Future[None]) -> None:
        await _end(work, left)
        await self._events.aclose()
        await self._close()  # a generator that was never read has closed nothing

    async def _send_all(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        try:
            await self._taken(send, head)
            async with aclosing(coalesce(self._events, flush_s=0)) as bundles:
                async for events in bundles:
                    body = b"".join(events)
                    await self._taken(send, {"type": "http.response.body", "body": body, "more_body": True})
            await self._taken(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.warning("a client took nothing of its stream for %g s: dropped", self._stall_s)

    async def _taken(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._stall_s):
            await send(message)


async def _left(receive: Receive) -> None:
    """Return once the client has left."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Exception as error:  # Serve hands on what its proxy raised; the client may still be there
        log.warning("cannot see whether a client leaves: %s", type(error).__name__)
        await asyncio.get_running_loop().create_future()


async def _dropped(
    task: asyncio.Future[T], left: asyncio.Future[None], drop: Callable[[T], Awaitable[None]]
) -> None:
    await _end(task, left)
    if not task.cancelled() and task.exception() is None:
        await drop(task.result())


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait until it has unwound."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
