"""Group commit: one thread writes what many requests hand over, and tells those that wait.

While the log cannot be written, records wait in memory, bounded, and the thread tries again; whoever must not go on
without a record is told at once.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from serve.audit.config import AuditConfig
from serve.audit.records import Draft, Gap
from serve.audit.store import Store
from serve.audit.tables import words
from serve.errors import ConfigError

log = logging.getLogger("pointsman.audit")

LINGER_S = 0.05
"""A record that nobody waits for may wait so long for company."""

RETRY_S = 0.5
MOST_AT_ONCE = 1_000
DAY_S = 86_400.0


@dataclass(slots=True)
class _Item:
    draft: Draft
    waiter: "asyncio.Future[str | None] | None" = None


class Promise:
    """A record on its way to the disk; a write that takes longer than `within_s` counts as failed."""

    def __init__(self, told: "asyncio.Future[str | None]", within_s: float) -> None:
        self._told, self._within_s = told, within_s
        self._until = told.get_loop().time() + within_s

    @property
    def known(self) -> str | None:
        """Why it is not on the disk, None where it is or nobody knows yet."""
        return self._told.result() if self._told.done() else None

    async def fault(self) -> str | None:
        """None once it is on the disk; else why it is not (it may get there later)."""
        try:
            async with asyncio.timeout_at(self._until):
                return await asyncio.shield(self._told)  # others may wait, too
        except TimeoutError:
            return f"a write takes longer than {self._within_s:g} s"


class Writer:
    """The only writer of its chain. `submit` and `write` belong to the event loop, the rest to its thread."""

    def __init__(self, url: str | None, settings: AuditConfig) -> None:
        self.lost = self.failures = 0
        self._lost_told = 0
        self._settings = settings
        self._store = Store(url)
        self._queue: deque[_Item] = deque()
        self._wake = threading.Condition()
        self._urgent = self._closing = False
        self._fault: str | None = None
        self._began: bool = False
        self._writing_since: float | None = None
        self._retained_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def began(self) -> bool:
        """Whether anything has been written yet."""
        return self._began

    @property
    def fault(self) -> str | None:
        """Why the log cannot be written now, None when it can."""
        since, limit_s = self._writing_since, self._settings.write_timeout_s
        if self._fault is None and since is not None and time.monotonic() - since > limit_s:
            return f"a write takes longer than {limit_s:g} s"
        return self._fault

    def submit(self, draft: Draft) -> None:
        """Write it soon. Never waits; what does not fit is counted as lost."""
        self._put(_Item(draft))

    def write(self, draft: Draft) -> Promise:
        """Write it now. Never waits; what is known to fail is told at once, and still written if that is possible."""
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        if (fault := self.fault) is not None:
            self.submit(draft)
            told.set_result(fault)
        elif not self._put(_Item(draft, told)):
            told.set_result("too many records wait to be written")
        return Promise(told, self._settings.write_timeout_s)

    def close(self, within_s: float = 10) -> None:
        """Write what waits, once more if that fails, and end the thread. Blocks."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(within_s)

    def _put(self, item: _Item) -> bool:
        with self._wake:
            if len(self._queue) >= self._settings.max_queued:
                self.lost += 1
                return False
            self._queue.append(item)
            if item.waiter is not None:
                self._urgent = True
            if self._urgent or len(self._queue) == 1:
                self._wake.notify()
        return True

    def _run(self) -> None:
        self._attempt([])  # the first record of the chain shows at once whether the log can be written
        while not (self._closing and (not self._queue or self._fault is not None)):
            batch = self._next()
            if batch or self._fault is not None:
                self._attempt(batch)
            if self._fault is not None:
                self._pause(RETRY_S)
            elif time.monotonic() - self._retained_at > DAY_S:
                self._retain()
        self._store.close()

    def _next(self) -> list[_Item]:
        with self._wake:
            if not self._queue and not self._closing and self._fault is None:
                self._wake.wait(60)
            if not self._urgent and not self._closing and self._fault is None:
                self._wake.wait_for(lambda: self._urgent or self._closing, LINGER_S)
            self._urgent = False
            return [self._queue.popleft() for _ in range(min(len(self._queue), MOST_AT_ONCE))]

    def _attempt(self, batch: list[_Item]) -> None:
        self._writing_since = time.monotonic()
        try:
            self._store.append([item.draft for item in batch])
        except (SQLAlchemyError, OSError, ConfigError) as error:
            self._failed(words(error), batch)
        except Exception as error:  # a record that cannot be written must not end the log for all others
            log.error("%d audit records could not be written: %s", len(batch), type(error).__name__)
            self.lost += len(batch)
            self.failures += 1
            _tell(batch, "a record cannot be written")
        else:
            self._worked(batch)
        finally:
            self._writing_since = None

    def _failed(self, fault: str, batch: list[_Item]) -> None:
        if fault != self._fault:
            log.error("the audit log cannot be written, nothing leaves the premises: %s", fault)
        self._fault = fault
        self.failures += 1
        _tell(batch, fault)
        with self._wake:
            self._queue.extendleft(_Item(item.draft) for item in reversed(batch))
            waiting = [item for item in self._queue if item.waiter is not None]
        _tell(waiting, fault)

    def _worked(self, batch: list[_Item]) -> None:
        if self._fault is not None:
            log.warning("the audit log can be written again")
        self._fault, self._began = None, True
        with self._wake:
            if (more := self.lost - self._lost_told) > 0:
                self._queue.append(_Item(Draft.of(Gap(lost=more))))
                self._lost_told = self.lost
        _tell(batch, None)

    def _retain(self) -> None:
        try:
            removed = self._store.retain(self._settings.retention_days)
        except (SQLAlchemyError, OSError, ConfigError) as error:
            log.error("old audit records could not be removed: %s", words(error))
            removed = 0
        if removed:
            log.info("%d audit records older than %d days removed", removed, self._settings.retention_days)
        else:
            self._retained_at = time.monotonic()

    def _pause(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._closing, seconds)


def _tell(batch: Sequence[_Item], fault: str | None) -> None:
    """One call into the event loop for everybody who waits."""
    waiters = [item.waiter for item in batch if item.waiter is not None]
    if not waiters:
        return
    with suppress(RuntimeError):  # the loop has ended: nobody waits any more
        waiters[0].get_loop().call_soon_threadsafe(_settle, waiters, fault)


def _settle(waiters: "list[asyncio.Future[str | None]]", fault: str | None) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(fault)
