"""Which lane a session is on, as one router process learns and tells it: asked before a decision, told after an answer.

Keeps the event loop free of the database, and no request waits long for it: without it the rules place the request.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from serve.attempts import Answer
from serve.ledger.terms import Payer
from serve.sessions import name as names
from serve.sessions.config import SessionsConfig
from serve.sessions.heard import Heard
from serve.sessions.name import Name
from serve.signals.readings import SessionReading
from serve.wire.openai_chat import ChatRequest

if TYPE_CHECKING:
    from serve.router import Decided
    from serve.sessions.store import Placed, SessionStore

log = logging.getLogger("pointsman.sessions")

SWEEP_S = 60.0
RETRY_S = 5.0
"""How long a database that failed is left alone."""
MOST_WAITING = 1000

T = TypeVar("T")


class SessionDesk:
    """The sessions of one router process. `url`: of the state database; it is opened when it is first needed."""

    def __init__(self, url: str | None, clock: Callable[[], float] = time.time) -> None:
        self._url, self._clock = url, clock
        self._store: SessionStore | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._waiting = 0
        self._sweep_at = 0.0
        self._retry_at = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None, None]:
        """Open the database in the background; close it with the block."""
        self._submit(lambda store, now: None)
        try:
            yield
        finally:
            await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
            if self._store is not None:
                await asyncio.to_thread(self._store.close)

    async def find(
        self, settings: SessionsConfig, payer: Payer, request: ChatRequest
    ) -> SessionReading | None:
        """Who answered last in the request's session; None too where that cannot be learnt in time."""
        name = names.of(payer, request) if settings.enabled else None
        if name is None:
            return None

        def found(store: "SessionStore", now: int) -> "Placed | None":
            return store.find(name.id, now - settings.keep_s)

        placed = await self._within(settings.wait_s, found)
        return None if placed is None else SessionReading(placed.lane, placed.rule, name.known_by)

    async def keep(self, decided: "Decided", answer: Answer) -> Answer:
        """The answer, once it is known who gives it. What a client asked for by name moves no session."""
        try:
            return await self._kept(decided, answer)
        except BaseException:  # the client left: nobody else would close its stream
            if answer.chunks is not None:
                await answer.chunks.aclose()
            raise

    async def _kept(self, decided: "Decided", answer: Answer) -> Answer:
        settings, rule = decided.edition.config.sessions, decided.decision.rule
        payer, request = decided.bill.payer, decided.request
        if not settings.enabled or rule is None:
            return answer

        async def put(name: Name | None) -> None:
            if name is not None:
                await self._put(name, answer.lane, rule, settings)

        if (name := names.of(payer, request)) is not None:
            await put(name)
        elif answer.whole is not None:
            calls = answer.whole.choices[0].message.tool_calls or ()
            await put(names.loop(payer, request, (call.id for call in calls)))
        elif answer.chunks is not None and request.tools:

            async def begun(ids: Iterable[str]) -> None:
                await put(names.loop(payer, request, ids))

            return replace(answer, chunks=Heard(answer.chunks, begun))
        return answer

    async def _put(self, name: Name, lane: str, rule: str, settings: SessionsConfig) -> None:
        def put(store: "SessionStore", now: int) -> None:
            from serve.sessions.store import Placed

            store.put(Placed(name.id, lane, rule, now))
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + SWEEP_S
                store.sweep(now - settings.keep_s, settings.max_kept)

        await self._within(settings.wait_s, put)

    async def _within(self, wait_s: float, work: "Callable[[SessionStore, int], T]") -> T | None:
        """The result, or None when it is not there in time. What was begun goes on: a later read comes after it."""
        future = self._submit(work)
        if future is None:
            return None
        done, _ = await asyncio.wait({future}, timeout=wait_s)
        return future.result() if done else None

    def _submit(self, work: "Callable[[SessionStore, int], T]") -> "asyncio.Future[T | None] | None":
        if self._waiting >= MOST_WAITING or time.monotonic() < self._retry_at:
            return None
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._worked, work)
        future.add_done_callback(self._over)
        return future

    def _over(self, future: object) -> None:
        self._waiting -= 1

    def _worked(self, work: "Callable[[SessionStore, int], T]") -> T | None:
        """In the thread: do it, or find out that the database cannot be used."""
        try:
            self._store = self._store or self._opened()
            return work(self._store, int(self._clock()))
        except Exception as error:  # whatever it is: a session is a convenience, and the rules still decide
            self._retry_at = time.monotonic() + RETRY_S
            log.error("sessions cannot be kept: %s", type(error.__cause__ or error).__name__)
            return None

    def _opened(self) -> "SessionStore":
        # SQLAlchemy is slow to import: in this thread.
        from serve import state
        from serve.sessions.store import SessionStore

        engine = state.open_database(self._url, durable=False)
        try:
            return SessionStore(engine)
        except Exception:
            engine.dispose()
            raise
