"""The OpenAI dialect: any server that speaks Chat Completions, by the official SDK.

Knows how to call it and what its failures mean. Does not know whether the call is permitted.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream

from serve.config import HttpLane
from serve.lane_errors import (
    LaneError,
    LaneForbidden,
    LaneFull,
    LaneMisconfigured,
    LaneOverloaded,
    LaneProtocolError,
    LaneRateLimited,
    LaneRejected,
    LaneTimeout,
    LaneUnavailable,
    LaneUnserving,
)
from serve.lanes import body as bodies
from serve.lanes.sdk import bare
from serve.wire import sse

_FOREIGN = frozenset({"thinking", "top_k"})
"""Fields of the Messages API, which servers of this dialect refuse or do not know."""

_GATEWAY = frozenset({502, 504, 520, 524})
"""A gateway's own words, the last two Cloudflare's: the model behind it may go on working, and is billed then."""

_MISCONFIGURED = frozenset({401, 402, 404, 405, 407, 410, 421})
"""What no other request would change: key, money, address, method, proxy, a model that is gone."""

_OPENAI = ("api.openai.com", ".openai.azure.com")


class OpenAILane:
    """One endpoint. Retries are dispatch's business: the SDK's are off."""

    def __init__(self, lane: HttpLane, http: httpx2.AsyncClient) -> None:
        key = lane.api_key.resolve() if lane.api_key else None
        self._lane = lane
        self._most = bodies.MOST_VECTOR_BYTES if lane.embeddings else bodies.MOST_BYTES
        # The SDK insists on a key; a local server that wants none ignores it.
        sdk = AsyncOpenAI(base_url=lane.url, api_key=key or "none", http_client=http, max_retries=0)
        self._sdk = bare(sdk)

    async def documents(self, body: bytes, stream: bool) -> AsyncGenerator[str, None]:
        """The answer as JSON documents of OpenAI's shape, unread. Raises LaneError."""
        given = {name: value for name, value in json.loads(body).items() if name not in _FOREIGN}
        request = in_its_words(self._lane.url, given | {"model": self._lane.model})
        if self._lane.embeddings:
            stream = False
        if stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            async with await self._sent(request) as answer, aclosing(answer.response.aiter_bytes()) as source:
                if stream:
                    async with aclosing(self._chunks(source)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                else:
                    yield await bodies.whole(source, self._most)
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
            raise lane_error(self._lane.name, error) from None

    async def _sent(self, request: dict[str, Any]) -> AsyncStream[object]:
        """The answer with its bytes unread: the SDK neither bounds an event nor says whether it saw an end mark.

        `post` and not `chat.completions.create`, which goes through every field once more: the wire model has.
        """
        path = "/embeddings" if self._lane.embeddings else "/chat/completions"
        return await self._sdk.post(
            path, cast_to=object, body=request, stream=True, stream_cls=AsyncStream[object]
        )

    async def _chunks(self, source: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
        async with aclosing(sse.events(source)) as events:
            async for event in events:
                if event.data.startswith("[DONE]"):
                    with suppress(httpx2.HTTPError):  # the answer is whole
                        await bodies.drain(source)
                    return
                if event.data.startswith('{"error"'):
                    raise LaneUnavailable(self._lane.name, "reported an error in its stream")
                yield event.data
        raise LaneUnavailable(self._lane.name, "the stream ended early")


def in_its_words(url: str | None, request: dict[str, Any]) -> dict[str, Any]:
    """The request with the names of fields that this endpoint takes.

    OpenAI's reasoning models refuse `max_tokens`, and all of its models take `max_completion_tokens`
    (platform.openai.com/docs/api-reference/chat/create); many other servers know only the older name.
    """
    host = urlsplit(url or "").hostname or ""
    if not host.endswith(_OPENAI) or "max_tokens" not in request:
        return request
    limit = request["max_tokens"]
    return {"max_completion_tokens": limit} | {k: v for k, v in request.items() if k != "max_tokens"}


def lane_error(lane: str, error: Exception) -> LaneError:
    """What an SDK's failure means to dispatch. Upstream bodies may echo prompts: they are not repeated."""
    if (unsent := never_sent(lane, error)) is not None:
        return unsent
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return LaneTimeout(lane, "no answer in time")
        case openai.APIStatusError():
            return status_error(lane, error.status_code, error.response.headers.get("retry-after"))
        case openai.APIConnectionError() | httpx2.TransportError():
            return unreached(lane, error)
        case sse.EventTooLong() | bodies.BodyTooLong():
            return LaneProtocolError(lane, str(error))
        case _:
            return LaneProtocolError(lane, f"not an OpenAI answer: {type(error).__name__}")


def never_sent(lane: str, error: Exception) -> LaneError | None:
    """For every SDK: what time-outs mean that came before a byte went out, so that they cost nothing."""
    match error if isinstance(error, httpx2.HTTPError) else error.__cause__:
        case httpx2.PoolTimeout():
            return LaneFull(lane, "all of its connections are in use")
        case httpx2.ConnectTimeout():
            return LaneUnserving(lane, "no connection in time")
    return None


def unreached(lane: str, error: Exception) -> LaneError:
    """A connection that was never made cost nothing; one that broke may have."""
    if isinstance(error, httpx2.ConnectError) or isinstance(error.__cause__, httpx2.ConnectError):
        return LaneUnserving(lane, "connection failed")
    return LaneUnavailable(lane, "connection broke")


def status_error(lane: str, status: int, retry_after: str | None) -> LaneError:
    """What an HTTP status means to dispatch, for every dialect."""
    wait = seconds(retry_after)
    if status == 429:
        return LaneRateLimited(lane, "rate limited", wait)
    if status in (503, 529):
        return LaneOverloaded(lane, "overloaded", wait)
    if status >= 500:
        kind = LaneUnavailable if status in _GATEWAY else LaneUnserving
        return kind(lane, f"answered {status}")
    if status in _MISCONFIGURED or status < 400:
        return LaneMisconfigured(lane, f"refused us with {status}: check key, credit, model and address")
    if status == 403:
        return LaneForbidden(lane, "refused us or the request with 403: check the key, if it always does")
    if status == 408:
        return LaneTimeout(lane, "answered 408")
    return LaneRejected(lane, f"refused the request with {status}")


def seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in seconds, None when absent, a date, negative or absurd."""
    try:
        value = float(retry_after) if retry_after else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value <= 3600 else None
