"""Work of concurrent callers, done in batches: one at a time, and who comes while one runs is in the next.

Nobody waits for a batch to fill. Knows neither what the work is nor who asks for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Belongs to one event loop. `run` works in a thread; it gets at most `most` items and returns as many results."""

    def __init__(self, run: Callable[[list[Item]], Sequence[Result]], most: int) -> None:
        self._run, self._most = run, most
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def each(self, items: Sequence[Item]) -> list[Result]:
        """The result of each item, in order. Raises what `run` raises.

        A batch's worth at a time, so that the items of somebody else come in between. Whoever is cancelled leaves the
        items that were not begun.
        """
        found: list[Result] = []
        for start in range(0, len(items), self._most):
            found += await asyncio.gather(*map(self._one, items[start : start + self._most]))
        return found

    def _one(self, item: Item) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return future

    async def _work(self) -> None:
        try:
            while batch := self._next():
                await self._done(batch)
        finally:
            self._working = None

    async def _done(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await asyncio.to_thread(self._run, [item for item, _ in batch])
        except Exception as error:  # whoever waits for it gets it; the next batch may be well
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._most:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch
