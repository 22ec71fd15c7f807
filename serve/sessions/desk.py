"""Which lane a session is on, as one router process learns and tells it: asked before a decision, told after an answer.

Keeps the event loop free of the database, and no request waits long for it: without it the rules place the request.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from serve.aside import Aside
from serve.closing import surely
from serve.job import Answer
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

SWEEP_S = 60.0


class SessionDesk:
    """The sessions of one router process. `url`: of the state database; it is opened when it is first needed."""

    def __init__(self, url: str | None, clock: Callable[[], float] = time.time) -> None:
        self._url, self._clock = url, clock
        self._aside = Aside("sessions", self._opened)
        self._sweep_at = 0.0

    def open(self) -> AbstractAsyncContextManager[None]:
        """Open the database in the background; close it with the block."""
        return self._aside.open(at_once=True)

    async def find(
        self, settings: SessionsConfig, payer: Payer, request: ChatRequest
    ) -> SessionReading | None:
        """Who answered last in the request's session; None too where that cannot be learnt in time."""
        name = names.of(payer, request) if settings.enabled else None
        if name is None:
            return None

        def found(store: "SessionStore") -> "Placed | None":
            return store.find(name.id, int(self._clock()) - settings.keep_s)

        placed = await self._aside.within(settings.wait_s, found)
        return None if placed is None else SessionReading(placed.lane, placed.rule, name.known_by)

    async def keep(self, decided: "Decided", answer: Answer) -> Answer:
        """The answer, once it is known who gives it. What a client asked for by name moves no session."""
        try:
            return await self._kept(decided, answer)
        except BaseException:  # the client left: nobody else would close its stream
            if answer.chunks is not None:
                await surely(answer.chunks.aclose())
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
        def put(store: "SessionStore") -> None:
            from serve.sessions.store import Placed

            now = int(self._clock())
            store.put(Placed(name.id, lane, rule, now))
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + SWEEP_S
                store.sweep(now - settings.keep_s, settings.max_kept)

        await self._aside.within(settings.wait_s, put)

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
