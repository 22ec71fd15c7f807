"""Anthropic Messages: a chat request translated there, its answer and stream translated back.

Pure translation of shapes; calls nothing. Source: Anthropic API reference, `POST /v1/messages`.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pydantic_core
from anthropic.types import Message as ClaudeMessage
from anthropic.types import RawMessageStreamEvent

from serve.wire.openai_answer import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    FunctionDelta,
    ToolCallDelta,
    Usage,
)
from serve.wire.openai_chat import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    ImagePart,
    Message,
    NamedToolChoice,
    TextPart,
    Tool,
    ToolCall,
    ToolMessage,
    UserMessage,
)

Block = dict[str, Any]

FINISH: dict[str | None, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def request(chat: ChatRequest, model: str, default_max_tokens: int) -> dict[str, Any]:
    """Arguments of `messages.create`. Sampling knobs that the dialect lacks (seed, penalties) are left out."""
    system = [_text_of(m) for m in chat.messages if m.role in ("system", "developer")]
    arguments: dict[str, Any] = {
        "model": model,
        "max_tokens": chat.output_limit or default_max_tokens,
        "messages": _merged(_turn(m) for m in chat.messages if m.role not in ("system", "developer")),
    }
    if system:
        arguments["system"] = "\n\n".join(system)
    if chat.stop:
        arguments["stop_sequences"] = [chat.stop] if isinstance(chat.stop, str) else list(chat.stop)
    if chat.schema_ is not None:
        arguments["output_config"] = {"format": {"type": "json_schema", "schema": chat.schema_}}
    return arguments | _tools(chat)


def _tools(chat: ChatRequest) -> dict[str, Any]:
    if not chat.tools:
        return {}
    choice: Block = {"type": {"required": "any", "none": "none"}.get(str(chat.tool_choice), "auto")}
    if isinstance(chat.tool_choice, NamedToolChoice):
        choice = {"type": "tool", "name": chat.tool_choice.function.name}
    if chat.parallel_tool_calls is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": [_tool(tool) for tool in chat.tools], "tool_choice": choice}


def _tool(tool: Tool) -> Block:
    function = tool.function
    schema = function.parameters or {"type": "object", "properties": {}}
    block: Block = {"name": function.name, "input_schema": schema}
    return block | ({"description": function.description} if function.description else {})


def _turn(message: Message) -> tuple[str, list[Block]]:
    if isinstance(message, ToolMessage):
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": _text_of(message)}
        return "user", [result]
    if isinstance(message, UserMessage):
        return "user", _user_blocks(message)
    assert isinstance(message, AssistantMessage)
    text = _text_of(message)
    blocks: list[Block] = [{"type": "text", "text": text}] if text else []
    blocks += [
        {"type": "tool_use", "id": c.id, "name": c.function.name, "input": _arguments(c.function.arguments)}
        for c in message.tool_calls or ()
    ]
    return "assistant", blocks


def _user_blocks(message: UserMessage) -> list[Block]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}]
    blocks: list[Block] = []
    for part in message.content:
        if isinstance(part, TextPart):
            blocks.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            blocks.append(_image(part))
    return blocks


def _image(part: ImagePart) -> Block:
    url = part.image_url.url
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def _arguments(text: str) -> dict[str, Any]:
    """Arguments of an earlier call as the object that the dialect wants, even where a model botched them."""
    try:
        # Not json.loads: it would take lone surrogates and any depth, which cannot be sent on. Nor can infinity.
        value = pydantic_core.from_json(text or "{}")
        json.dumps(value, allow_nan=False)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}


def _merged(turns: Iterator[tuple[str, list[Block]]]) -> list[Block]:
    """Neighbouring turns of one role become one message: the dialect wants roles to alternate."""
    messages: list[Block] = []
    for role, blocks in turns:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"].extend(blocks)
        elif blocks:
            messages.append({"role": role, "content": blocks})
    return messages


def _text_of(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


def completion(message: ClaudeMessage) -> ChatCompletion:
    """A whole answer."""
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [
        ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=json.dumps(block.input)))
        for block in message.content
        if block.type == "tool_use"
    ]
    answer = AnswerMessage(content=text or None, tool_calls=calls or None)
    usage = _usage(message.usage.input_tokens, message.usage.output_tokens)
    choice = Choice(message=answer, finish_reason=FINISH.get(message.stop_reason, "stop"))
    return ChatCompletion(
        id=message.id, created=int(time.time()), model=message.model, choices=[choice], usage=usage
    )


def _usage(prompt: int, answer: int) -> Usage | None:
    # A provider that reports nonsense must not break the answer.
    if not (0 <= prompt <= 10**9 and 0 <= answer <= 10**9):
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer)


class StreamTranslator:
    """Messages events in, chat chunks out, one stream long."""

    def __init__(self, model: str, created: int) -> None:
        self._model, self._created = model, created
        self._id = "chatcmpl-unknown"
        self._prompt_tokens = 0
        self._tool_of_block: dict[int, int] = {}
        self.finished = False

    def chunks(self, event: RawMessageStreamEvent) -> Iterator[ChatChunk]:
        """The chunks that `event` means, often none."""
        match event.type:
            case "message_start":
                self._id, self._prompt_tokens = event.message.id, event.message.usage.input_tokens
                yield self._chunk(Delta(role="assistant", content=""))
            case "content_block_start":
                yield from self._opened(event.index, event.content_block)
            case "content_block_delta":
                yield from self._grown(event.index, event.delta)
            case "message_delta" if event.delta.stop_reason is not None:
                reason = FINISH.get(event.delta.stop_reason, "stop")
                yield self._chunk(Delta(), reason)
                yield self._last(event.usage.output_tokens)
            case "message_stop":
                self.finished = True
            case _:
                return

    def _opened(self, index: int, block: Any) -> Iterator[ChatChunk]:
        if block.type == "tool_use":
            tool = self._tool_of_block[index] = len(self._tool_of_block)
            function = FunctionDelta(name=block.name, arguments="")
            call = ToolCallDelta(index=tool, id=block.id, type="function", function=function)
            yield self._chunk(Delta(tool_calls=[call]))

    def _grown(self, index: int, delta: Any) -> Iterator[ChatChunk]:
        if delta.type == "text_delta":
            yield self._chunk(Delta(content=delta.text))
        elif delta.type == "input_json_delta" and index in self._tool_of_block:
            function = FunctionDelta(arguments=delta.partial_json)
            yield self._chunk(
                Delta(tool_calls=[ToolCallDelta(index=self._tool_of_block[index], function=function)])
            )

    def _chunk(self, delta: Delta, finish: FinishReason | None = None) -> ChatChunk:
        choice = ChunkChoice(delta=delta, finish_reason=finish)
        return ChatChunk(id=self._id, created=self._created, model=self._model, choices=[choice])

    def _last(self, output_tokens: int) -> ChatChunk:
        usage = _usage(self._prompt_tokens, output_tokens)
        return ChatChunk(id=self._id, created=self._created, model=self._model, choices=[], usage=usage)
