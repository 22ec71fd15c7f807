"""OpenAI Embeddings: as clients send them, as the Router reads them, and as lanes answer.

Pure shapes; calls nothing. Vectors are float32 inside, whatever form they came in. A lane's answer is untrusted input.
Source of the shapes: OpenAI API reference, `POST /v1/embeddings`.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Discriminator, Field, JsonValue, Tag, ValidationError

from serve import ranks
from serve.bounds import Bounds, check_text
from serve.lane_errors import AnswerInvalid, LaneProtocolError, LaneUnavailable
from serve.wire.openai_answer import MOST_TOKENS, Usage
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import UserMessage, Wire
from serve.wire.refused import invalid

MOST_INPUTS = 2048
MOST_DIMENSIONS = 16_384
VOCABULARY = 100_256
"""Ordinary tokens of cl100k_base, the vocabulary of OpenAI's embedding models."""

Text = Annotated[str, Field(min_length=1)]
Token = Annotated[int, Field(strict=True, ge=0, lt=VOCABULARY)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True)]
Tokens = Annotated[list[Token], Field(min_length=1, fail_fast=True)]
TokenLists = Annotated[list[Tokens], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True)]


def _form(value: object) -> str:
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list):
        return "(lists of tokens)"
    if isinstance(first, int):
        return "(tokens)"
    return "(texts)" if isinstance(value, list) else "(a text)"


class EmbeddingRequest(Wire):
    """Texts to embed, or their tokens in cl100k_base."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Annotated[
        Annotated[Text, Tag("(a text)")]
        | Annotated[Texts, Tag("(texts)")]
        | Annotated[Tokens, Tag("(tokens)")]
        | Annotated[TokenLists, Tag("(lists of tokens)")],
        Discriminator(_form),
    ]
    dimensions: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str, Field(max_length=512)] | None = None


class Embed(ChatRequest):
    """A request for vectors in the Router's own language: each text is a user message, so that every signal, limit
    and budget reads it like any other request. Lanes get what `sent` says.

    Tokens have become text: what is sent is what was read.
    """

    inputs: tuple[str, ...]
    dimensions: int | None = None
    as_base64: bool = False

    @property
    def output_limit(self) -> int | None:
        """Vectors are no tokens."""
        return 0

    def sent(self) -> dict[str, JsonValue]:
        """The body as it goes to a lane, without `model`."""
        body: dict[str, JsonValue] = {"input": [*self.inputs], "encoding_format": "base64"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        return body | ({} if self.user is None else {"user": self.user})


@dataclass(frozen=True, slots=True)
class Vectors:
    """An answer: one row of little-endian float32 per input, in order. `usage_doubtful` as in chat answers."""

    model: str
    rows: tuple[bytes, ...]
    usage: Usage | None
    usage_doubtful: bool | None


class _Row(Wire):
    index: int
    embedding: str | list[float]


class _Document(Wire):
    model: str = ""
    data: list[_Row] = Field(max_length=MOST_INPUTS)
    usage: JsonValue = None
    error: JsonValue = None


def parse(body: bytes, bounds: Bounds) -> Embed:
    """Bytes to request. Raises InvalidRequest that names the field or the limit; never echoes content."""
    check_text(body, bounds)
    try:
        request = EmbeddingRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid(body, error) from None
    texts = _texts(request.input)
    return Embed(
        model=request.model,
        messages=[UserMessage(role="user", content=text) for text in texts],
        user=request.user,
        inputs=texts,
        dimensions=request.dimensions,
        as_base64=request.encoding_format == "base64",
    )


def _texts(given: str | list[str] | list[int] | list[list[int]]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if isinstance(given[0], int):
        return (_decoded([token for token in given if isinstance(token, int)]),)
    return tuple(
        item if isinstance(item, str) else _decoded(item) for item in given if not isinstance(item, int)
    )


def _decoded(tokens: Sequence[int]) -> str:
    words = ranks.cl100k()
    return b"".join(words[token] for token in tokens).decode("utf-8", "replace")


def vectors(lane: str, document: str, request: Embed) -> Vectors:
    """A lane's answer. Raises LaneProtocolError, LaneUnavailable, or AnswerInvalid for one that does not fit."""
    try:
        answer = _Document.model_validate_json(document)
    except ValidationError:
        raise LaneProtocolError(lane, "not a list of embeddings") from None
    if answer.error:
        raise LaneUnavailable(lane, "reported an error inside its answer")
    rows = _ordered(lane, answer.data, len(request.inputs))
    widths = {len(row) for row in rows}
    if len(widths) != 1 or request.dimensions not in (None, max(widths) // 4):
        raise AnswerInvalid(lane, "its vectors are not as long as they should be")
    usage = _usage(answer.usage)
    doubtful = True if usage is None and answer.usage is not None else None
    return Vectors(answer.model or request.model, rows, usage, doubtful)


def _ordered(lane: str, data: list[_Row], wanted: int) -> tuple[bytes, ...]:
    rows = {row.index: row.embedding for row in data}
    if len(data) != wanted or rows.keys() != set(range(wanted)):
        raise AnswerInvalid(lane, f"{len(data)} vectors came for {wanted} inputs")
    try:
        return tuple(_packed(rows[index]) for index in range(wanted))
    except ValueError:  # bad base64 too: binascii.Error is one
        raise AnswerInvalid(lane, "a vector is not made of numbers") from None


def _packed(vector: str | list[float]) -> bytes:
    """The vector as bytes. Raises ValueError."""
    if isinstance(vector, str):
        try:
            raw = base64.b64decode(vector, validate=True)
        except binascii.Error as error:
            raise ValueError("not base64") from error
        numbers = np.frombuffer(raw, dtype="<f4")
    else:
        with np.errstate(over="ignore"):
            numbers = np.asarray(vector, dtype="<f4")
    if not numbers.size or numbers.size > MOST_DIMENSIONS or not np.isfinite(numbers).all():
        raise ValueError("empty, too long, or not finite")
    return numbers.tobytes()


def _usage(reported: JsonValue) -> Usage | None:
    """What the lane reports, None where that is nothing or nonsense."""
    taken = reported.get("prompt_tokens") if isinstance(reported, dict) else None
    if not isinstance(taken, int) or isinstance(taken, bool) or not 0 <= taken <= MOST_TOKENS:
        return None
    return Usage(prompt_tokens=taken, completion_tokens=0, total_tokens=taken)


class EmbeddingShown(Wire):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Wire):
    """Tokens as the lane reported them, zeros where it reported none."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Wire):
    """The answer of `POST /v1/embeddings`. `model`: whose vectors they are; those of two models do not compare."""

    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddingShown]
    usage: EmbeddingUsage


def told(found: Vectors, request: Embed) -> bytes:
    """The answer as JSON, in the form that the client asked for."""
    taken = found.usage.prompt_tokens if found.usage else 0
    document = {
        "object": "list",
        "model": found.model,
        "data": [
            {"object": "embedding", "index": i, "embedding": _shown(row, request.as_base64)}
            for i, row in enumerate(found.rows)
        ],
        "usage": {"prompt_tokens": taken, "total_tokens": taken},
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _shown(row: bytes, as_base64: bool) -> str | list[float]:
    if as_base64:
        return base64.b64encode(row).decode()
    numbers: list[float] = np.frombuffer(row, dtype="<f4").tolist()
    return numbers
