"""A stream that tells which tools it called before its client learns that it has ended."""

from collections.abc import Awaitable, Callable, Iterable

from serve.job import ChunkStream
from serve.wire.openai_answer import ChatChunk

Begun = Callable[[Iterable[str]], Awaitable[None]]


class Heard:
    """`begun` gets the ids of the tool calls of the first choice, if there were any."""

    def __init__(self, chunks: ChunkStream, begun: Begun) -> None:
        self._chunks, self._begun = chunks, begun
        self._ids: list[str] = []

    def __aiter__(self) -> "Heard":
        return self

    async def __anext__(self) -> ChatChunk:
        item = await anext(self._chunks)
        for choice in item.choices:
            if choice.index == 0:
                self._ids += [call.id for call in choice.delta.tool_calls or () if call.id]
                if choice.finish_reason and self._ids:
                    await self._begun(tuple(self._ids))
        return item

    async def aclose(self) -> None:
        """End the stream."""
        await self._chunks.aclose()
