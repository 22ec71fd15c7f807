"""What is kept of one answered request until its shadow call is over: in memory, never written down."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serve.job import ChunkStream
from serve.sweeps.agreement import Spoken
from serve.wire.openai_answer import ChatChunk, ChatCompletion

if TYPE_CHECKING:
    from serve.router import Decided

MOST_CHARS = 200_000
"""Longer answers are not sampled."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request was drawn for. `below`: the lane of the tier below. `sweep`: the sweep that is open."""

    below: str | None = None
    sweep: str | None = None
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered request. `lane`: who answered. `at`: seconds of `time.monotonic`."""

    decided: "Decided"
    wanted: Wanted
    lane: str
    spoken: Spoken
    at: float


def spoken(whole: ChatCompletion) -> Spoken:
    """What the first choice says."""
    message = whole.choices[0].message
    calls = tuple((call.function.name, call.function.arguments) for call in message.tool_calls or ())
    return Spoken(message.content or "", calls)


class Listening:
    """A stream that is heard on its way to the client, and handed over if it reached its end."""

    def __init__(self, chunks: ChunkStream, ended: Callable[[Spoken], None]) -> None:
        self._chunks, self._ended = chunks, ended
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._chars = 0

    def __aiter__(self) -> AsyncIterator[ChatChunk]:
        return self

    async def __anext__(self) -> ChatChunk:
        try:
            item = await anext(self._chunks)
        except StopAsyncIteration:
            if self._chars <= MOST_CHARS:
                calls = tuple((name, "".join(rest)) for _, (name, *rest) in sorted(self._calls.items()))
                self._ended(Spoken("".join(self._text), calls))
            self._forget()
            raise
        self._hear(item)
        return item

    async def aclose(self) -> None:
        """End the stream; what was heard of it is forgotten."""
        self._forget()
        await self._chunks.aclose()

    def _forget(self) -> None:
        self._text, self._calls = [], {}

    def _hear(self, item: ChatChunk) -> None:
        for choice in item.choices:
            delta = choice.delta
            if delta.content and self._has_room(delta.content):
                self._text.append(delta.content)
            for call in delta.tool_calls or ():
                parts = self._calls.setdefault(call.index, [""])
                if call.function and call.function.name:
                    parts[0] += call.function.name
                if call.function and call.function.arguments and self._has_room(call.function.arguments):
                    parts.append(call.function.arguments)

    def _has_room(self, text: str) -> bool:
        self._chars += len(text)
        return self._chars <= MOST_CHARS
