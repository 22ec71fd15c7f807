"""`POST /v1/responses`: one request, its chat request, and the answer in OpenAI's newer shape."""

import json
import re
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from serve.bounds import Bounds
from serve.errors import HttpError
from serve.job import ChunkStream
from serve.ledger import told
from serve.ledger.bill import Bill
from serve.surfaces import broken, fault
from serve.surfaces.responses import read
from serve.surfaces.responses.story import Document, Story, told_whole
from serve.surfaces.responses.wire import ResponseRequest
from serve.wire.openai_answer import ChatCompletion, as_chunks

Keep = Callable[[Document], Awaitable[bool]]

# Fields of the chat request, where the Router names one, by the client's own names.
NAMES = (
    (re.compile(r"^messages\b.*"), "input"),
    (re.compile(r"^tools\[(\d+)\]\.function\b"), r"tools[\1]"),
    (re.compile(r"^response_format\.json_schema\b"), "text.format"),
    (re.compile(r"^response_format\b"), "text.format"),
    (re.compile(r"^tool_choice\.function\b"), "tool_choice"),
    (re.compile(r"^max_(completion_)?tokens\b"), "max_output_tokens"),
)


@dataclass(frozen=True, slots=True)
class ResponsesExchange:
    """One request for a response.

    earlier  messages of the responses before it
    stored   whether the answer will be kept, and how
    """

    request: ResponseRequest
    id: str
    created: int
    body: bytes
    messages: Sequence[read.Message] = ()
    keep: Keep | None = None

    def whole(self, answer: ChatCompletion) -> JsonValue:
        """The response."""
        return self.document(answer)

    def document(self, answer: ChatCompletion) -> Document:
        """The response."""
        return told_whole(self._fixed(), as_chunks(answer, include_usage=True))

    async def events(self, chunks: ChunkStream, bill: Bill) -> AsyncGenerator[bytes, None]:
        """The events, from `response.created` to `response.completed`, `.incomplete` or `.failed`."""
        story = Story(self._fixed())
        try:
            async for chunk in chunks:
                for event in story.add(chunk):
                    yield _sse(event)
            for event in story.close():
                yield _sse(event)
            document = await self.kept(story.document())
        except Exception as error:  # after the first byte a bug is one more way to break off
            yield told.comment(bill.cost) + _sse(story.failed(broken.told(error)))
            return
        yield told.comment(bill.cost) + _sse(story.last(document))

    async def kept(self, document: Document) -> Document:
        """The document, once it is kept where it shall be; `store` says whether it is."""
        if self.keep is None or await self.keep(document):
            return document
        return document | {"store": False}

    def after(self, messages: Sequence[read.Message]) -> "ResponsesExchange":
        """The same as the continuation of `messages`. Raises InvalidRequest."""
        spoken = read.messages_of(self.request, messages)
        return replace(self, messages=spoken, body=read.chat_body(self.request, spoken))

    def _fixed(self) -> Document:
        asked = self.request.model_dump(mode="json", by_alias=True)
        tools = [tool.model_dump(mode="json") for tool in self.request.functions]
        format_ = (asked["text"] or {}).get("format") or {"type": "text"}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "error": None,
            "instructions": asked["instructions"],
            "max_output_tokens": asked["max_output_tokens"],
            "metadata": asked["metadata"] or {},
            "model": asked["model"],
            "parallel_tool_calls": asked["parallel_tool_calls"] is not False,
            "previous_response_id": asked["previous_response_id"],
            "reasoning": {"effort": None, "summary": None},
            "store": self.keep is not None,
            "temperature": asked["temperature"],
            "text": {"format": format_},
            "tool_choice": asked["tool_choice"] or "auto",
            "tools": tools,
            "top_p": asked["top_p"],
            "truncation": "disabled",
            "user": asked["user"],
        }


class Responses:
    """`POST /v1/responses`."""

    path = "/v1/responses"

    def read(self, body: bytes, bounds: Bounds) -> ResponsesExchange:
        """Raises InvalidRequest with the client's own field."""
        request = read.parse(body, bounds)
        bare = ResponsesExchange(request, f"resp_{uuid.uuid4().hex}", int(time.time()), b"")
        # What it continues is not known here: the desk does it then.
        return bare if request.earlier else bare.after(())

    def error(self, error: HttpError) -> JsonValue:
        """OpenAI's error body."""
        return {"error": dict(fault.renamed(error, NAMES)["error"])}


def _sse(event: Document) -> bytes:
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return f"event: {event['type']}\ndata: {data}\n\n".encode()
