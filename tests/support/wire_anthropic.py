"""Anthropic messages: body to Ask, Answer to JSON or events.

Knows this wire's shapes and order of events. Does not know faults or sockets.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.support.answers import SIGNATURE, Answer, Ask, BadAsk, Tool, Usage, estimate
from tests.support.faults import TroubleKind
from tests.support.sse import Frame, Kind, dump

PATH = "/v1/messages"
REQUEST_ID = "request-id"

Json = dict[str, Any]

# Parameters each version refuses: https://platform.claude.com/docs/en/api/versioning
_VERSIONS: dict[str, frozenset[str]] = {
    "2023-06-01": frozenset(),
    "2026-10-21": frozenset({"temperature", "top_p", "top_k"}),
}
_TROUBLES: dict[TroubleKind, str] = {
    "server": "api_error",
    "overloaded": "overloaded_error",
    "rate_limit": "rate_limit_error",
    "auth": "authentication_error",
    "not_found": "not_found_error",
}
_FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
}


def read(body: Json, headers: dict[str, str]) -> Ask:
    """The question in `body`. Raises BadAsk where the provider would answer 400."""
    _check_version(body, headers)
    _check_messages(body)
    messages, max_tokens = body["messages"], body.get("max_tokens")
    if not isinstance(max_tokens, int) or max_tokens < 1:
        raise BadAsk("max_tokens: Field required")
    thinking = _thinking(body, max_tokens)
    system = _texts(body.get("system") or "")
    return Ask(
        model=body["model"],
        prompt=_last_user(messages),
        input_tokens=estimate(messages, system, body.get("tools")),
        tools=tuple(Tool(each["name"], each["input_schema"]) for each in body.get("tools") or ()),
        choice=_choice(body.get("tool_choice") or {"type": "auto"}),
        after_tool=_after_tool(messages[-1]["content"]),
        schema=_schema((body.get("output_config") or {}).get("format")),
        max_tokens=max_tokens,
        stop=tuple(body.get("stop_sequences") or ()),
        stream=body.get("stream") is True,
        thinking=thinking,
        hides=(body.get("thinking") or {}).get("display") == "omitted",
    )


def _thinking(body: Json, max_tokens: int) -> bool:
    """Whether it shall think. As strict as the real one about what goes with it."""
    wanted = body.get("thinking") or {"type": "disabled"}
    if wanted["type"] == "disabled":
        return False
    if (body.get("tool_choice") or {"type": "auto"})["type"] in ("any", "tool"):
        raise BadAsk("Thinking may not be enabled when tool_choice forces tool use.")
    if wanted["type"] == "enabled":
        if not 1024 <= wanted["budget_tokens"] < max_tokens:
            raise BadAsk("max_tokens must be greater than thinking.budget_tokens")
        if _after_tool(body["messages"][-1]["content"]) and not _thought_before(body["messages"]):
            raise BadAsk("Expected `thinking`, but found `tool_use`.")
    return True


def _thought_before(messages: list[Json]) -> bool:
    """Whether the loop of tools that goes on began with a thought."""
    begun: Json = {}
    for message in reversed(messages):
        if message["role"] == "user" and not _after_tool(message["content"]):
            break
        begun = message if message["role"] == "assistant" else begun
    content = begun.get("content")
    return isinstance(content, list) and content[0]["type"] in ("thinking", "redacted_thinking")


def _check_thoughts(messages: list[Json]) -> None:
    """Only what was signed here, and before all else in its turn."""
    for message in messages:
        if message["role"] != "assistant" or isinstance(message["content"], str):
            continue
        closed = [b.get("signature", b.get("data")) for b in message["content"] if "thinking" in b["type"]]
        if any(one != SIGNATURE for one in closed):
            raise BadAsk("Invalid `signature` in `thinking` block")
        if any("thinking" in b["type"] for b in message["content"][len(closed) :]):
            raise BadAsk("`thinking` blocks cannot be modified")


def _check_version(body: Json, headers: dict[str, str]) -> None:
    version = headers.get("anthropic-version")
    if version is None:
        raise BadAsk("anthropic-version: header is required")
    if version not in _VERSIONS:
        raise BadAsk(f'anthropic-version: "{version}" is not a valid version')
    for name in _VERSIONS[version] & body.keys():
        raise BadAsk(f"{name}: Extra inputs are not permitted")


def _check_messages(body: Json) -> None:
    """As strict as the current models: no prefill, and system text only right after a user turn."""
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise BadAsk("messages: Field required")
    roles = [message["role"] for message in body["messages"]]
    for before, role in pairwise(["", *roles]):
        if role not in ("user", "assistant") and (before, role) != ("user", "system"):
            raise BadAsk(f'messages: Unexpected role "{role}"')
    if roles[-1] == "assistant":
        raise BadAsk("This model does not support assistant message prefill.")
    _check_thoughts(body["messages"])


def _texts(content: str | list[Json]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block["type"] == "text")


def _last_user(messages: list[Json]) -> str:
    """The last user text; a message of tool results alone has none and is passed over."""
    said = (_texts(each["content"]) for each in reversed(messages) if each["role"] == "user")
    return next((text for text in said if text), "")


def _choice(choice: Json) -> str:
    return str(choice["name"] if choice["type"] == "tool" else choice["type"])


def _after_tool(content: str | list[Json]) -> bool:
    return not isinstance(content, str) and any(block["type"] == "tool_result" for block in content)


def _schema(wanted: Json | None) -> Json | None:
    return dict(wanted["schema"]) if wanted else None


def unary(ask: Ask, answer: Answer, serial: int) -> Json:
    """The whole answer as one object."""
    body = _message(ask, serial) | {"content": _content(ask, answer, serial)} | _stop(answer)
    if answer.usage:
        body["usage"] = _taken(answer.usage) | {"output_tokens": answer.usage.completion}
    return body


def _content(ask: Ask, answer: Answer, serial: int) -> list[Json]:
    return [*_thoughts(ask, answer), *_talk(answer), _block(answer, serial)]


def _thoughts(ask: Ask, answer: Answer) -> list[Json]:
    """One that can be read, or is hidden, and one that is closed."""
    if answer.thought is None:
        return []
    text = "" if ask.hides else answer.thought
    return [
        {"type": "thinking", "thinking": text, "signature": SIGNATURE},
        {"type": "redacted_thinking", "data": SIGNATURE},
    ]


def _thought_frames(ask: Ask, answer: Answer) -> Iterator[Frame]:
    for index, block in enumerate(_thoughts(ask, answer)):
        empty = {"thinking": "", "signature": ""} if block["type"] == "thinking" else {}
        yield _frame("start", "content_block_start", index=index, content_block=block | empty)
        if block.get("thinking"):
            delta = {"type": "thinking_delta", "thinking": block["thinking"]}
            yield _frame("start", "content_block_delta", index=index, delta=delta)
        if block["type"] == "thinking":
            delta = {"type": "signature_delta", "signature": SIGNATURE}
            yield _frame("start", "content_block_delta", index=index, delta=delta)
        yield _frame("start", "content_block_stop", index=index)


def _talk(answer: Answer) -> list[Json]:
    return [{"type": "text", "text": "".join(answer.talk)}] if answer.talk else []


def _block(answer: Answer, serial: int) -> Json:
    if not answer.call:
        return {"type": "text", "text": answer.text}
    return {"type": "tool_use", "id": f"toolu_{serial}", "name": answer.call, "input": _parsed(answer.text)}


def _parsed(arguments: str) -> Any:
    """Arguments as an object. Broken ones stay a string: this wire has no other place for them."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def frames(ask: Ask, answer: Answer, serial: int) -> Iterator[Frame]:
    """The answer as events, in the documented order."""
    message = _message(ask, serial) | {"content": [], "stop_reason": None, "stop_sequence": None}
    if answer.usage:
        message["usage"] = {"input_tokens": 0} if answer.usage.late else _taken(answer.usage)
        message["usage"] |= {"output_tokens": 0 if answer.usage.late else 1}
    yield _frame("start", "message_start", message=message)
    yield from _thought_frames(ask, answer)
    first = len(_thoughts(ask, answer))
    yield from _talk_frames(answer, first)
    index = first + len(_talk(answer))
    empty: Json = {"input": {}} if answer.call else {"text": ""}
    yield _frame("start", "content_block_start", index=index, content_block=_block(answer, serial) | empty)
    yield _frame("start", "ping")
    for piece in answer.pieces:
        yield _frame("content", "content_block_delta", index=index, delta=_delta(answer, piece))
    yield _frame("end", "content_block_stop", index=index)
    yield _frame("end", "message_delta", delta=_stop(answer), **_spent(answer.usage))
    yield _frame("done", "message_stop")


def _spent(usage: Usage | None) -> Json:
    if usage is None:
        return {}
    return {"usage": (_taken(usage) if usage.late else {}) | {"output_tokens": usage.completion}}


def _taken(usage: Usage) -> Json:
    if not usage.read:
        return {"input_tokens": usage.prompt}
    return {
        "input_tokens": usage.prompt - usage.read - usage.written,
        "cache_read_input_tokens": usage.read,
        "cache_creation_input_tokens": usage.written,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.written, "ephemeral_1h_input_tokens": 0},
    }


def _talk_frames(answer: Answer, index: int) -> Iterator[Frame]:
    if answer.talk:
        yield _frame("start", "content_block_start", index=index, content_block={"type": "text", "text": ""})
        for piece in answer.talk:
            delta = {"type": "text_delta", "text": piece}
            yield _frame("content", "content_block_delta", index=index, delta=delta)
        yield _frame("start", "content_block_stop", index=index)


def _frame(kind: Kind, event: str, **rest: Any) -> Frame:
    return Frame(dump({"type": event} | rest), kind, event, tokens=int(kind == "content"))


def _delta(answer: Answer, piece: str) -> Json:
    if answer.call:
        return {"type": "input_json_delta", "partial_json": piece}
    return {"type": "text_delta", "text": piece}


def _message(ask: Ask, serial: int) -> Json:
    return {"id": f"msg_{serial}", "type": "message", "role": "assistant", "model": ask.model}


def _stop(answer: Answer) -> Json:
    return {"stop_reason": _FINISH[answer.finish], "stop_sequence": answer.stopped_by}


def error(kind: TroubleKind, message: str) -> Json:
    """An error body."""
    return {
        "type": "error",
        "error": {"type": _TROUBLES.get(kind, "invalid_request_error"), "message": message},
    }


def error_frame(message: str) -> Frame:
    """An error in the middle of a stream."""
    return Frame(dump(error("overloaded", message)), "end", "error")


def models(names: list[str]) -> Json:
    """The answer to GET /v1/models."""
    epoch = "1970-01-01T00:00:00Z"
    data = [{"id": name, "type": "model", "display_name": name, "created_at": epoch} for name in names]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
