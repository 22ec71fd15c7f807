"""What a router process remembers of answers: looked up once a request is decided, told once it is answered.

A decision stands before every look: what may not be answered now is not answered from memory either.
"""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from serve.cache.gathered import Gathered
from serve.cache.store import CacheStore
from serve.decision import Reason
from serve.job import Answer
from serve.signals.readings import Sensitivity
from serve.trail import Trail
from serve.wire.openai_answer import ChatChunk, ChatCompletion, as_chunks

if TYPE_CHECKING:
    from serve.router import Decided

HEADER = "x-pointsman-cache"
CACHED = "cached"
WORTH_KEEPING = frozenset({"stop", "tool_calls"})


class CacheDesk:
    """The cache of one router process."""

    def __init__(self) -> None:
        self._store = CacheStore()

    def clear(self) -> None:
        """Forget every answer."""
        self._store.clear()

    def find(self, decided: "Decided") -> Answer | None:
        """The answer that this key has got to the same request, if its lane might still give it."""
        slot, settings = decided.slot, decided.edition.config.cache
        if slot.id is None or not slot.reads or not may_keep(decided):
            return None
        found = self._store.find(decided.visit.key.id, slot.id, settings)
        if found is None or found.lane not in decided.decision.chain:
            return None
        whole = ChatCompletion.model_validate_json(found.document)
        if not decided.request.stream:
            return Answer(found.lane, (), whole=whole, reason=CACHED)
        options = decided.request.stream_options
        chunks = _replayed(whole, bool(options and options.include_usage))
        return Answer(found.lane, (), chunks=chunks, reason=CACHED)

    def keep(self, decided: "Decided", answer: Answer, trail: Trail) -> Answer:
        """The answer, which is kept when it is whole and may be."""
        most = decided.edition.config.cache.max_bytes_each
        if not may_keep(decided):
            return answer

        def put(whole: ChatCompletion) -> None:
            self._put(decided, answer.lane, whole.model_copy(update={"usage": whole.usage or trail.usage}))

        if answer.whole is not None:
            put(answer.whole)
        elif answer.chunks is not None:
            return replace(answer, chunks=Gathered(answer.chunks, most, put))
        return answer

    def _put(self, decided: "Decided", lane: str, whole: ChatCompletion) -> None:
        slot, settings = decided.slot, decided.edition.config.cache
        if slot.id is not None and whole.choices[0].finish_reason in WORTH_KEEPING:
            document = whole.model_dump_json(exclude_none=True).encode()
            self._store.put(decided.visit.key.id, slot.id, document, lane, settings)


def may_keep(decided: "Decided") -> bool:
    """Whether the answer may lie in the cache: never one to confidential data, never one that a person must see."""
    decision = decided.decision
    return (
        decided.slot.id is not None
        and decision.permit.level < Sensitivity.CONFIDENTIAL
        and decision.review is None
    )


def shown(decided: "Decided", answer: Answer) -> Literal["hit", "miss", "off"]:
    """The value of the header."""
    if answer.reason == CACHED:
        return "hit"
    return "miss" if may_keep(decided) else "off"


def asks_nobody(decided: "Decided") -> "Decided":
    """The same request where no lane is asked, so that the audit log, the row and the numbers say so."""
    reason = Reason(CACHED, "The same request of this key was answered a short while ago.")
    reasons = (reason, *decided.decision.reasons)
    return replace(decided, decision=replace(decided.decision, chain=(), spilled_from=None, reasons=reasons))


async def _replayed(whole: ChatCompletion, include_usage: bool) -> AsyncGenerator[ChatChunk, None]:
    for item in as_chunks(whole, include_usage=include_usage):
        yield item
