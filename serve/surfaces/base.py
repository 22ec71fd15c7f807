"""What every client API is to the ingress: a path, a reader of its requests, and the shape of its errors."""

from collections.abc import AsyncGenerator
from typing import Protocol

from pydantic import JsonValue

from serve.bounds import Bounds
from serve.errors import HttpError
from serve.job import ChunkStream
from serve.ledger.bill import Bill
from serve.wire.openai_answer import ChatCompletion


class Exchange(Protocol):
    """One request that has been read, and how its answer is told in the same API."""

    @property
    def body(self) -> bytes:
        """The chat request it stands for, as JSON. The Router reads it like any other."""
        ...

    def whole(self, answer: ChatCompletion) -> JsonValue:
        """The answer in one piece."""
        ...

    def events(self, chunks: ChunkStream, bill: Bill) -> AsyncGenerator[bytes, None]:
        """The answer as server-sent events; never raises: what breaks off ends in one error event."""
        ...


class Surface(Protocol):
    """One API."""

    @property
    def path(self) -> str:
        """Where clients post to, e.g. `/v1/chat/completions`."""
        ...

    def read(self, body: bytes, bounds: Bounds) -> Exchange:
        """Raises HttpError (InvalidRequest with the field's name in *this* API)."""
        ...

    def error(self, error: HttpError) -> JsonValue:
        """The error as this API's clients expect it."""
        ...
