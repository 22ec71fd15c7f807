"""A chat answer in one piece as a message of the Messages API. Pure translation of shapes."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from serve.wire.anthropic_messages import arguments
from serve.wire.openai_answer import ChatCompletion, Choice, ChunkChoice, FinishReason, Thought, Usage
from serve.wire.openai_messages import ToolCall

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]
STOPS: dict[FinishReason, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class SaidBlock(BaseModel):
    type: Literal["text"] = "text"
    text: str


class ThoughtBlock(BaseModel):
    """What a lane thought; without a signature where no provider gave one."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: str = ""


class ClosedThoughtBlock(BaseModel):
    """What a lane thought and does not show."""

    type: Literal["redacted_thinking"] = "redacted_thinking"
    data: str


class CalledBlock(BaseModel):
    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, JsonValue]


AnswerBlock = Annotated[
    SaidBlock | ThoughtBlock | ClosedThoughtBlock | CalledBlock, Field(discriminator="type")
]


class MessageUsage(BaseModel):
    """Tokens as the lane reported them, zeros where it reported none. `input_tokens` leaves out cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class MessageAnswer(BaseModel):
    """The answer of `POST /v1/messages`."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[AnswerBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None = None
    usage: MessageUsage


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the request its answer depends on.

    thinking  the client wants to see what a lane thinks
    signed    it wants what its provider signed, with or without the text
    stops     its stop sequences: a lane that names another one is not believed
    """

    thinking: bool = False
    stops: frozenset[str] = frozenset()
    signed: bool = False

    def stopped_by(self, choice: Choice | ChunkChoice) -> str | None:
        """The stop sequence that ended the answer, where the lane tells."""
        return choice.stop_reason if choice.stop_reason in self.stops else None


def message(answer: ChatCompletion, asked: Asked) -> MessageAnswer:
    """The answer's first choice as a message."""
    choice = answer.choices[0]
    stopped_by = asked.stopped_by(choice)
    reason = stop_reason(choice.finish_reason, stopped_by)
    return MessageAnswer(
        id=id_of(answer.id),
        model=answer.model,
        content=_blocks(choice, asked),
        stop_reason=reason,
        stop_sequence=stopped_by if reason == "stop_sequence" else None,
        usage=usage_of(answer.usage),
    )


def _blocks(choice: Choice, asked: Asked) -> list[AnswerBlock]:
    said = choice.message
    blocks: list[AnswerBlock] = []
    if asked.signed and said.thinking_blocks:
        blocks += [thought(one) for one in said.thinking_blocks]
    elif asked.thinking and said.reasoning_content:
        blocks.append(ThoughtBlock(thinking=said.reasoning_content))
    if text := said.content or said.refusal:
        blocks.append(SaidBlock(text=text))
    return [*blocks, *(_called(call) for call in said.tool_calls or ())]


def thought(one: Thought) -> ThoughtBlock | ClosedThoughtBlock:
    """A thought as a block."""
    if one.type == "redacted_thinking":
        return ClosedThoughtBlock(data=one.data or "")
    return ThoughtBlock(thinking=one.thinking or "", signature=one.signature or "")


def _called(call: ToolCall) -> CalledBlock:
    return CalledBlock(id=call.id, name=call.function.name, input=arguments(call.function.arguments))


def id_of(chat_id: str) -> str:
    """A message's id; one that came from such an API stays as it is."""
    return chat_id if chat_id.startswith("msg_") else f"msg_{chat_id.removeprefix('chatcmpl-')}"


def stop_reason(finish: FinishReason | None, stopped_by: str | None) -> StopReason:
    """Why an answer ended."""
    reason = STOPS[finish or "stop"]
    return "stop_sequence" if reason == "end_turn" and stopped_by is not None else reason


def usage_of(usage: Usage | None) -> MessageUsage:
    """What a lane reported, counted the way of the Messages API."""
    if usage is None:
        return MessageUsage()
    details = usage.prompt_tokens_details
    cached = min((details.cached_tokens or 0) if details else 0, usage.prompt_tokens)
    written = min((details.cache_write_tokens or 0) if details else 0, usage.prompt_tokens - cached)
    return MessageUsage(
        input_tokens=usage.prompt_tokens - cached - written,
        output_tokens=usage.completion_tokens,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=cached,
    )
