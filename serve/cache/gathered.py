"""A stream that is also put together as one answer, for whoever wants the whole of it when it has ended well."""

from collections.abc import Callable
from dataclasses import dataclass, field

from serve.job import ChunkStream
from serve.wire.openai_answer import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    FunctionCall,
    ToolCallDelta,
)
from serve.wire.openai_messages import ToolCall


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, delta: ToolCallDelta) -> None:
        self.id = self.id or delta.id or ""
        if delta.function is not None:
            self.name += delta.function.name or ""
            self.arguments += delta.function.arguments or ""

    def whole(self) -> ToolCall:
        return ToolCall(id=self.id, function=FunctionCall(name=self.name, arguments=self.arguments))


@dataclass(slots=True)
class _Parts:
    """The first choice so far."""

    content: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    end: ChunkChoice | None = None
    size: int = 0

    def add(self, choice: ChunkChoice) -> None:
        delta = choice.delta
        for parts, text in (
            (self.content, delta.content),
            (self.refusal, delta.refusal),
            (self.reasoning, delta.reasoning_content),
        ):
            if text:
                parts.append(text)
                self.size += len(text)
        for call in delta.tool_calls or ():
            self.calls.setdefault(call.index, _Call()).add(call)
            self.size += len((call.function and call.function.arguments) or "")
        self.end = choice if choice.finish_reason else self.end


class Gathered:
    """`whole` gets the answer when its stream has ended by itself; one of more than `most` characters is let go."""

    def __init__(self, chunks: ChunkStream, most: int, whole: Callable[[ChatCompletion], None]) -> None:
        self._chunks, self._most, self._whole = chunks, most, whole
        self._parts: _Parts | None = _Parts()
        self._last: ChatChunk | None = None

    def __aiter__(self) -> "Gathered":
        return self

    async def __anext__(self) -> ChatChunk:
        try:
            item = await anext(self._chunks)
        except StopAsyncIteration:
            self._ended()
            raise
        self._add(item)
        return item

    async def aclose(self) -> None:
        """End the stream."""
        await self._chunks.aclose()

    def _add(self, item: ChatChunk) -> None:
        self._last = item
        for choice in item.choices:
            if self._parts is not None and choice.index == 0:
                self._parts.add(choice)
        if self._parts is not None and self._parts.size > self._most:
            self._parts = None

    def _ended(self) -> None:
        parts, last = self._parts, self._last
        self._parts = None
        if parts is None or last is None or parts.end is None:
            return
        message = AnswerMessage(
            content="".join(parts.content) or None,
            refusal="".join(parts.refusal) or None,
            reasoning_content="".join(parts.reasoning) or None,
            tool_calls=[parts.calls[index].whole() for index in sorted(parts.calls)] or None,
        )
        end = parts.end
        choice = Choice(message=message, finish_reason=end.finish_reason, stop_reason=end.stop_reason)
        self._whole(ChatCompletion(id=last.id, created=last.created, model=last.model, choices=[choice]))
