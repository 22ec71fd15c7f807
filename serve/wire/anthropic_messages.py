"""Anthropic Messages: a chat request translated there. `anthropic_answer.py` has the way back.

Pure translation of shapes; calls nothing. Source: Anthropic API reference, `POST /v1/messages`.
"""

import json
from collections.abc import Iterator
from typing import Any

import pydantic_core

from serve.wire.openai_chat import (
    AssistantMessage,
    ChatRequest,
    ImagePart,
    Message,
    NamedToolChoice,
    TextPart,
    Tool,
    ToolMessage,
    UserMessage,
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
    if chat.user is not None:
        arguments["metadata"] = {"user_id": chat.user}
    thinking = _thinking(chat, arguments["max_tokens"]) if thinks else {}
    own = _sampling(chat) if sampling and not thinking else {}
    return arguments | _tools(chat) | thinking | ({"extra_body": own} if own else {})


def _thinking(chat: ChatRequest, max_tokens: int) -> dict[str, Any]:
    """The client's own setting, where Anthropic would take it; nothing where it would refuse the whole request."""
    wanted = chat.thinking
    if wanted is None:
        return {}
    if wanted.wanted and (chat.forced_tool or (wanted.type == "enabled" and _in_a_loop(chat))):
        # It may not be forced to call while it thinks, nor go on from a call without the thoughts before it.
        return {}
    if wanted.budget_tokens is not None and not LEAST_BUDGET <= wanted.budget_tokens < max_tokens:
        return {}
    return {"thinking": wanted.model_dump(exclude_none=True)}


def _in_a_loop(chat: ChatRequest) -> bool:
    return isinstance(chat.messages[-1], ToolMessage)


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
        {"type": "tool_use", "id": c.id, "name": c.function.name, "input": arguments(c.function.arguments)}
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
