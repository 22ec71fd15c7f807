"""A Router follows the tables in force: the database is asked again and again, in a thread of its own.

Cleverness fails open: while the database is away the last known table stays and nothing is on trial, and before the
first answer the configured table decides. Whatever a table says, it only orders lanes that the policy permits.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from serve.learning.config import LearningConfig
from serve.learning.desk import Tables
from serve.learning.placed import Placed
from serve.learning.store import TableStore
from serve.routing_table import RoutingTable

log = logging.getLogger("pointsman.learning")

Told = Callable[[RoutingTable, Placed | None], None]


class Following:
    """`configured`: the table of the configuration now, None without one. `told`: for the event loop."""

    def __init__(
        self,
        url: str | None,
        config: LearningConfig,
        configured: Callable[[], RoutingTable | None],
        told: Told,
    ) -> None:
        self._url, self._config, self._configured, self._told = url, config, configured, told
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._store: TableStore | None = None
        self._last: Placed | None = None
        self._fault: str | None = None

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None, None]:
        """Follow for as long as the block lasts."""
        task = asyncio.create_task(self._follow()) if self._config.enabled else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(self._threads.shutdown)
            if self._store is not None:
                await asyncio.to_thread(self._store.close)

    async def _follow(self) -> None:
        while True:
            table = self._configured()
            if table is not None:
                loop = asyncio.get_running_loop()
                self._told(table, await loop.run_in_executor(self._threads, self._look, table))
            await asyncio.sleep(self._config.poll_s)

    def _look(self, table: RoutingTable) -> Placed | None:
        """What is in force, after the trial that runs was judged."""
        try:
            if self._store is None:
                self._store = TableStore(self._url)
            tables = Tables(self._store, table)
            verdict = tables.settle(int(time.time() * 1000))
            if verdict is not None and verdict.state != "going":
                log.warning("the trial of a routing table has ended: %s, %s", verdict.state, verdict.why)
            self._last = tables.placed()
        except Exception as error:  # a learned table must not stop what follows it
            self._went_down(type(error).__name__)
            return self._last
        self._fault = None
        return self._last

    def _went_down(self, fault: str) -> None:
        if fault != self._fault:
            log.error("routing tables cannot be followed, nothing is on trial: %s", fault)
        self._fault = fault
        if self._last is not None:
            self._last = self._last.without_canary()
