"""Anthropic Messages on the way back: answers and events translated to chat completions.

Pure translation of shapes; calls nothing. An answer is untrusted input: only the fields listed here are
read, and those that only count may hold anything. Source: Anthropic API reference, `POST /v1/messages`.
"""

import json
import time
from collections.abc import Iterator

from pydantic import JsonValue

from serve.wire.openai_answer import (
    MOST_TOKENS,
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    FunctionDelta,
    PromptDetails,
    StoppedBy,
    Thought,
    ToolCallDelta,
    Usage,
)
from serve.wire.openai_messages import FunctionCall, ToolCall, Wire

FINISH: dict[str | None, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class Spent(Wire):
    """`input_tokens` are those that went past the cache; what was read from it and written to it come on top."""

    input_tokens: JsonValue = None
    output_tokens: JsonValue = None
    cache_read_input_tokens: JsonValue = None
    cache_creation_input_tokens: JsonValue = None
    cache_creation: JsonValue = None

    @property
    def written_for_an_hour(self) -> JsonValue:
        """The part of `cache_creation_input_tokens` that is kept for an hour, 0 where nothing says so."""
        parts = self.cache_creation
        return parts.get("ephemeral_1h_input_tokens") or 0 if isinstance(parts, dict) else 0


class Block(Wire):
    type: str
    id: str | None = None
    name: str | None = None
    text: str | None = None
    input: JsonValue = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None

    @property
    def thought(self) -> Thought | None:
        """The block as a thought, None where it is something else."""
        if self.type == "thinking":
            return Thought(type="thinking", thinking=self.thinking or "", signature=self.signature)
        return Thought(type="redacted_thinking", data=self.data) if self.type == "redacted_thinking" else None


class Message(Wire):
    id: str
    model: str
    content: list[Block]
    stop_reason: str | None = None
    stop_sequence: StoppedBy = None
    usage: Spent | None = None


class Opening(Wire):
    id: str
    usage: Spent | None = None


class Growth(Wire):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: StoppedBy = None


class Trouble(Wire):
    type: str = ""


class Event(Wire):
    """Any event of a stream; which fields are set depends on `type`."""

    type: str
    index: int = 0
    message: Opening | None = None
    content_block: Block | None = None
    delta: Growth | None = None
    usage: Spent | None = None
    error: Trouble | None = None


def message(document: str) -> Message:
    """A whole answer. Raises ValueError when it is none."""
    return Message.model_validate_json(document)


def event(document: str) -> Event:
    """One event. Raises ValueError when it is none."""
    return Event.model_validate_json(document)


def completion(answer: Message, *, shown: bool = False) -> ChatCompletion:
    """A whole answer as a chat completion. `shown`: with what the lane thought."""
    text = "".join(block.text or "" for block in answer.content if block.type == "text")
    calls = [_call(block) for block in answer.content if block.type == "tool_use"]
    thoughts = [found for block in answer.content if shown and (found := block.thought)]
    spent = answer.usage or Spent()
    usage = _usage(spent, spent.output_tokens)
    choice = Choice(
        message=AnswerMessage(
            content=text or None,
            reasoning_content="".join(one.thinking or "" for one in thoughts) or None,
            thinking_blocks=thoughts if thoughts and _first(answer) else None,
            tool_calls=calls or None,
        ),
        finish_reason=FINISH.get(answer.stop_reason, "stop"),
        stop_reason=answer.stop_sequence,
    )
    return ChatCompletion(
        id=answer.id,
        created=int(time.time()),
        model=answer.model,
        choices=[choice],
        usage=usage,
        usage_doubtful=usage is None or None,
    )


def _first(answer: Message) -> bool:
    """Whether all thoughts come before anything is said: another order would be lost here, and refused later."""
    kinds = [block.thought is None for block in answer.content]
    return kinds == sorted(kinds)


def _call(block: Block) -> ToolCall:
    function = FunctionCall(name=block.name or "", arguments=json.dumps(block.input))
    return ToolCall(id=block.id or "", function=function)


def _usage(taken: Spent, answer: JsonValue) -> Usage | None:
    """What a provider reports, None where it is nonsense: that must not break the answer."""
    fresh, given = _count(taken.input_tokens), _count(answer)
    read, written = _count(taken.cache_read_input_tokens or 0), _count(taken.cache_creation_input_tokens or 0)
    hour = _count(taken.written_for_an_hour)
    if fresh is None or given is None or read is None or written is None or hour is None:
        return None
    prompt = fresh + read + written
    if prompt > MOST_TOKENS:
        return None
    details = PromptDetails(
        cached_tokens=read or None,
        cache_write_tokens=written or None,
        cache_write_1h_tokens=min(hour, written) or None,
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=given,
        total_tokens=prompt + given,
        prompt_tokens_details=details if read or written else None,
    )


def _count(value: JsonValue) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_TOKENS:
        return None
    return value


class StreamTranslator:
    """Messages events in, chat chunks out, one stream long. `shown`: with what the lane thinks."""

    def __init__(self, model: str, created: int, *, shown: bool = False) -> None:
        self._model, self._created, self._shown = model, created, shown
        self._id = "chatcmpl-unknown"
        self._taken = Spent()
        self._tool_of_block: dict[int, int] = {}
        self.finished = False

    def chunks(self, event: Event) -> Iterator[ChatChunk]:
        """The chunks that `event` means, often none."""
        match event.type:
            case "message_start" if event.message is not None:
                self._id = event.message.id
                self._taken = event.message.usage or Spent()
                yield self._chunk(Delta(role="assistant", content=""))
            case "content_block_start" if event.content_block is not None:
                yield from self._opened(event.index, event.content_block)
            case "content_block_delta" if event.delta is not None:
                yield from self._grown(event.index, event.delta)
            case "message_delta":
                yield from self._ending(event.delta or Growth(), event.usage or Spent())
            case "message_stop":
                self.finished = True
            case _:
                return

    def _ending(self, delta: Growth, spent: Spent) -> Iterator[ChatChunk]:
        # Its counts are cumulative: some servers know the input only now, and start with nought.
        self._taken = self._taken.model_copy(update=spent.model_dump(exclude_none=True))
        if delta.stop_reason is not None:
            yield self._chunk(Delta(), FINISH.get(delta.stop_reason, "stop"), delta.stop_sequence)
            yield self._last(spent.output_tokens)

    def _opened(self, index: int, block: Block) -> Iterator[ChatChunk]:
        if block.type == "text" and block.text:
            yield self._chunk(Delta(content=block.text))
        if self._shown and block.type == "redacted_thinking" and block.thought:
            yield self._chunk(Delta(thinking_blocks=[block.thought]))
        if block.type == "tool_use":
            tool = self._tool_of_block[index] = len(self._tool_of_block)
            function = FunctionDelta(name=block.name, arguments="")
            call = ToolCallDelta(index=tool, id=block.id, type="function", function=function)
            yield self._chunk(Delta(tool_calls=[call]))

    def _grown(self, index: int, delta: Growth) -> Iterator[ChatChunk]:
        if delta.type == "text_delta":
            yield self._chunk(Delta(content=delta.text))
        elif delta.type in ("thinking_delta", "signature_delta"):
            yield self._thought(delta)
        elif delta.type == "input_json_delta" and index in self._tool_of_block:
            function = FunctionDelta(arguments=delta.partial_json)
            yield self._chunk(
                Delta(tool_calls=[ToolCallDelta(index=self._tool_of_block[index], function=function)])
            )

    def _thought(self, delta: Growth) -> ChatChunk:
        if not self._shown:
            return self._of([])  # a lane that thinks is not a lane that hangs
        if delta.type == "thinking_delta":
            return self._chunk(Delta(reasoning_content=delta.thinking))
        # The text has gone out before: a block without it ends what was thought so far.
        signed = Thought(type="thinking", signature=delta.signature)
        return self._chunk(Delta(thinking_blocks=[signed]))

    def _chunk(
        self, delta: Delta, finish: FinishReason | None = None, stopped_by: str | None = None
    ) -> ChatChunk:
        return self._of([ChunkChoice(delta=delta, finish_reason=finish, stop_reason=stopped_by)])

    def _of(self, choices: list[ChunkChoice]) -> ChatChunk:
        return ChatChunk(id=self._id, created=self._created, model=self._model, choices=choices)

    def _last(self, output_tokens: JsonValue) -> ChatChunk:
        usage = _usage(self._taken, output_tokens)
        return self._of([]).model_copy(update={"usage": usage, "usage_doubtful": usage is None or None})
