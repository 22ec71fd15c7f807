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

from serve.config import Config
from serve.learning.desk import Tables
from serve.learning.placed import Placed
from serve.learning.scheduled import Scheduled
from serve.learning.store import TableStore
from serve.learning.trial import Verdict
from serve.routing_table import RoutingTable

log = logging.getLogger("pointsman.learning")

Told = Callable[[RoutingTable, Placed | None, Verdict | None], None]


class Following:
    """`configured`: the table of the configuration now, None without one. `told`: for the event loop.

    What learning finds on its schedule is looked for on the way; `count` is told of each run that ended: its outcome.
    `clock`: Unix seconds.
    """

    def __init__(
        self,
        config: Config,
        configured: Callable[[], RoutingTable | None],
        told: Told,
        count: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._whole, self._url, self._config = config, config.state.resolve(), config.learning
        self._configured, self._told, self._count = configured, told, count
        self._clock, self._scheduled = clock, Scheduled(clock)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tables")
        self._store: TableStore | None = None
        self._last: Placed | None = None
        self._verdict: Verdict | None = None
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
            await asyncio.to_thread(self._scheduled.close)
            if self._store is not None:
                await asyncio.to_thread(self._store.close)

    async def _follow(self) -> None:
        while True:
            table = self._configured()
            if table is not None:
                loop = asyncio.get_running_loop()
                placed = await loop.run_in_executor(self._threads, self._look, table)
                self._told(table, placed, self._verdict)
            while self._scheduled.ended:
                self._count(self._scheduled.ended.popleft())
            await asyncio.sleep(self._config.poll_s)

    def _look(self, table: RoutingTable) -> Placed | None:
        """What is in force, after the trial that runs was judged."""
        try:
            if self._store is None:
                self._store = TableStore(self._url)
            tables = Tables(self._store, table)
            verdict = self._verdict = tables.settle(int(self._clock() * 1000))
            if verdict is not None and verdict.state != "going":
                log.warning("the trial of a routing table has ended: %s, %s", verdict.state, verdict.why)
            self._last = tables.placed()
            self._scheduled.look(self._store, self._whole, table)
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
