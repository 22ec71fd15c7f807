"""One row of a log of requests or of a usage export, read as what it says of tokens, model and messages.

Takes OpenAI's request as it is, a request beside its response, and rows of usage without any messages. Nothing of a
line is ever quoted.
"""

import json
from dataclasses import dataclass

from pydantic import JsonValue

from serve.outcomes.analyze.counts import BadLine, Counts, Fields, counts, first

LONGEST = 64 << 20

_CALLS = ("num_model_requests", "n_requests", "num_requests", "requests")
_MODEL = ("model", "model_version", "snapshot_id", "model_id")
_REQUEST = ("request", "body", "input", "params")
_RESPONSE = ("response", "output", "completion", "result")


@dataclass(frozen=True, slots=True)
class Line:
    """`request`: the chat request as JSON, None for usage alone."""

    model: str
    request: bytes | None
    tokens: Counts
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
    tokens = counts(usage)
    if asked is None and tokens.input is None and tokens.output is None:
        raise BadLine("neither messages nor numbers of tokens")
    calls = first(value, _CALLS) if asked is None else 1
    request_body = None if asked is None else _chat(asked)
    return Line(model or "unknown", request_body, tokens, 1 if calls is None else calls)


def _inner(value: Fields, names: tuple[str, ...]) -> Fields:
    for name in names:
        inner = value.get(name)
        if isinstance(inner, dict):
            return inner
    return {}


def _text(value: Fields) -> str | None:
    found = next((value[name] for name in _MODEL if isinstance(value.get(name), str)), None)
    return found[:64] if isinstance(found, str) and found.isprintable() else None


def _chat(asked: Fields) -> bytes:
    """The request as a client would send it here."""
    return json.dumps({**asked, "model": "auto", "stream": False} | {"stream_options": None}).encode()
