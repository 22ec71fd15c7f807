"""Where content is kept for a while: one store in the state database, as one router process reaches it.

Keeps the event loop free of the database, and nobody waits long for one that hangs. Knows no content.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from serve import state
from serve.aside import Closeable
from serve.errors import ConfigError, HttpError

log = logging.getLogger("pointsman.shelf")

LONGEST_S = 15.0
"""So long a database may take."""
HANGS_S = 5.0
"""What took so long and is not done, or failed, is a database that hangs: whoever comes then is told so at once."""
RETRY_S = 5.0
"""How long it is left alone."""


S = TypeVar("S", bound=Closeable)
T = TypeVar("T")


class Shelf(Generic[S]):
    """`opened` makes the store, in the thread and when it is first needed.

    what   the plural of what is kept
    url    of the state database, None for the default one
    fault  what is raised when the database fails
    clock  Unix seconds
    """

    def __init__(
        self,
        what: str,
        url: str | None,
        opened: Callable[[], S],
        fault: Callable[[], HttpError],
        clock: Callable[[], float],
    ) -> None:
        self._what, self._url, self._opened, self._fault, self._clock = what, url, opened, fault, clock
        self._store: S | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=what)
        self._began: float | None = None  # of the work that the thread is at
        self._retry_at = 0.0

    async def run(self, work: Callable[[S, int], T]) -> T:
        """Do it in the thread, with the store and the time. Raises `fault` for every failure of the database."""
        if self._hangs():
            raise self._fault()
        try:
            async with asyncio.timeout(LONGEST_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._worked, work)
        except (SQLAlchemyError, ConfigError, OSError) as error:  # TimeoutError is an OSError
            # Not its message: it has the values of the statement, which are content.
            kind = type(error.__cause__ or error).__name__
            log.error("the database of %s cannot be used: %s", self._what, kind)
            raise self._fault() from None

    async def may_hold_some(self) -> bool:
        """Whether something may be there, of an earlier process too; a database is not made only to look."""
        return self._store is not None or await asyncio.to_thread(self._is_there)

    async def keep_clean(self, every_s: float, sweep: Callable[[], Awaitable[None]]) -> None:
        """Sweep again and again, whatever becomes of it: one bad moment must not end the deletion of content."""
        while True:
            try:
                await sweep()
            except HttpError:
                pass  # `run` has logged it
            except Exception as error:
                log.error("cannot clean up %s: %s", self._what, type(error).__name__)
            await asyncio.sleep(every_s)

    async def close(self) -> None:
        """Wait for what is being written, and close the database. One that hangs is closed once it no longer does."""
        closing = asyncio.get_running_loop().run_in_executor(self._threads, self._closed)
        self._threads.shutdown(wait=False)
        done, _ = await asyncio.wait({closing}, timeout=LONGEST_S)
        if not done:
            log.error("the database of %s hangs: it is not closed", self._what)
            return
        closing.result()

    def _closed(self) -> None:
        if self._store is not None:
            self._store.close()

    def _worked(self, work: Callable[[S, int], T]) -> T:
        if self._hangs():  # found out while this waited for its turn
            raise TimeoutError
        began = self._began = time.monotonic()
        try:
            self._store = self._store or self._opened()
            return work(self._store, int(self._clock()))
        except (SQLAlchemyError, OSError):
            if time.monotonic() - began > HANGS_S:
                self._retry_at = time.monotonic() + RETRY_S
            raise
        finally:
            self._began = None

    def _hangs(self) -> bool:
        now, began = time.monotonic(), self._began
        return now < self._retry_at or (began is not None and now - began > HANGS_S)

    def _is_there(self) -> bool:
        try:
            url = make_url(self._url or state.default_url())
            return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()
        except (SQLAlchemyError, OSError):  # nobody can tell: `run` says what is wrong with it
            return True
