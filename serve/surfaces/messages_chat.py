"""A Messages request as the chat request it stands for. Pure translation of shapes.

`wire/anthropic_messages.py` has the way on, to a lane that speaks Messages: what goes through both keeps its tools,
ids, images and order.
"""

import json
from collections.abc import Iterator

from pydantic import JsonValue

from serve.surfaces.messages_request import (
    AnyTool,
    AssistantBlock,
    AssistantTurn,
    Conversation,
    DocumentBlock,
    ImageBlock,
    MessagesRequest,
    NoTool,
    OfferedTool,
    OneTool,
    RedactedThinkingBlock,
    SystemText,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    UserTurn,
)

Object = dict[str, JsonValue]
Marked = TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock | OfferedTool

FAILED = "Error: "
"""Before a result with `is_error`: a chat has no other place for it."""


def body_of(request: Conversation) -> bytes:
    """The chat request as JSON."""
    chat: Object = {"model": request.model, "messages": [*_messages(request)]}
    chat |= _tools(request)
    if request.output_config is not None and request.output_config.format is not None:
        schema: Object = {"name": "answer", "schema": request.output_config.format.schema_}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    if isinstance(request, MessagesRequest):
        chat |= _settings(request)
    if request.cache_control is not None:
        chat["cache_control"] = request.cache_control.model_dump(exclude_none=True)
    return json.dumps(chat, ensure_ascii=False).encode()


def _settings(request: MessagesRequest) -> Object:
    given: Object = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k or None,
        "thinking": request.thinking.model_dump(exclude_none=True) if request.thinking else None,
        "stop": [*request.stop_sequences] if request.stop_sequences else None,
        "user": request.metadata.user_id if request.metadata else None,
        "stream": request.stream,
        "stream_options": {"include_usage": True} if request.stream else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _messages(request: Conversation) -> Iterator[JsonValue]:
    if system := _system(request.system):
        yield {"role": "system", "content": system}
    for turn in request.messages:
        yield from _of_turn(turn)


def _system(text: SystemText | None) -> JsonValue:
    """One text, or its blocks where one of them is marked."""
    if text is None or isinstance(text, str):
        return text or ""
    if any(block.cache_control for block in text):
        return [_part(block) for block in text]
    return "\n\n".join(block.text for block in text)


def _marked(block: Marked) -> Object:
    control = block.cache_control
    return {} if control is None else {"cache_control": control.model_dump(exclude_none=True)}


def _of_turn(turn: Turn) -> Iterator[JsonValue]:
    if isinstance(turn, UserTurn):
        yield from _of_user(turn)
    elif isinstance(turn, AssistantTurn):
        yield from _of_assistant(turn)
    else:
        yield {"role": "system", "content": _system(turn.content)}


def _of_user(turn: UserTurn) -> Iterator[JsonValue]:
    """Results first, as a chat wants them right behind the calls; then what else the user says."""
    if isinstance(turn.content, str):
        yield {"role": "user", "content": turn.content}
        return
    parts: list[JsonValue] = []
    for block in turn.content:
        if isinstance(block, ToolResultBlock):
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": _result(block)}
            parts += _pictures(block)
    parts += [_part(block) for block in turn.content if not isinstance(block, ToolResultBlock)]
    if parts:
        yield {"role": "user", "content": _content(parts)}


def _content(parts: list[JsonValue]) -> JsonValue:
    """A single text as a string: servers exist that take no lists."""
    match parts:
        case [{"type": "text", "text": text, **rest}] if not rest:
            return text
        case _:
            return parts


def _result(block: ToolResultBlock) -> JsonValue:
    """A mark on a part of the result is as good as one on the whole of it."""
    text, marks = block.content or "", _marked(block)
    if not isinstance(text, str):
        marks = next(filter(None, (_marked(part) for part in reversed(text))), marks)
        text = "\n".join(part.text for part in text if not isinstance(part, ImageBlock))
    text = FAILED + text if block.is_error else text
    return [{"type": "text", "text": text, **marks}] if marks else text


def _pictures(block: ToolResultBlock) -> list[JsonValue]:
    """The images of a result. A chat's tool message holds text alone, so they come behind, with their origin."""
    if block.content is None or isinstance(block.content, str):
        return []
    images: list[JsonValue] = [_part(part) for part in block.content if isinstance(part, ImageBlock)]
    words = f"From the result of {block.tool_use_id}:"
    return [{"type": "text", "text": words}, *images] if images else []


def _part(block: TextBlock | ImageBlock | DocumentBlock) -> JsonValue:
    if isinstance(block, ImageBlock):
        return {"type": "image_url", "image_url": {"url": block.source.address}, **_marked(block)}
    return {"type": "text", "text": block.text, **_marked(block)}


def _of_assistant(turn: AssistantTurn) -> Iterator[JsonValue]:
    if isinstance(turn.content, str):
        yield {"role": "assistant", "content": turn.content}
        return
    texts = [block for block in turn.content if isinstance(block, TextBlock)]
    calls: list[JsonValue] = [_call(block) for block in turn.content if isinstance(block, ToolUseBlock)]
    said = _said(texts)
    if calls or said:
        message: Object = {"role": "assistant", "content": said or None}
        yield message | ({"tool_calls": calls} if calls else {}) | _thoughts(turn.content)


def _said(texts: list[TextBlock]) -> JsonValue:
    if any(block.cache_control for block in texts):
        return [_part(block) for block in texts if block.text]
    return "\n".join(block.text for block in texts)


def _thoughts(blocks: list[AssistantBlock]) -> Object:
    """What was thought before anything was said; in another order they would be worth nothing to who signed them."""
    thoughts = [one for one in blocks if isinstance(one, ThinkingBlock | RedactedThinkingBlock)]
    if not thoughts or blocks[: len(thoughts)] != thoughts:
        return {}
    return {"thinking_blocks": [one.model_dump() for one in thoughts]}


def _call(block: ToolUseBlock) -> JsonValue:
    arguments = json.dumps(block.input, ensure_ascii=False)
    function: JsonValue = {"name": block.name, "arguments": arguments}
    return {"id": block.id, "type": "function", "function": function, **_marked(block)}


def _tools(request: Conversation) -> Object:
    chat: Object = {"tools": [_tool(tool) for tool in request.tools]} if request.tools else {}
    match request.tool_choice:
        case AnyTool(type=kind):
            chat["tool_choice"] = "required" if kind == "any" else "auto"
        case OneTool(name=name):
            chat["tool_choice"] = {"type": "function", "function": {"name": name}}
        case NoTool():
            chat["tool_choice"] = "none"
    if isinstance(request.tool_choice, AnyTool | OneTool) and request.tool_choice.disable_parallel_tool_use:
        chat["parallel_tool_calls"] = False
    return chat


def _tool(tool: OfferedTool) -> JsonValue:
    function: Object = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function, **_marked(tool)}
