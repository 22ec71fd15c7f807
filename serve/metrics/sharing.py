"""One Router's numbers shared with the others through the state database, and everybody's numbers for whoever asks.

The event loop takes the snapshot, a thread writes it. Without the database the own numbers are shown, with the
others' as they were last seen, so that no counter goes back.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from serve import state
from serve.errors import ConfigError
from serve.metrics.catalogue import MERGED, ROUTERS
from serve.metrics.sheet import Series, Sheet, merged

if TYPE_CHECKING:
    from serve.metrics.store import Snapshot, SnapshotStore

log = logging.getLogger("pointsman.metrics")

FRESH_MS = 30_000
"""A Router that has written nothing for so long is not counted as alive."""
HEARTBEAT_S = 10.0
LONGEST_S = 5.0
"""A scrape waits so long for the database."""


class Sharing:
    """The numbers of all Routers, as one of them sees them. `take`: the own numbers now; for the event loop."""

    def __init__(self, url: str | None, take: Callable[[], Sheet], every_s: float) -> None:
        self._url, self._take, self._every_s = url, take, every_s
        self._replica = uuid.uuid4().hex
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._store: SnapshotStore | None = None
        self._pending = 0
        self._fault: str | None = None
        self._last: Sheet | None = None
        self._last_at = 0.0
        self._gone = Sheet()  # own numbers that count among the ended ones
        self._others: Mapping[str, Snapshot] = {}

    async def keep_sharing(self) -> None:
        """Write a snapshot again and again: when a number has changed, and now and then to show that we live."""
        while True:
            sheet = self._take()
            if sheet != self._last or time.monotonic() - self._last_at > HEARTBEAT_S:
                await self._exchange(sheet)
            await asyncio.sleep(self._every_s)

    async def everybody(self) -> Sheet:
        """The numbers of all Routers, those that have ended included."""
        sheet = self._take()
        up = await self._exchange(sheet)
        alive = [s for s in self._others.values() if up and _now() - s.at < FRESH_MS]
        ended = [s.sheet.counted for s in self._others.values() if s not in alive]
        about: dict[Series, float] = {(MERGED.name, ()): float(up), (ROUTERS.name, ()): 1.0 + len(alive)}
        own = sheet.less(self._gone)
        return merged([own, *(s.sheet for s in alive), *ended, Sheet(gauges=about)])

    async def close(self) -> None:
        """Write the last snapshot, and close the database."""
        await self._exchange(self._take())
        await asyncio.to_thread(self._threads.shutdown)
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _exchange(self, sheet: Sheet) -> bool:
        """Write ours and read theirs. False: the database is away."""
        if self._pending > 1:  # it hangs: one that waits is enough
            return False
        self._pending += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._write, sheet)
        work.add_done_callback(self._done)
        try:
            async with asyncio.timeout(LONGEST_S):
                return await asyncio.shield(work)
        except TimeoutError:
            self._went_down(f"no answer within {LONGEST_S:g} s")
            return False

    def _done(self, work: "asyncio.Future[bool]") -> None:
        self._pending -= 1
        if not work.cancelled():
            work.exception()

    def _write(self, sheet: Sheet) -> bool:
        """In the thread."""
        try:
            if self._store is None:
                from serve.metrics.store import SnapshotStore  # SQLAlchemy is slow to import

                self._store = SnapshotStore(state.open_database(self._url, durable=False))
            found = self._written(self._store, sheet)
        except (SQLAlchemyError, ConfigError, OSError) as error:
            self._went_down(type(error).__name__)
            return False
        if self._fault is not None:
            log.warning("metrics are shared again")
        self._fault = None
        self._others = {name: seen for name, seen in found.items() if name != self._replica}
        return True

    def _written(self, store: "SnapshotStore", sheet: Sheet) -> "Mapping[str, Snapshot]":
        new = self._last is None
        found = store.write(self._replica, sheet.less(self._gone), _now(), new=new)
        if found is None:
            assert self._last is not None
            self._gone, self._replica = self._last.counted, uuid.uuid4().hex
            found = store.write(self._replica, sheet.less(self._gone), _now(), new=True)
            assert found is not None
        self._last, self._last_at = sheet, time.monotonic()
        return found

    def _went_down(self, fault: str) -> None:
        if fault != self._fault:
            log.warning("metrics of other Routers cannot be read: %s", fault)
        self._fault = fault


def _now() -> int:
    return int(time.time() * 1000)
