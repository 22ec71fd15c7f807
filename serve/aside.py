"""A store in the state database that one process uses beside its requests: in a thread of its own, and never for long.

For what only makes answers better: a database that fails is left alone for a while, and requests go on without it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

log = logging.getLogger("pointsman.aside")

RETRY_S = 5.0
"""How long a database that failed is left alone."""
MOST_WAITING = 1000


class Closeable(Protocol):
    """A store."""

    def close(self) -> None:
        """Close its connections."""
        ...


S = TypeVar("S", bound=Closeable)
T = TypeVar("T")


class Aside(Generic[S]):
    """`opened` makes the store, in the thread and when it is first needed. `what`: the plural of what is kept there."""

    def __init__(self, what: str, opened: Callable[[], S]) -> None:
        self._what, self._opened = what, opened
        self._store: S | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=what)
        self._waiting = 0
        self._retry_at = 0.0

    @asynccontextmanager
    async def open(self, *, at_once: bool) -> AsyncGenerator[None, None]:
        """Open the database in the background, now or when it is needed; close it with the block."""
        if at_once:
            self._submit(lambda store: None)
        try:
            yield
        finally:
            await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
            if self._store is not None:
                await asyncio.to_thread(self._store.close)

    async def within(self, wait_s: float, work: Callable[[S], T]) -> T | None:
        """The result, or None when it is not there in time. What was begun goes on: a later read comes after it."""
        future = self._submit(work)
        if future is None:
            return None
        done, _ = await asyncio.wait({future}, timeout=wait_s)
        return future.result() if done else None

    def _submit(self, work: Callable[[S], T]) -> "asyncio.Future[T | None] | None":
        if self._waiting >= MOST_WAITING or time.monotonic() < self._retry_at:
            return None
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._worked, work)
        future.add_done_callback(self._over)
        return future

    def _over(self, future: object) -> None:
        self._waiting -= 1

    def _worked(self, work: Callable[[S], T]) -> T | None:
        """In the thread: do it, or find out that the database cannot be used."""
        try:
            self._store = self._store or self._opened()
            return work(self._store)
        except Exception as error:  # whatever it is: requests go on without it
            self._retry_at = time.monotonic() + RETRY_S
            log.error("%s cannot be kept: %s", self._what, type(error.__cause__ or error).__name__)
            return None
