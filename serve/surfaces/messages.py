"""Anthropic Messages: `POST /v1/messages` and its `count_tokens`, for the official SDK with another base URL."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic import BaseModel, Field, JsonValue

from serve import wish
from serve.bounds import Bounds
from serve.config import Config
from serve.errors import HttpError
from serve.job import ChunkStream
from serve.keys.rights import Rights
from serve.ledger import told
from serve.ledger.bill import Bill
from serve.request import view_of
from serve.signals import context
from serve.surfaces import broken, messages_chat, messages_error
from serve.surfaces.messages_answer import Asked, message
from serve.surfaces.messages_request import CountRequest, MessagesRequest, parse
from serve.surfaces.messages_stream import EventWriter, event
from serve.wire import openai_chat
from serve.wire.openai_answer import ChatCompletion

COUNT_PATH = f"{messages_error.ROOT}/count_tokens"


class TokenCount(BaseModel):
    """The answer of `POST /v1/messages/count_tokens`, counted by the ranks that the Router decides by."""

    input_tokens: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class MessagesExchange:
    """One Messages request."""

    body: bytes
    asked: Asked

    def whole(self, answer: ChatCompletion) -> JsonValue:
        """The answer as one message."""
        document: JsonValue = message(answer, self.asked).model_dump(mode="json")
        return document

    async def events(self, chunks: ChunkStream, bill: Bill) -> AsyncGenerator[bytes, None]:
        """The answer's events, its cost as a comment: `message_stop` only after a whole answer."""
        writer = EventWriter(self.asked)
        try:
            async for chunk in chunks:
                for one in writer.add(chunk):
                    yield one
        except Exception as error:  # after the first byte a bug is one more way to break off
            fault = error if isinstance(error, HttpError) else broken.told(error)
            yield told.comment(bill.cost)
            yield _error_event(fault)
            return
        for one in writer.end():
            yield one
        yield told.comment(bill.cost) + event("message_stop")


class Messages:
    """`POST /v1/messages`."""

    path = messages_error.ROOT

    def read(self, body: bytes, bounds: Bounds) -> MessagesExchange:
        """Raises InvalidRequest that names a field of the Messages API."""
        request = parse(MessagesRequest, body, bounds)
        thinking = request.thinking
        wanted = thinking is not None and thinking.type != "disabled"
        stops = frozenset(request.stop_sequences or ())
        asked = Asked(thinking is not None and thinking.shown, stops, signed=wanted)
        return MessagesExchange(messages_chat.body_of(request), asked)

    def error(self, error: HttpError) -> JsonValue:
        """Anthropic's error body."""
        return messages_error.body(error)


def count(body: bytes, config: Config, rights: Rights) -> TokenCount:
    """The input tokens of a `count_tokens` request, as its answer would be decided by. Raises HttpError.

    Reads the text and nothing else: no lane is asked, nothing leaves the process.
    """
    bounds = config.server.bounds
    chat = openai_chat.parse(messages_chat.body_of(parse(CountRequest, body, bounds)), bounds)
    chat, _ = wish.read(chat, {}, config, rights)
    return TokenCount(input_tokens=context.read(view_of(chat)).input_tokens)


def _error_event(error: HttpError) -> bytes:
    document = messages_error.body(error)
    assert isinstance(document, dict)
    return event("error", error=document["error"])
