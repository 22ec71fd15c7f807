"""OpenAI embeddings: a vector of each input that only depends on its text. Faults of chat answers apply to the call."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.support import wire_openai
from tests.support.answers import Answer, Ask, BadAsk
from tests.support.faults import TroubleKind
from tests.support.sse import Frame

PATH = "/v1/embeddings"
REQUEST_ID = "x-request-id"
WIDTH = 8

Json = dict[str, Any]


def vector(text: str, width: int = WIDTH) -> list[float]:
    """The vector of `text`: the same in every process, every number in float32 exactly."""
    digest = hashlib.shake_256(text.encode()).digest(width)
    return [byte / 256 for byte in digest]


def read(body: Json, headers: dict[str, str]) -> Ask:
    """The whole question, as JSON, in `prompt`. Raises BadAsk where the provider would answer 400."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise BadAsk("'input' must be a text or a list of texts.")
    asked = {name: body.get(name) for name in ("dimensions", "encoding_format")}
    tokens = sum(len(text) // 4 + 1 for text in texts)
    return Ask(body["model"], json.dumps(asked | {"texts": texts}), tokens)


def unary(ask: Ask, answer: Answer, serial: int) -> Json:
    """The vectors, in reverse order: clients go by `index`."""
    asked = json.loads(ask.prompt)
    fault = ask.model.rpartition("/")[2]
    rows = [vector(text, asked["dimensions"] or WIDTH) for text in asked["texts"]]
    if fault == "vectors_missing":
        rows.pop()
    if fault == "vectors_uneven":
        rows[-1].append(0.5)
    if fault == "vectors_nan":
        rows[0][0] = float("nan")
    as_base64 = asked["encoding_format"] == "base64" and fault != "vectors_float"
    data = [
        {"object": "embedding", "index": i, "embedding": _packed(row) if as_base64 else row}
        for i, row in enumerate(rows)
    ]
    body: Json = {"object": "list", "model": ask.model, "data": data[::-1]}
    if answer.usage:
        body["usage"] = {"prompt_tokens": answer.usage.prompt, "total_tokens": answer.usage.prompt}
    return body


def _packed(row: list[float]) -> str:
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()


def frames(ask: Ask, answer: Answer, serial: int) -> Iterator[Frame]:
    """This API does not stream."""
    raise BadAsk("embeddings do not stream")


def error(kind: TroubleKind, message: str) -> Json:
    """An error body."""
    return wire_openai.error(kind, message)


def error_frame(message: str) -> Frame:
    """An error in the middle of a stream."""
    return wire_openai.error_frame(message)


def models(names: list[str]) -> Json:
    """The answer to GET /v1/models."""
    return wire_openai.models(names)
