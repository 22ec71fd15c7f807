"""OpenAI Completions, the legacy API: a bare prompt, asked as the one message of a chat."""

import json
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationError

from serve.bounds import Bounds, check_text
from serve.errors import HttpError, InvalidRequest
from serve.job import ChunkStream
from serve.ledger import told
from serve.ledger.bill import Bill
from serve.surfaces import broken, fault
from serve.wire.openai_answer import ChatChunk, ChatCompletion
from serve.wire.openai_chat import StreamOptions
from serve.wire.openai_messages import Stop, Wire

DEFAULT_MAX_TOKENS = 16
"""What OpenAI gives a client that sets no `max_tokens`."""

NAMES = ((re.compile(r"^messages\b.*"), "prompt"), (re.compile(r"^max_completion_tokens\b"), "max_tokens"))


class CompletionRequest(Wire):
    """A prompt as text. What a chat cannot give (a suffix, log probabilities of a prompt) is refused."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] | None = None
    best_of: int | None = None
    stop: Stop | Annotated[list[Stop], Field(min_length=1, max_length=4)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    echo: bool | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    logprobs: None = None
    suffix: Literal[""] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

    @property
    def text(self) -> str:
        """The prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


class CompletionChoice(Wire):
    text: str
    index: int
    logprobs: None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None


class TextCompletion(Wire):
    """An answer, or a chunk of one."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: dict[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class CompletionExchange:
    """One completion."""

    request: CompletionRequest
    body: bytes

    def whole(self, answer: ChatCompletion) -> JsonValue:
        """The completion."""
        before = self.request.text if self.request.echo else ""
        choices = [
            CompletionChoice(
                text=before + (choice.message.content or choice.message.refusal or ""),
                index=choice.index,
                finish_reason=_finish(choice.finish_reason or "stop"),
            )
            for choice in answer.choices
        ]
        return _document(answer, choices)

    async def events(self, chunks: ChunkStream, bill: Bill) -> AsyncGenerator[bytes, None]:
        """The chunks, their cost before the end: `[DONE]` only after a whole answer."""
        echoed: set[int] = set() if self.request.echo else set(range(self.request.n or 1))
        usage: ChatChunk | None = None
        try:
            async for chunk in chunks:
                if told.carries_usage(chunk):
                    usage = chunk
                elif choices := self._choices(chunk, echoed):
                    yield _data(_document(chunk, choices))
        except Exception as error:  # after the first byte a bug is one more way to break off
            body: JsonValue = {"error": dict(broken.told(error).body()["error"])}
            yield told.comment(bill.cost) + _data(body)
            return
        if usage is not None:
            yield _data(_document(usage, []))
        yield told.comment(bill.cost) + b"data: [DONE]\n\n"

    def _choices(self, chunk: ChatChunk, echoed: set[int]) -> list[CompletionChoice]:
        choices = []
        for choice in chunk.choices:
            text = choice.delta.content or choice.delta.refusal or ""
            if choice.index not in echoed:
                echoed.add(choice.index)
                text = self.request.text + text
            if text or choice.finish_reason:
                finish = _finish(choice.finish_reason) if choice.finish_reason else None
                choices.append(CompletionChoice(text=text, index=choice.index, finish_reason=finish))
        return choices


class Completions:
    """`POST /v1/completions`."""

    path = "/v1/completions"

    def read(self, body: bytes, bounds: Bounds) -> CompletionExchange:
        """Raises InvalidRequest with the name of the field."""
        check_text(body, bounds)
        try:
            request = CompletionRequest.model_validate_json(body)
        except ValidationError as error:
            raise fault.invalid(body, error) from None
        if request.best_of not in (None, request.n or 1):
            raise InvalidRequest(
                "best_of: answers are not ranked here: leave it out, or send n", param="best_of"
            )
        return CompletionExchange(request, _chat(request))

    def error(self, error: HttpError) -> JsonValue:
        """OpenAI's error body."""
        return {"error": dict(fault.renamed(error, NAMES)["error"])}


def _chat(request: CompletionRequest) -> bytes:
    same = {"model", "stream", "stream_options", "temperature", "top_p", "n", "stop", "seed", "user"}
    same |= {"presence_penalty", "frequency_penalty"}
    fields = request.model_dump(mode="json", include=same, exclude_none=True) | {
        "messages": [{"role": "user", "content": request.text}],
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _finish(reason: str) -> Literal["stop", "length", "content_filter"]:
    if reason == "length":
        return "length"
    return "content_filter" if reason == "content_filter" else "stop"


def _document(answer: ChatCompletion | ChatChunk, choices: list[CompletionChoice]) -> JsonValue:
    usage = answer.usage.model_dump(mode="json", exclude_none=True) if answer.usage else None
    told_ = TextCompletion(
        id=answer.id, created=answer.created, model=answer.model, choices=choices, usage=usage
    )
    document: dict[str, JsonValue] = told_.model_dump(mode="json")
    if usage is None:
        del document["usage"]
    return document


def _data(document: JsonValue) -> bytes:
    return f"data: {json.dumps(document, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()
