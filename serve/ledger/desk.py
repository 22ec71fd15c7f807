"""The ledger of one router process: entries go in from the event loop, one thread writes them, many at a time.

What waits while a transaction runs goes into the next one, so concurrent reservations share a commit. Knows when the
database is out of reach: then every reservation is refused, at once, and what is to be settled waits.
"""

import asyncio
import logging
import math
import queue
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from serve.errors import ConfigError
from serve.ledger.entries import (
    Account,
    Balance,
    Clock,
    Entry,
    Look,
    Record,
    Reserve,
    Settle,
    Written,
    milliseconds,
)

if TYPE_CHECKING:
    from serve.ledger.store import Store

log = logging.getLogger("pointsman.ledger")
_DOWN = "the ledger is down, lanes that cost money are not asked: %s"

AT_ONCE = 256
LINGER_S = 0.05
"""What nobody waits for may wait so long for company: it is often the next reservation."""
RETRY_S = 1.0
FRESH_S = 2.0
"""How old a balance may be before it is read again, in the background. Reservations always see the real one."""
PATIENCE_S = 5.0
"""How long a reservation is waited for; past it the lane is not asked."""
SWEEP_S = 5.0
PRUNE_S = 3600.0
LEAP_S = 3600.0
"""A clock that moved so much more or less than time did is not trusted with deleting anything."""
MOST_WAITING = 20_000
MOST_REMEMBERED = 20_000
SILENT = "the database does not answer"

State = Literal["idle", "up", "down"]


class LedgerDown(Exception):
    """The database cannot be reached or written; the message says why, without its address."""


@dataclass(slots=True)
class _Asked:
    entry: Reserve
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Account | None]"

    def tell(self, refused: Account | None, fault: str | None) -> None:
        """Answer from the ledger's thread; a loop that has ended wants no answer."""
        try:
            self.loop.call_soon_threadsafe(self._set, refused, fault)
        except RuntimeError:
            return

    def _set(self, refused: Account | None, fault: str | None) -> None:
        if self.answer.done():
            return
        if fault is None:
            self.answer.set_result(refused)
        else:
            self.answer.set_exception(LedgerDown(fault))


@dataclass(slots=True)
class _Batch:
    asked: list[_Asked] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


class Desk:
    """Takes entries. Its thread starts with the first one, or with `start`.

    keep_days  how long attempts are kept; None: for ever
    """

    def __init__(self, url: str | None, clock: Clock = time.time, keep_days: int | None = None) -> None:
        self.clock = clock
        self._url, self._keep_days = url, keep_days
        self._began = clock() - time.monotonic()
        self._store: Store | None = None
        self._inbox: queue.SimpleQueue[_Asked | Settle | Record | Look | None] = queue.SimpleQueue()
        self._owed: deque[Settle | Record] = deque()
        self._seen: dict[str, tuple[Balance, float]] = {}  # and when, on the monotonic clock
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._fault: str | None = None
        self._writing_since: float | None = None  # on the monotonic clock
        self._silence_told = False
        self._retry_at = 0.0
        self._sweep_at = 0.0
        self._prune_at = 0.0
        self._opened = False
        self._closing = False

    @property
    def state(self) -> State:
        """`idle` before the database was first opened."""
        return "down" if self.fault else "up" if self._opened else "idle"

    @property
    def fault(self) -> str | None:
        """Why it is down."""
        # A driver that waits for a server raises nothing: how long it has waited is all that is known.
        since = self._writing_since
        silent = since is not None and time.monotonic() - since > PATIENCE_S
        return self._fault or (SILENT if silent else None)

    def start(self) -> None:
        """Open the database in the background, so that the first request does not wait for it."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._closing = False
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what is waiting and end. Blocks."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join(PATIENCE_S * 2)

    async def reserve(self, entry: Reserve) -> Account | None:
        """Hold the amount; the account that has no room for it, or None: it is held. Raises LedgerDown.

        Whoever stops waiting holds nothing. While it is down nobody waits: the thread alone tries again.
        """
        if fault := self.fault:
            self._tell_of_silence()
            raise LedgerDown(fault)
        loop = asyncio.get_running_loop()
        asked = _Asked(entry, loop, loop.create_future())
        self._put(asked)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asked.answer
        except BaseException as error:
            self._put(Settle(entry.id, None))
            if isinstance(error, TimeoutError):
                raise LedgerDown(f"the database did not answer within {PATIENCE_S:g} s") from None
            raise

    def settle(self, entry: Settle) -> None:
        """Write it down soon; while the database is away it waits."""
        self._put(entry)

    def record(self, entry: Record) -> None:
        """Write it down soon. When far too much is waiting it is dropped: it reserved nothing."""
        if len(self._owed) + self._inbox.qsize() < MOST_WAITING:
            self._put(entry)

    def balances(self, accounts: Iterable[Account]) -> dict[str, Balance]:
        """What was last seen of each account, at most a moment old; nothing of what was never seen.

        Never waits: what is missing or old is read in the background.
        """
        wanted = tuple(accounts)
        now = time.monotonic()
        seen = {account.id: found for account in wanted if (found := self._seen.get(account.id))}
        if stale := tuple(a for a in wanted if a.id not in seen or now - seen[a.id][1] > FRESH_S):
            if len(self._seen) > MOST_REMEMBERED:
                self._seen = {}
            self._seen |= {a.id: (seen[a.id][0] if a.id in seen else Balance(), now) for a in stale}
            self._put(Look(stale))
        return {name: balance for name, (balance, _) in seen.items()}

    def _put(self, item: _Asked | Settle | Record | Look) -> None:
        self._inbox.put(item)
        if self._thread is None or not self._thread.is_alive():
            self.start()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _turn(self) -> bool:
        """One transaction's worth. False: it is to end."""
        batch = self._collect()
        now = time.monotonic()
        if self._fault and now < self._retry_at:
            self._refuse(batch, self._fault)
            return not self._closing
        owed = [self._owed[i] for i in range(min(len(self._owed), AT_ONCE))]
        due = now >= self._sweep_at
        if not (batch.asked or batch.looks or owed or due or self._fault or self._store is None):
            return not self._closing
        written = self._write([*_in_order(batch.asked, owed), *batch.looks], due)
        if isinstance(written, str):
            self._refuse(batch, written)
            # A commit whose answer was lost may stand: nothing was sent for it.
            self._owed.extend(Settle(asked.entry.id, None) for asked in batch.asked)
            return not self._closing
        for _ in owed:
            self._owed.popleft()
        at = time.monotonic()
        self._seen |= {name: (balance, at) for name, balance in written.balances.items()}
        for asked in batch.asked:
            asked.tell(written.refused.get(asked.entry.id), None)
        return bool(self._owed) or not self._closing

    def _collect(self) -> _Batch:
        """Wait for entries, then take all there are. What is owed keeps its order behind what reserved it."""
        batch, taken = _Batch(), 0
        busy = (self._owed and not self._fault) or self._closing or not self._opened
        until_retry = max(0.0, self._retry_at - time.monotonic()) if self._fault else RETRY_S
        wait = 0.0 if busy else until_retry
        until = math.inf
        while taken < AT_ONCE:
            try:
                item = self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait()
            except queue.Empty:
                break
            taken, until = taken + 1, min(until, time.monotonic() + LINGER_S)
            urgent = batch.asked or isinstance(item, _Asked | None) or busy
            wait = 0.0 if urgent else until - time.monotonic()
            match item:
                case None:
                    self._closing = True
                    break
                case _Asked():
                    batch.asked.append(item)
                case Look():
                    batch.looks.append(item)
                case _:
                    self._owed.append(item)
        return batch

    def _write(self, entries: list[Entry], sweep: bool) -> Written | str:
        """What came of it, or why nothing did."""
        from serve.ledger.store import (
            Store,  # SQLAlchemy is slow to import: in this thread, when it is needed
        )

        now = milliseconds(self.clock)
        self._writing_since = time.monotonic()
        try:
            if self._store is None:
                self._store = Store(self._url)
            written = self._store.write(entries, now, sweep=sweep)
            if sweep:
                self._sweep_at = time.monotonic() + SWEEP_S
            if time.monotonic() >= self._prune_at:
                self._prune_at = time.monotonic() + PRUNE_S
                if abs(self.clock() - time.monotonic() - self._began) <= LEAP_S:
                    self._store.prune(now, self._keep_days)
        except Exception as error:  # whatever it is: money that cannot be written down is not spent
            return self._went_down(error)
        finally:
            self._writing_since = None
        if self._fault or self._silence_told:
            log.warning("the ledger can be written again")
        self._fault, self._opened, self._silence_told = None, True, False
        return written

    def _went_down(self, error: Exception) -> str:
        fault = _words(error)
        if fault != self._fault:
            log.error(_DOWN, fault)
        self._retry_at = time.monotonic() + RETRY_S
        self._fault, self._opened = fault, True
        return fault

    def _tell_of_silence(self) -> None:
        """Once, and by whoever asks: the thread that waits for the database cannot tell."""
        if self._fault is None and not self._silence_told:
            self._silence_told = True
            log.error(_DOWN, SILENT)

    def _refuse(self, batch: _Batch, fault: str) -> None:
        for asked in batch.asked:
            asked.tell(None, fault)


def _in_order(asked: Iterable[_Asked], owed: Iterable[Settle | Record]) -> list[Entry]:
    """What gives room back comes before what needs it, and what settles a reservation behind it."""
    new = {one.entry.id: one.entry for one in asked}
    behind = [entry for entry in owed if isinstance(entry, Settle) and entry.id in new]
    before = [entry for entry in owed if not (isinstance(entry, Settle) and entry.id in new)]
    return [*before, *new.values(), *behind]


def _words(error: Exception) -> str:
    """The cause without its statement and its values."""
    if isinstance(error, ConfigError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    told = isinstance(cause, sqlite3.Error)  # a server's words name its address; everybody may read /readyz
    return f"{type(cause).__name__}: {cause}" if told else type(cause).__name__


def new_id() -> str:
    """The id of a reservation."""
    return uuid.uuid4().hex
