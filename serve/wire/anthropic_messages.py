"""Anthropic Messages: a chat request translated there. `anthropic_answer.py` has the way back.

Pure translation of shapes; calls nothing. Source: Anthropic API reference, `POST /v1/messages`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pydantic_core

from serve.wire.openai_chat import ChatRequest, NamedToolChoice, Tool
from serve.wire.openai_messages import (
    AssistantMessage,
    CacheControl,
    ImagePart,
    Message,
    TextPart,
    Thought,
    ToolCall,
    ToolMessage,
    UserMessage,
    one_text,
)

Block = dict[str, Any]


LEAST_BUDGET = 1024
"""Tokens of thinking below which Anthropic refuses a request."""


def request(
    chat: ChatRequest, model: str, default_max_tokens: int, *, thinks: bool = False, sampling: bool = False
) -> dict[str, Any]:
    """Arguments of `messages.create`. Knobs that the dialect lacks (seed, penalties) are left out.

    thinks    the lane can think, and may be told to
    sampling  the endpoint takes temperature, top_p and top_k
    """
    system = [m for m in chat.messages if m.role in ("system", "developer")]
    arguments: dict[str, Any] = {
        "model": model,
        "max_tokens": chat.output_limit or default_max_tokens,
        "messages": _merged(_turn(m, thinks) for m in chat.messages if m.role not in ("system", "developer")),
    }
    if system:
        arguments["system"] = _system(system)
    arguments |= _marked(chat.cache_control)
    if chat.stop:
        arguments["stop_sequences"] = [chat.stop] if isinstance(chat.stop, str) else list(chat.stop)
    if chat.schema_ is not None:
        arguments["output_config"] = {"format": {"type": "json_schema", "schema": chat.schema_}}
    if chat.user is not None:
        arguments["metadata"] = {"user_id": chat.user}
    thinking = _thinking(chat, arguments["max_tokens"]) if thinks else {}
    own = _sampling(chat) if sampling and not thinking else {}
    return arguments | _tools(chat) | thinking | ({"extra_body": own} if own else {})


def _system(messages: Sequence[Message]) -> str | list[Block]:
    """One text, or blocks where a part is marked."""
    if not any(
        isinstance(part, TextPart) and part.cache_control for m in messages for part in m.content or ()
    ):
        return "\n\n".join(_text_of(message) for message in messages)
    return [block for message in messages for block in _texts(message)]


def _marked(control: CacheControl | None) -> Block:
    return {} if control is None else {"cache_control": control.model_dump(exclude_none=True)}


def _texts(message: Message) -> list[Block]:
    """What a message says, in parts where one of them is marked."""
    content = message.content
    if content is None or isinstance(content, str) or one_text(message) is None:
        text = _text_of(message)
        return [{"type": "text", "text": text}] if text else []
    parts = [part for part in content if isinstance(part, TextPart)]
    return [{"type": "text", "text": part.text, **_marked(part.cache_control)} for part in parts]


def _thinking(chat: ChatRequest, max_tokens: int) -> dict[str, Any]:
    """The client's own setting, where Anthropic would take it; nothing where it would refuse the whole request."""
    wanted = chat.thinking
    if wanted is None:
        return {}
    if wanted.wanted and (chat.forced_tool or (wanted.type == "enabled" and _lost_its_thoughts(chat))):
        # It may not be forced to call while it thinks, nor go on from a call without the thoughts before it.
        return {}
    if wanted.budget_tokens is not None and not LEAST_BUDGET <= wanted.budget_tokens < max_tokens:
        return {}
    return {"thinking": wanted.model_dump(exclude_none=True)}


def _lost_its_thoughts(chat: ChatRequest) -> bool:
    """Whether it is to go on after a call, and what it thought before the first one is not there any more."""
    if not isinstance(chat.messages[-1], ToolMessage):
        return False
    begun: Message | None = None
    for message in reversed(chat.messages):
        if isinstance(message, UserMessage):
            break
        begun = message if isinstance(message, AssistantMessage) else begun
    return not (isinstance(begun, AssistantMessage) and begun.thinking_blocks)


def _sampling(chat: ChatRequest) -> dict[str, Any]:
    """Anthropic's temperature ends at 1."""
    given = {
        "temperature": None if chat.temperature is None else min(chat.temperature, 1.0),
        "top_p": chat.top_p,
        "top_k": chat.top_k,
    }
    return {name: value for name, value in given.items() if value is not None}


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
    described = {"description": function.description} if function.description else {}
    return block | described | _marked(tool.cache_control)


def _turn(message: Message, thinks: bool) -> tuple[str, list[Block]]:
    if isinstance(message, ToolMessage):
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": _text_of(message)}
        marks = [_marked(part.cache_control) for part in message.content if isinstance(part, TextPart)]
        return "user", [result | next(filter(None, reversed(marks)), {})]
    if isinstance(message, UserMessage):
        return "user", _user_blocks(message)
    assert isinstance(message, AssistantMessage)
    blocks = [_thought(one) for one in message.thinking_blocks or () if thinks] + _texts(message)
    return "assistant", blocks + [_call(call) for call in message.tool_calls or ()]


def _call(call: ToolCall) -> Block:
    block = {"type": "tool_use", "id": call.id, "name": call.function.name}
    return block | {"input": arguments(call.function.arguments)} | _marked(call.cache_control)


def _thought(one: Thought) -> Block:
    if one.type == "redacted_thinking":
        return {"type": "redacted_thinking", "data": one.blob}
    return {"type": "thinking", "thinking": one.thinking or "", "signature": one.blob}


def _user_blocks(message: UserMessage) -> list[Block]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}]
    blocks: list[Block] = []
    for part in message.content:
        if isinstance(part, TextPart):
            blocks.append({"type": "text", "text": part.text, **_marked(part.cache_control)})
        elif isinstance(part, ImagePart):
            blocks.append(_image(part) | _marked(part.cache_control))
    return blocks


def _image(part: ImagePart) -> Block:
    url = part.image_url.url
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}


def arguments(text: str) -> dict[str, Any]:
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
