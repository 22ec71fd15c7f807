"""What a request tells lanes that speak Messages, and no others: marks for their cache, and what they thought before.

A request is dumped without either (`ChatRequest.sent`). Knows shapes. Does not know which thoughts may go where.
"""

import json

from pydantic import BaseModel, JsonValue

from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import AssistantMessage, CacheControl, Message

Object = dict[str, JsonValue]


def body(request: ChatRequest, thoughts: frozenset[str] = frozenset()) -> bytes | None:
    """The body for such a lane, None where it is that of every lane. `thoughts`: blobs that it may be given again."""
    told = [_message(message, thoughts) for message in request.messages]
    tools = [_mark(tool.cache_control) for tool in request.tools or ()]
    if not (any(told) or any(tools) or request.cache_control):
        return None
    sent = request.sent()
    for i, more in enumerate(told):
        _merge(sent["messages"], i, more)
    for i, more in enumerate(tools):
        _merge(sent["tools"], i, more)
    return json.dumps(sent | _mark(request.cache_control), ensure_ascii=False).encode()


def _merge(items: JsonValue, index: int, more: Object) -> None:
    if more:
        assert isinstance(items, list)
        item = items[index]
        assert isinstance(item, dict)
        item |= more


def _message(message: Message, thoughts: frozenset[str]) -> Object:
    """What is put into the place of the same fields of a message."""
    more: Object = {}
    if not isinstance(message.content, str | None) and any(_marked(part) for part in message.content):
        more["content"] = [_dumped(part) for part in message.content]
    if isinstance(message, AssistantMessage):
        if any(call.cache_control for call in message.tool_calls or ()):
            more["tool_calls"] = [_dumped(call) for call in message.tool_calls or ()]
        own = message.thinking_blocks or []
        if own and all(one.blob in thoughts for one in own):
            more["thinking_blocks"] = [one.model_dump(mode="json", exclude_none=True) for one in own]
    return more


def _marked(part: BaseModel) -> CacheControl | None:
    found: CacheControl | None = getattr(part, "cache_control", None)
    return found


def _dumped(part: BaseModel) -> Object:
    document: Object = part.model_dump(mode="json", exclude_none=True)
    return document | _mark(_marked(part))


def _mark(control: CacheControl | None) -> Object:
    return {} if control is None else {"cache_control": control.model_dump(mode="json", exclude_none=True)}
