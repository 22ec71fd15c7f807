"""From a Responses request to the chat request that it stands for.

Knows both shapes. Does not know what became of earlier responses: their messages are handed in.
"""

import json
from collections.abc import Iterable, Sequence

from pydantic import JsonValue, ValidationError

from serve.bounds import Bounds, check_count, check_text
from serve.errors import InvalidRequest
from serve.surfaces import fault
from serve.surfaces.responses.wire import (
    ITEMS,
    AllowedTools,
    CallItem,
    CallOutputItem,
    FunctionChoice,
    FunctionTool,
    InputImage,
    InputSound,
    InputText,
    Item,
    MessageItem,
    Part,
    Refusal,
    ResponseRequest,
    SchemaText,
)

Message = dict[str, JsonValue]


def parse(body: bytes, bounds: Bounds) -> ResponseRequest:
    """Bytes to request. Raises InvalidRequest that names the client's own field; never echoes content."""
    check_text(body, bounds)
    try:
        request = ResponseRequest.model_validate_json(body)
    except ValidationError as error:
        raise fault.invalid(body, error) from None
    if (foreign := request.foreign) is not None:
        where = f"tools[{foreign}].type"
        raise InvalidRequest(f"{where}: Input should be 'function'", param=where)
    items = [] if isinstance(request.input, str) else request.input
    check_count("messages", len(items), bounds.messages, "input")
    check_count("parts", sum(_parts(item) for item in items), bounds.parts, "input")
    return request


def chat_body(request: ResponseRequest, messages: Sequence[Message]) -> bytes:
    """The chat request as JSON. Raises InvalidRequest for a `tool_choice` that names no tool."""
    told: list[Message] = (
        [{"role": "system", "content": request.instructions}] if request.instructions else []
    )
    allowed, choice = _choice(request)
    fields: dict[str, JsonValue] = {
        "model": request.model,
        "messages": [*told, *messages],
        "stream": request.stream,
        "stream_options": {"include_usage": True} if request.stream else None,
        "tools": [_tool(tool) for tool in allowed] or None,
        "tool_choice": choice,
        "parallel_tool_calls": request.parallel_tool_calls if allowed else None,
        "response_format": _format(request),
        "max_completion_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "logprobs": True if request.wants_logprobs else None,
        "top_logprobs": request.top_logprobs if request.wants_logprobs else None,
        "user": request.user,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()


def left_out(request: ResponseRequest) -> Message:
    """What of the request the chat request leaves out, and its response repeats: `metadata`, tools not allowed."""
    offered = {tool.name for tool in _choice(request)[0]}
    tools: list[JsonValue] = [
        tool.model_dump(mode="json") for tool in request.functions if tool.name not in offered
    ]
    return {"metadata": {**(request.metadata or {})}, "tools": tools}


def messages_of(request: ResponseRequest, earlier: Sequence[Message]) -> list[Message]:
    """`earlier` and what `input` adds to it. Raises InvalidRequest for an output that answers no call."""
    if isinstance(request.input, str):
        return [*earlier, {"role": "user", "content": request.input}]
    return _Conversation(earlier).extended(request.input)


def spoken(earlier: Sequence[Message], output: JsonValue) -> list[Message]:
    """`earlier` and the items of an answer."""
    return _Conversation(earlier).extended(ITEMS.validate_python(output))


class _Conversation:
    """Chat messages that grow by items."""

    def __init__(self, earlier: Sequence[Message]) -> None:
        self._messages = [*earlier]
        self._called = {call_id for message in earlier for call_id in _call_ids(message)}
        self._fresh = False  # the last message is an assistant's that these very items began
        self._pictures: list[JsonValue] = []  # of results that nothing else has followed yet

    def extended(self, items: Iterable[Item]) -> list[Message]:
        for i, item in enumerate(items):
            if isinstance(item, MessageItem):
                self._say(item, f"input[{i}]")
            elif isinstance(item, CallItem):
                self._call(item)
            elif isinstance(item, CallOutputItem):
                self._answer(item, f"input[{i}]")
        self._show()
        return self._messages

    def _show(self) -> None:
        """The images of results, behind the last of them: a chat wants results together, and text alone in them."""
        if self._pictures:
            self._messages.append({"role": "user", "content": self._pictures})
            self._pictures = []

    def _say(self, item: MessageItem, where: str) -> None:
        content = _content(item, where)
        self._show()
        if item.role == "assistant" and self._fresh and self._messages[-1].get("tool_calls"):
            # Between a call and its result a chat has no place for words: they join the message that calls.
            self._messages[-1]["content"] = _joined(self._messages[-1].get("content"), content)
            return
        self._messages.append({"role": item.role, "content": content})
        self._fresh = item.role == "assistant"

    def _call(self, item: CallItem) -> None:
        self._show()
        if not self._fresh:
            self._messages.append({"role": "assistant"})
            self._fresh = True
        function: Message = {"name": item.name, "arguments": item.arguments}
        call: Message = {"id": item.call_id, "type": "function", "function": function}
        calls = self._messages[-1].setdefault("tool_calls", [])
        assert isinstance(calls, list)
        calls.append(call)
        self._called.add(item.call_id)

    def _answer(self, item: CallOutputItem, where: str) -> None:
        if item.call_id not in self._called:
            raise InvalidRequest(
                f"{where}.call_id: no function_call before it has this call_id", param=f"{where}.call_id"
            )
        output, pictures = _result(item)
        self._messages.append({"role": "tool", "tool_call_id": item.call_id, "content": output})
        self._pictures += pictures
        self._fresh = False


def _call_ids(message: Message) -> Iterable[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call_id := call.get("id"), str):
            yield call_id


def _result(item: CallOutputItem) -> tuple[JsonValue, list[JsonValue]]:
    """What a tool message says of a result, and its images with their origin."""
    if isinstance(item.output, str):
        return item.output, []
    texts: list[JsonValue] = [
        {"type": "text", "text": part.text} for part in item.output if isinstance(part, InputText)
    ]
    images: list[JsonValue] = [_image(part) for part in item.output if isinstance(part, InputImage)]
    words: Message = {"type": "text", "text": f"From the result of {item.call_id}:"}
    return texts or "", [words, *images] if images else []


def _content(item: MessageItem, where: str) -> JsonValue:
    if isinstance(item.content, str):
        return item.content
    parts = [_part(part, item.role, f"{where}.content[{j}].type") for j, part in enumerate(item.content)]
    only = parts[0]
    return only["text"] if len(parts) == 1 and only["type"] == "text" else list[JsonValue](parts)


def _part(part: Part, role: str, where: str) -> Message:
    if isinstance(part, InputImage | InputSound) and role != "user":
        raise InvalidRequest(f"{where}: only a user's message may have a part of this type", param=where)
    if isinstance(part, InputImage):
        return _image(part)
    if isinstance(part, InputSound):
        return {"type": "input_audio", "input_audio": part.input_audio.model_dump()}
    if isinstance(part, Refusal):
        if role != "assistant":
            raise InvalidRequest(f"{where}: only an assistant's message may have a refusal", param=where)
        return {"type": "refusal", "refusal": part.refusal}
    return {"type": "text", "text": part.text}


def _image(part: InputImage) -> Message:
    image: Message = {"url": part.image_url}
    return {"type": "image_url", "image_url": image | ({"detail": part.detail} if part.detail else {})}


def _joined(first: JsonValue, second: JsonValue) -> JsonValue:
    return second if first is None else [*_listed(first), *_listed(second)]


def _listed(content: JsonValue) -> list[JsonValue]:
    if isinstance(content, list):
        return content
    text: Message = {"type": "text", "text": content}
    return [text]


def _choice(request: ResponseRequest) -> tuple[list[FunctionTool], JsonValue]:
    """The tools on offer and how one of them is chosen, as chat says it."""
    tools, choice = request.functions, request.tool_choice
    if isinstance(choice, FunctionChoice):
        _require({choice.name}, tools, "tool_choice.name")
        return tools, {"type": "function", "function": {"name": choice.name}}
    if isinstance(choice, AllowedTools):
        names = {tool.name for tool in choice.tools}
        _require(names, tools, "tool_choice.tools")
        return [tool for tool in tools if tool.name in names], choice.mode
    return tools, choice


def _require(names: set[str], tools: Sequence[FunctionTool], field: str) -> None:
    if not names <= {tool.name for tool in tools}:
        raise InvalidRequest(f"{field} names a function that is not in tools", param=field)


def _tool(tool: FunctionTool) -> Message:
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _format(request: ResponseRequest) -> JsonValue:
    wanted = request.text.format if request.text else None
    if wanted is None or wanted.type == "text":
        return None
    if isinstance(wanted, SchemaText):
        fields = wanted.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)
        return {"type": "json_schema", "json_schema": fields}
    return {"type": "json_object"}


def _parts(item: Item) -> int:
    listed = item.content if isinstance(item, MessageItem) else getattr(item, "output", None)
    return len(listed) if isinstance(listed, list) else 0
