"""What a success costs, as gauges: counted from the tracked decisions, off the event loop, again and again.

Each Router counts for itself from the one database, so these numbers are shown and never shared.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from serve import state
from serve.config import Config
from serve.errors import ConfigError
from serve.metrics import catalogue as of
from serve.metrics.catalogue import Metric
from serve.metrics.sheet import Series, Sheet

if TYPE_CHECKING:
    from serve.outcomes.queries import Group

log = logging.getLogger("pointsman.metrics")

IDLE_SHARE = 20
"""A count that takes a second is not made again for twenty: a large table must not take a core."""
DIMENSIONS = ("task", "tier", "lane")


class CpstGauges:
    """The last count of one Router. `config`: the configuration in force."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="cpst")
        self._engine: Engine | None = None
        self._fault: str | None = None
        self.sheet = Sheet()

    async def keep_counting(self) -> None:
        """Count for as long as nobody cancels it; at once ended where nothing is tracked."""
        config = self._config()
        if not config.outcomes.enabled or not config.metrics.cpst_every_s:
            return
        while True:
            began = time.monotonic()
            self.sheet = await asyncio.get_running_loop().run_in_executor(self._threads, self._count)
            took = time.monotonic() - began
            await asyncio.sleep(max(config.metrics.cpst_every_s, took * IDLE_SHARE))

    async def close(self) -> None:
        """Wait for the count that is under way, and close the database."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._engine is not None:
            await asyncio.to_thread(self._engine.dispose)

    def _count(self) -> Sheet:
        """In the thread. What was last counted, while the database is away."""
        config = self._config()
        try:
            if self._engine is None:
                self._engine = state.open_database(config.state.resolve(), durable=False)
            found = Sheet(gauges=dict(_gauges(self._engine, config)))
        except (SQLAlchemyError, ConfigError, OSError) as error:
            fault = type(error).__name__
            if fault != self._fault:
                log.warning("the cost per success cannot be counted: %s", fault)
            self._fault = fault
            return self.sheet
        self._fault = None
        return found


def _gauges(engine: Engine, config: Config) -> Iterator[tuple[Series, float]]:
    from serve.outcomes import queries, report, tables

    since = int((time.time() - config.metrics.cpst_hours * 3600) * 1000)
    per_minute = config.outcomes.correction_usd_per_hour * 1e6 / 60
    names = (*DIMENSIONS, "key") if config.metrics.by_key else DIMENSIONS
    with engine.connect().execution_options(**state.READ_ONLY) as connection:
        if not inspect(connection).has_table(tables.FEEDBACK.name):
            return
        few = {name: report.DIMENSIONS[name] for name in names}
        found = queries.groups_by_each(connection, since, few, per_minute)
        if config.metrics.by_session:
            found["session"] = queries.busiest(connection, since, tables.DECISIONS.c.session, per_minute)
    for name, groups in found.items():
        for group in groups:
            yield from _told(name, group)


def _told(by: str, group: "Group") -> Iterator[tuple[Series, float]]:
    """A group without a success has no cost of one, and one with few has no interval."""
    known: tuple[tuple[Metric, float | None], ...] = (
        (of.CPST, group.cpst.usd),
        (of.CPST_LOW, group.cpst.low),
        (of.CPST_HIGH, group.cpst.high),
        (of.SUCCESSES, float(group.successes)),
        (of.DECISIONS, float(group.decisions)),
    )
    for metric, value in known:
        if value is not None:
            yield (metric.name, (by, group.name)), value
