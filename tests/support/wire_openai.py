"""OpenAI chat completions: body to Ask, Answer to JSON or events.

Knows this wire's shapes and order of events. Does not know faults or sockets.
"""

import time
from collections.abc import Iterator
from typing import Any

from tests.support.answers import Answer, Ask, BadAsk, Tool, Usage, estimate
from tests.support.faults import TroubleKind
from tests.support.sse import Frame, dump

PATH = "/v1/chat/completions"
REQUEST_ID = "x-request-id"

Json = dict[str, Any]

_TROUBLES: dict[TroubleKind, tuple[str, str | None]] = {
    "server": ("server_error", None),
    "overloaded": ("server_error", "overloaded"),
    "rate_limit": ("requests", "rate_limit_exceeded"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "context": ("invalid_request_error", "context_length_exceeded"),
    "not_found": ("invalid_request_error", "model_not_found"),
}
_ROLES = {"system", "developer", "user", "assistant", "tool"}


def read(body: Json, headers: dict[str, str]) -> Ask:
    """The question in `body`. Raises BadAsk where the provider would answer 400."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadAsk("Missing required parameter: 'messages'.")
    for message in messages:
        if message["role"] not in _ROLES:
            raise BadAsk(f"Invalid value: {message['role']!r} is not a role.")
    n = body.get("n") or 1
    if not 1 <= n <= 128:
        raise BadAsk("'n' must be between 1 and 128.")
    return Ask(
        model=body["model"],
        prompt=_last_user(messages),
        input_tokens=estimate(messages, body.get("tools")),
        tools=tuple(_tool(each) for each in body.get("tools") or ()),
        choice=_choice(body.get("tool_choice") or "auto"),
        after_tool=messages[-1]["role"] == "tool",
        schema=_schema(body.get("response_format") or {"type": "text"}),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=_stop(body.get("stop")),
        n=n,
        stream=body.get("stream") is True,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        logprobs=body.get("logprobs") is True,
    )


def _last_user(messages: list[Json]) -> str:
    content = next((each["content"] for each in reversed(messages) if each["role"] == "user"), "")
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _tool(tool: Json) -> Tool:
    return Tool(tool["function"]["name"], tool["function"].get("parameters") or {})


def _choice(choice: str | Json) -> str:
    if isinstance(choice, str):
        return "any" if choice == "required" else choice
    return str(choice["function"]["name"])


def _schema(wanted: Json) -> Json | None:
    match wanted["type"]:
        case "json_schema":
            return dict(wanted["json_schema"].get("schema") or {})
        case "json_object":
            return {}
        case _:
            return None


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


def unary(ask: Ask, answer: Answer, serial: int) -> Json:
    """The whole answer as one object."""
    body = _envelope(ask, serial, "chat.completion")
    body["choices"] = [_choice_object(ask, answer, serial, index) for index in range(ask.n)]
    if answer.usage:
        body["usage"] = _usage(answer.usage)
    return body


def _choice_object(ask: Ask, answer: Answer, serial: int, index: int) -> Json:
    message: Json = {"role": "assistant", "content": _content(answer), "refusal": None}
    if answer.call:
        function = {"name": answer.call, "arguments": answer.text}
        message["tool_calls"] = [{"id": _call_id(serial, index), "type": "function", "function": function}]
    logprobs = _logprobs(answer.pieces) if ask.logprobs and not answer.call else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": _finish(answer)}


def _content(answer: Answer) -> str | None:
    return ("".join(answer.talk) or None) if answer.call else answer.text


def frames(ask: Ask, answer: Answer, serial: int) -> Iterator[Frame]:
    """The answer as events: role, content or tool deltas, finish, usage, [DONE]."""
    choices = range(ask.n)
    for index in choices:
        yield _frame(
            ask, serial, "start", index, {"role": "assistant", "content": None if answer.call else ""}
        )
    for piece in answer.talk:
        for index in choices:
            yield _frame(ask, serial, "content", index, {"content": piece})
    if answer.call:
        for index in choices:
            function = {"name": answer.call, "arguments": ""}
            call = {"index": 0, "id": _call_id(serial, index), "type": "function", "function": function}
            yield _frame(ask, serial, "content", index, {"tool_calls": [call]})
    for piece in answer.pieces:
        for index in choices:
            yield _piece(ask, answer, serial, index, piece)
    for index in choices:
        yield _frame(ask, serial, "end", index, {}, finish_reason=_finish(answer))
    if ask.include_usage and answer.usage:
        last = _envelope(ask, serial, "chat.completion.chunk") | {
            "choices": [],
            "usage": _usage(answer.usage),
        }
        yield Frame(dump(last), "end")
    yield Frame("[DONE]", "done")


def _piece(ask: Ask, answer: Answer, serial: int, index: int, piece: str) -> Frame:
    if answer.call:
        return _frame(
            ask, serial, "content", index, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        )
    logprobs = _logprobs((piece,)) if ask.logprobs else None
    return _frame(ask, serial, "content", index, {"content": piece}, logprobs=logprobs)


def _frame(ask: Ask, serial: int, kind: Any, index: int, delta: Json, **rest: Any) -> Frame:
    body = _envelope(ask, serial, "chat.completion.chunk")
    body["choices"] = [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None} | rest]
    if ask.include_usage:
        body["usage"] = None
    names_tool = any("id" in call for call in delta.get("tool_calls", ()))
    return Frame(dump(body), kind, tokens=int(kind == "content" and not names_tool))


def _envelope(ask: Ask, serial: int, kind: str) -> Json:
    return {"id": f"chatcmpl-{serial}", "object": kind, "created": int(time.time()), "model": ask.model}


def _call_id(serial: int, index: int) -> str:
    return f"call_{serial}_{index}"


def _finish(answer: Answer) -> str:
    return "stop" if answer.finish == "stop_sequence" else answer.finish


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion + usage.unseen,
    }


def _logprobs(pieces: tuple[str, ...]) -> Json:
    tokens = [
        {"token": piece, "logprob": -0.1, "bytes": list(piece.encode("utf-8", "replace")), "top_logprobs": []}
        for piece in pieces
    ]
    return {"content": tokens, "refusal": None}


def error(kind: TroubleKind, message: str) -> Json:
    """An error body."""
    name, code = _TROUBLES.get(kind, ("invalid_request_error", None))
    return {"error": {"type": name, "code": code, "param": None, "message": message}}


def error_frame(message: str) -> Frame:
    """An error in the middle of a stream."""
    return Frame(dump(error("server", message)), "end")


def models(names: list[str]) -> Json:
    """The answer to GET /v1/models."""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "upstream"} for name in names]
    return {"object": "list", "data": data}
