"""One line of a log of requests or of a usage export, read as what it says of tokens, model and messages.

Takes OpenAI's request as it is, a request beside its response, and rows of usage without any messages. Nothing of a
line is ever quoted.
"""

import json
from dataclasses import dataclass

from pydantic import JsonValue

LONGEST = 64 << 20
MOST_TOKENS = 10_000_000_000

_IN = ("prompt_tokens", "input_tokens", "n_context_tokens_total", "context_tokens")
_OUT = ("completion_tokens", "output_tokens", "n_generated_tokens_total", "generated_tokens")
_CALLS = ("num_model_requests", "n_requests", "num_requests", "requests")
_MODEL = ("model", "snapshot_id", "model_id")
_REQUEST = ("request", "body", "input", "params")
_RESPONSE = ("response", "output", "completion", "result")

Fields = dict[str, JsonValue]


class BadLine(ValueError):
    """A line that says nothing; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Line:
    """`request`: the chat request as JSON, None for usage alone. Tokens are None where nothing says how many."""

    model: str
    request: bytes | None
    input_tokens: int | None
    output_tokens: int | None
    calls: int = 1


def read(raw: bytes) -> Line:
    """Raises BadLine."""
    if len(raw) > LONGEST:
        raise BadLine("the line is too long")
    try:
        value: JsonValue = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadLine("not JSON") from None
    if not isinstance(value, dict):
        raise BadLine("not a JSON object")
    request, response = _inner(value, _REQUEST), _inner(value, _RESPONSE)
    response = _inner(response, ("body",)) or response  # as in OpenAI's batch files
    asked = next((one for one in (request, value) if isinstance(one.get("messages"), list)), None)
    usage = _inner(response, ("usage",)) or _inner(value, ("usage",)) or value
    model = _text(asked or {}) or _text(value) or _text(request) or _text(response)
    taken, given = _count(usage, _IN), _count(usage, _OUT)
    if asked is None and taken is None and given is None:
        raise BadLine("neither messages nor numbers of tokens")
    calls = _count(value, _CALLS) if asked is None else 1
    request_body = None if asked is None else _chat(asked)
    return Line(model or "unknown", request_body, taken, given, 1 if calls is None else calls)


def _inner(value: Fields, names: tuple[str, ...]) -> Fields:
    for name in names:
        inner = value.get(name)
        if isinstance(inner, dict):
            return inner
    return {}


def _text(value: Fields) -> str | None:
    found = next((value[name] for name in _MODEL if isinstance(value.get(name), str)), None)
    return found[:64] if isinstance(found, str) and found.isprintable() else None


def _count(value: Fields, names: tuple[str, ...]) -> int | None:
    """Raises BadLine for a number of tokens that cannot be."""
    for name in names:
        found = value.get(name)
        if found is None:
            continue
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MOST_TOKENS:
            raise BadLine(f"{name} is no number of tokens or calls")
        return found
    return None


def _chat(asked: Fields) -> bytes:
    """The request as a client would send it here."""
    return json.dumps({**asked, "model": "auto", "stream": False} | {"stream_options": None}).encode()
