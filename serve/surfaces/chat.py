"""OpenAI Chat Completions: the Router's own language, so requests go in as they are."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic import JsonValue

from serve.bounds import Bounds
from serve.errors import HttpError
from serve.job import ChunkStream
from serve.lane_errors import LaneInterrupted
from serve.ledger import told
from serve.ledger.bill import Bill
from serve.surfaces import broken
from serve.wire.openai_answer import NOT_FOR_CLIENTS, ChatChunk, ChatCompletion


@dataclass(frozen=True, slots=True)
class ChatExchange:
    """One chat request."""

    body: bytes

    def whole(self, answer: ChatCompletion) -> JsonValue:
        """The completion without what is not for clients."""
        document: JsonValue = answer.model_dump(mode="json", exclude_none=True, exclude=NOT_FOR_CLIENTS)
        return document

    async def events(self, chunks: ChunkStream, bill: Bill) -> AsyncGenerator[bytes, None]:
        """The chunks, their cost before the end: `[DONE]` only after a whole answer."""
        usage: ChatChunk | None = None
        try:
            async for chunk in chunks:
                if told.carries_usage(chunk):
                    usage = chunk
                    continue
                text = chunk.model_dump_json(exclude_none=True, exclude=NOT_FOR_CLIENTS)
                yield b"data: " + text.encode() + b"\n\n"
        except LaneInterrupted as error:
            yield told.comment(bill.cost)
            yield _event_of(broken.told(error))
            return
        except Exception as error:  # after the first byte a bug is one more way to break off
            yield _event_of(broken.told(error))
            return
        if usage is not None:
            yield b"data: " + told.with_cost(usage, bill.cost) + b"\n\n"
        yield told.comment(bill.cost) + b"data: [DONE]\n\n"


class Chat:
    """`POST /v1/chat/completions`."""

    path = "/v1/chat/completions"

    def read(self, body: bytes, bounds: Bounds) -> ChatExchange:
        """Nothing to translate: the Router checks it."""
        return ChatExchange(body)

    def error(self, error: HttpError) -> JsonValue:
        """OpenAI's error body."""
        return {"error": dict(error.body()["error"])}


def _event_of(error: HttpError) -> bytes:
    return b"data: " + json.dumps(error.body(), separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"
