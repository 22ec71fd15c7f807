"""OpenAI chat answers, whole and in chunks, as lanes give them and clients get them.

A lane's answer is untrusted input: only the fields listed here go on to the client.
"""

from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from serve.errors import LaneProtocolError
from serve.wire.openai_chat import FunctionCall, ToolCall, Wire

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Usage(Wire):
    prompt_tokens: int = Field(ge=0, le=10**9)
    completion_tokens: int = Field(ge=0, le=10**9)
    total_tokens: int = Field(ge=0, le=2 * 10**9)


class AnswerMessage(Wire):
    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(Wire):
    index: int = 0
    message: AnswerMessage
    logprobs: dict[str, JsonValue] | None = None
    finish_reason: FinishReason | None = "stop"


class ChatCompletion(Wire):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None


class FunctionDelta(Wire):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Wire):
    index: int = 0
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta | None = None


class Delta(Wire):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None

    @property
    def says_something(self) -> bool:
        """Whether a client that got this delta has begun to read an answer."""
        return bool(self.content or self.refusal or self.reasoning_content or self.tool_calls)


class ChunkChoice(Wire):
    index: int = 0
    delta: Delta
    logprobs: dict[str, JsonValue] | None = None
    finish_reason: FinishReason | None = None


class ChatChunk(Wire):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice] = Field(default_factory=list)
    usage: Usage | None = None

    @property
    def says_something(self) -> bool:
        """Whether any choice carries content."""
        return any(choice.delta.says_something for choice in self.choices)


def completion(lane: str, document: str) -> ChatCompletion:
    """A lane's whole answer. Raises LaneProtocolError without echoing it."""
    try:
        return ChatCompletion.model_validate_json(document)
    except ValidationError as error:
        raise LaneProtocolError(lane, f"not a chat completion: {_first(error)}") from None


def chunk(lane: str, document: str) -> ChatChunk:
    """One chunk of a lane's stream. Raises LaneProtocolError without echoing it."""
    try:
        return ChatChunk.model_validate_json(document)
    except ValidationError as error:
        raise LaneProtocolError(lane, f"not a chat completion chunk: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    item = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"


def as_chunks(whole: ChatCompletion, *, include_usage: bool) -> list[ChatChunk]:
    """A whole answer as the stream a client asked for: role and content, finish reason, usage."""

    def chunk_of(choices: list[ChunkChoice], usage: Usage | None = None) -> ChatChunk:
        return ChatChunk(id=whole.id, created=whole.created, model=whole.model, choices=choices, usage=usage)

    chunks = [chunk_of([_body(choice)]) for choice in whole.choices]
    chunks += [chunk_of([_end(choice)]) for choice in whole.choices]
    return [*chunks, chunk_of([], whole.usage)] if include_usage else chunks


def _body(choice: Choice) -> ChunkChoice:
    message = choice.message
    calls = [
        ToolCallDelta(
            index=i,
            id=call.id,
            type="function",
            function=FunctionDelta(name=call.function.name, arguments=call.function.arguments),
        )
        for i, call in enumerate(message.tool_calls or ())
    ]
    delta = Delta(
        role="assistant",
        content=message.content,
        refusal=message.refusal,
        reasoning_content=message.reasoning_content,
        tool_calls=calls or None,
    )
    return ChunkChoice(index=choice.index, delta=delta, logprobs=choice.logprobs)


def _end(choice: Choice) -> ChunkChoice:
    return ChunkChoice(index=choice.index, delta=Delta(), finish_reason=choice.finish_reason or "stop")


__all__ = [
    "ChatChunk",
    "ChatCompletion",
    "Choice",
    "FunctionCall",
    "Usage",
    "as_chunks",
    "chunk",
    "completion",
]
