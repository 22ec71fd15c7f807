"""Thoughts as one router process seals and knows them: before an answer's are handed on, and when they come back.

Where a seal cannot be written or read in time, a lane goes on without its thoughts; others never get them.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from serve.aside import Aside
from serve.config import Config
from serve.job import Answer, ChunkStream
from serve.thoughts import seal
from serve.wire.openai_answer import ChatChunk
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import Thought

if TYPE_CHECKING:
    from serve.router import Decided
    from serve.thoughts.store import Seal, SealStore

KEEP_S = 7 * 86_400
MOST_KEPT = 200_000
"""Seals of all keys; the oldest ones make room."""
WAIT_S = 2.0
SWEEP_S = 60.0

Own = Mapping[str, frozenset[str]]
"""By lane the blobs that it may be given again."""


class ThoughtDesk:
    """The seals of one router process. `url`: of the state database; it is opened when it is first needed."""

    def __init__(self, url: str | None, clock: Callable[[], float] = time.time) -> None:
        self._url, self._clock = url, clock
        self._aside = Aside("seals of thoughts", self._opened)
        self._sweep_at = 0.0

    def open(self) -> AbstractAsyncContextManager[None]:
        """Close the database with the block."""
        return self._aside.open(at_once=False)

    async def known(self, request: ChatRequest, key_name: str, config: Config) -> tuple[ChatRequest, Own]:
        """The request without thoughts that may go nowhere, and where the others may go."""
        found = seal.blobs(request)
        if not found or len(found) > seal.MOST_BLOBS:
            return seal.without_others(request, {}), {}
        ids = [seal.seal_id(key_name, blob) for blob in found]

        def read(store: "SealStore") -> "dict[str, Seal]":
            return store.find(ids, int(self._clock()) - KEEP_S)

        seals = await self._aside.within(WAIT_S, read) or {}
        own = seal.lanes_of(request, seals, key_name, config)
        return seal.without_others(request, own), own

    async def keep(self, decided: "Decided", answer: Answer) -> Answer:
        """The answer, its thoughts sealed before anybody sees them."""
        if decided.edition.config.lane(answer.lane).kind != "anthropic":
            return answer
        if answer.whole is not None:
            await self._seal(decided, answer.lane, answer.whole.choices[0].message.thinking_blocks or ())
        if answer.chunks is None:
            return answer

        async def seen(thoughts: Iterable[Thought]) -> None:
            await self._seal(decided, answer.lane, thoughts)

        return replace(answer, chunks=_Watched(answer.chunks, seen))

    async def _seal(self, decided: "Decided", lane: str, thoughts: Iterable[Thought]) -> None:
        closed = [one.blob for one in thoughts if one.blob]
        if not closed:
            return
        place = seal.place(decided.edition.config.lane(lane))
        level, key_name = decided.decision.permit.level.label, decided.visit.key.name

        def put(store: "SealStore") -> None:
            from serve.thoughts.store import Seal

            now = int(self._clock())
            store.put([Seal(seal.seal_id(key_name, blob), lane, place, level, now) for blob in closed])
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + SWEEP_S
                store.sweep(now - KEEP_S, MOST_KEPT)

        await self._aside.within(WAIT_S, put)

    def _opened(self) -> "SealStore":
        # SQLAlchemy is slow to import: in this thread.
        from serve import state
        from serve.thoughts.store import SealStore

        engine = state.open_database(self._url, durable=False)
        try:
            return SealStore(engine)
        except Exception:
            engine.dispose()
            raise


class _Watched:
    """A stream whose thoughts are sealed before they are handed on."""

    def __init__(self, chunks: ChunkStream, seen: Callable[[Iterable[Thought]], Awaitable[None]]) -> None:
        self._chunks, self._seen = chunks, seen

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> ChatChunk:
        item = await anext(self._chunks)
        thoughts = [one for choice in item.choices for one in choice.delta.thinking_blocks or ()]
        if thoughts:
            await self._seen(thoughts)
        return item

    async def aclose(self) -> None:
        """End the stream."""
        await self._chunks.aclose()
