"""The writer of outcomes: one thread writes what requests hand over, many rows at a time.

Tracking is cleverness and fails open: nobody waits for it, and while the database is away rows wait in memory,
bounded; what does not fit is counted as lost.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from serve.errors import ConfigError
from serve.outcomes.config import OutcomesConfig
from serve.outcomes.row import Entry

if TYPE_CHECKING:
    from serve.outcomes.store import Store

log = logging.getLogger("pointsman.outcomes")

LINGER_S = 0.1
"""A row may wait so long for company."""
RETRY_S = 1.0
AT_ONCE = 500
PRUNE_S = 3600.0
LEAP_S = 3600.0
"""A clock that moved so much more or less than time did is not trusted with deleting anything."""

State = Literal["idle", "up", "down"]
T = TypeVar("T")


class OutcomesDown(Exception):
    """The database cannot be reached or written; the message says why, without its address."""


@dataclass(frozen=True, slots=True)
class _Work:
    """Something that is done with the store, after everything that was handed over before."""

    run: "Callable[[Store], None]"
    fail: Callable[[str], None]


class Writer:
    """Takes entries. Its thread starts with the first one, or with `start`."""

    def __init__(
        self, url: str | None, config: OutcomesConfig, clock: Callable[[], float] = time.time
    ) -> None:
        self.lost = 0
        self.clock = clock
        self._url, self._config = url, config
        self._store: Store | None = None
        self._waiting: deque[Entry] = deque()
        self._works: deque[_Work] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._fault: str | None = None
        self._opened = self._closing = False
        self._retry_at = self._prune_at = float("-inf")
        self._began = clock() - time.monotonic()

    @property
    def state(self) -> State:
        """`idle` before the database was first opened."""
        return "down" if self._fault else "up" if self._opened else "idle"

    @property
    def fault(self) -> str | None:
        """Why it is down."""
        return self._fault

    def start(self) -> None:
        """Open the database in the background."""
        with self._wake:
            self._ensure_thread()

    def submit(self, entry: Entry) -> None:
        """Write it soon. Never waits; what does not fit is counted as lost."""
        with self._wake:
            if len(self._waiting) >= self._config.max_queued:
                self.lost += 1
                return
            self._waiting.append(entry)
            self._ensure_thread()
            if len(self._waiting) in (1, AT_ONCE):
                self._wake.notify()

    def ask(self, work: "Callable[[Store], T]") -> "Future[T]":
        """Do `work` once everything handed over before is written. The result, or OutcomesDown."""
        answer: Future[T] = Future()

        def run(store: "Store") -> None:
            if answer.set_running_or_notify_cancel():
                answer.set_result(work(store))

        def fail(fault: str) -> None:
            if not answer.done():
                answer.set_exception(OutcomesDown(fault))

        with self._wake:
            self._works.append(_Work(run, fail))
            self._ensure_thread()
            self._wake.notify()
        return answer

    def close(self, within_s: float = 10) -> None:
        """Write what waits, once more if that fails, and end the thread. Blocks."""
        with self._wake:
            self._closing = True
            self._wake.notify()
            thread = self._thread
        if thread is not None:
            thread.join(within_s)

    def _ensure_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="outcomes", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        self._write([], [])  # shows at once whether it can be written
        while not self._closing or (self._fault is None and (self._waiting or self._works)):
            self._wait()
            with self._wake:
                batch = [self._waiting[i] for i in range(min(len(self._waiting), AT_ONCE))]
                works = list(self._works) if len(batch) == len(self._waiting) or self._fault else []
                for _ in works:
                    self._works.popleft()
            if self._fault is not None and time.monotonic() < self._retry_at and not self._closing:
                _refuse(works, self._fault)
            else:
                self._write(batch, works)
        _refuse(list(self._works), "it is closing")
        if self._store is not None:
            self._store.close()
            self._store = None

    def _wait(self) -> None:
        """For something to do, then a moment for company."""
        with self._wake:
            if not self._waiting and not self._works and not self._closing:
                self._wake.wait(60)
            hurried = self._closing or self._works or len(self._waiting) >= AT_ONCE
            if self._fault is not None:
                self._wake.wait_for(lambda: bool(self._works) or self._closing, RETRY_S)
            elif self._waiting and not hurried:
                self._wake.wait_for(
                    lambda: bool(self._works) or self._closing or len(self._waiting) >= AT_ONCE, LINGER_S
                )

    def _write(self, batch: list[Entry], works: list[_Work]) -> None:
        from sqlalchemy.exc import DataError, SQLAlchemyError

        from serve.outcomes.store import Store  # SQLAlchemy is slow to import: in this thread

        try:
            if self._store is None:
                self._store = Store(self._url)
            if batch:
                self._put(self._store, batch, (DataError, OverflowError))
            while works:
                works[0].run(self._store)
                works.pop(0)
            self._prune(self._store)
        except (SQLAlchemyError, OSError, ConfigError) as error:
            self._went_down(_words(error))
            _refuse(works, str(self._fault))
            return
        if self._fault is not None:
            log.warning("outcomes can be written again")
        self._fault, self._opened = None, True

    def _put(self, store: "Store", batch: list[Entry], hopeless: tuple[type[Exception], ...]) -> None:
        try:
            store.write(batch)
        except hopeless as error:  # such a row must not hold up all that follow
            log.error("%d decisions could not be tracked: %s", len(batch), type(error).__name__)
            self.lost += len(batch)
        with self._wake:
            for _ in batch:
                self._waiting.popleft()

    def _prune(self, store: "Store") -> None:
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + PRUNE_S
        if abs(self.clock() - time.monotonic() - self._began) > LEAP_S:
            log.error("the clock has jumped: old decisions are not removed")
            return
        store.prune(int(self.clock() * 1000), self._config.retention_days)

    def _went_down(self, fault: str) -> None:
        if fault != self._fault:
            log.error("outcomes cannot be written, answers go on: %s", fault)
        self._fault, self._opened = fault, True
        self._retry_at = time.monotonic() + RETRY_S


def _refuse(works: list[_Work], fault: str) -> None:
    for work in works:
        work.fail(fault)


def _words(error: Exception) -> str:
    """The cause without its statement, its values and the server's address."""
    if isinstance(error, ConfigError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}" if isinstance(cause, sqlite3.Error) else type(cause).__name__
