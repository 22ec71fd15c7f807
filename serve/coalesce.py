"""Bundle the chunks of a stream: a hop between processes costs about 0.4 CPU-ms per item, a write to a client less.

Knows time and order, nothing of what it carries.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sized
from contextlib import suppress
from typing import Generic, TypeVar

from serve.closing import surely

T = TypeVar("T", bound=Sized)

FLUSH_S = 0.025
MOST = 20
MOST_SIZE = 8_192
"""Of the items that wait together, in characters or bytes, but for the last: what a reader that stalls costs."""
AT_ONCE = 2
"""Bundles that wait for nothing: the first often holds no more than a role, the next one the first words."""


async def coalesce(
    source: AsyncIterator[T], flush_s: float = FLUSH_S, most: int = MOST
) -> AsyncGenerator[list[T], None]:
    """The items of `source`, in order, at most `most` in a bundle: each as soon as it is there, with what came with it.

    From the third on a bundle follows the one before it by at least `flush_s`, unless it is full: a slow source is
    never held up, a fast one is bundled. No more than a bundle is read ahead of a slow reader; large items fill it.
    Closing it closes `source`, even if whoever waits for that is cancelled: a source left open keeps its connection.
    An error of `source` is raised after what came before it.
    """
    inbox: _Inbox[T] = _Inbox(most)
    filling = asyncio.ensure_future(inbox.fill(source))
    clock = asyncio.get_running_loop().time
    sent, last = 0, 0.0
    try:
        while await inbox.anything():
            if sent >= AT_ONCE:
                await inbox.full(last + flush_s - clock())
            sent, last = sent + 1, clock()
            yield inbox.taken()
        await filling
    finally:
        await surely(_close(source, filling))


class _Inbox(Generic[T]):
    """Items on their way from one task to another."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: list[T] = []
        self._size = 0
        self._over = False
        self._came, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def fill(self, source: AsyncIterator[T]) -> None:
        """Read `source` to its end; wait while as many items are here as one bundle holds."""
        try:
            async for item in source:
                self._items.append(item)
                self._size += len(item)
                self._came.set()
                if len(self._items) >= self._most or self._size >= MOST_SIZE:
                    self._full.set()
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._over = True
            self._came.set()
            self._full.set()

    async def anything(self) -> bool:
        """Whether there is an item, once that is known."""
        await self._came.wait()
        return bool(self._items)

    async def full(self, seconds: float) -> None:
        """Wait until no more items fit or come, or `seconds` are over."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._full.wait()

    def taken(self) -> list[T]:
        """All that is here; it is gone from here."""
        items, self._items, self._size = self._items, [], 0
        if not self._over:
            self._came.clear()
            self._full.clear()
        self._room.set()
        return items


async def _close(source: AsyncIterator[T], filling: asyncio.Task[None]) -> None:
    filling.cancel()
    await asyncio.wait({filling})
    if not filling.cancelled():
        filling.exception()
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
