"""Errors in Anthropic's shape, on every path of the Messages API, whoever of us answers there."""

from typing import Literal

from pydantic import BaseModel, JsonValue

from serve.errors import HttpError, ThreadUnsupported

ROOT = "/v1/messages"

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# What the Router calls a field, and what it is called here.
_FIELDS = {
    "function.parameters": "input_schema",
    "response_format.json_schema.schema": "output_config.format.schema",
    "tool_choice.function.name": "tool_choice.name",
}


# The SDK's tool runner reads this, and then sends the same turn with its whole history.
_NO_THREADS: JsonValue = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


class MessagesErrorReason(BaseModel):
    """What Anthropic's SDK acts on: the fields that are not supported, and its own code for that."""

    error_code: str
    unsupported: list[str]


class MessagesErrorDetail(BaseModel):
    """`type` is Anthropic's; `code` and `param` are ours, as on every path. `details`: only of a refused `thread`."""

    type: str
    message: str
    code: str
    param: str | None
    details: MessagesErrorReason | None = None


class MessagesErrorBody(BaseModel):
    """An error in Anthropic's shape."""

    type: Literal["error"]
    error: MessagesErrorDetail


def covers(path: str) -> bool:
    """Whether callers of `path` expect Anthropic's shape."""
    return path == ROOT or path.startswith(f"{ROOT}/")


def body(error: HttpError) -> JsonValue:
    """The body of an error answer, and the data of an error event."""
    detail: dict[str, JsonValue] = {
        "type": _type(error),
        "message": _renamed(error.message),
        "code": error.code,
        "param": _renamed(error.param) if error.param else None,
    }
    if isinstance(error, ThreadUnsupported):
        detail["details"] = _NO_THREADS
    return {"type": "error", "error": detail}


def on(path: str, error: HttpError) -> JsonValue:
    """The body of `error` as callers of `path` expect it."""
    return body(error) if covers(path) else {"error": dict(error.body()["error"])}


def _type(error: HttpError) -> str:
    other = "api_error" if error.status >= 500 else "invalid_request_error"
    return _TYPES.get(error.status, other)


def _renamed(text: str) -> str:
    for theirs, ours in _FIELDS.items():
        text = text.replace(theirs, ours)
    return text
