"""The Anthropic dialect: Messages, by the official SDK, translated from and to Chat Completions.

Knows how to call it and what its failures mean. Does not know whether the call is permitted.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import anthropic
import httpx2
from anthropic import AsyncAnthropic

from serve.config import HttpLane
from serve.lane_errors import (
    LaneError,
    LaneOverloaded,
    LaneProtocolError,
    LaneRateLimited,
    LaneTimeout,
    LaneUnavailable,
)
from serve.lanes import body as bodies
from serve.lanes.openai import never_sent, status_error, unreached
from serve.lanes.sdk import bare
from serve.wire import anthropic_answer, sse
from serve.wire import anthropic_messages as wire
from serve.wire.openai_chat import ChatRequest


class AnthropicLane:
    """One endpoint. Retries are dispatch's business: the SDK's are off."""

    def __init__(self, lane: HttpLane, http: httpx2.AsyncClient) -> None:
        key = lane.api_key.resolve() if lane.api_key else None
        self._lane = lane
        # The SDK's spans may hold words of requests, and name the caller's trace to the lane.
        sdk = AsyncAnthropic(
            base_url=lane.url,
            api_key=key or "none",
            http_client=http,
            max_retries=0,
            open_telemetry={"traces": False, "propagation": False},
        )
        self._sdk = bare(sdk)

    async def documents(self, body: bytes, stream: bool) -> AsyncGenerator[str, None]:
        """The answer as JSON documents of OpenAI's shape. Raises LaneError."""
        try:
            request = ChatRequest.model_validate(json.loads(body) | {"model": self._lane.model})
            arguments = wire.request(
                request,
                self._lane.model,
                self._lane.max_output_tokens,
                thinks="thinking" in self._lane.capabilities,
                sampling=self._lane.sampling,
            )
            shown = request.thinking is not None and request.thinking.wanted
            create = self._sdk.messages.with_streaming_response.create
            # The SDK sends; the answer's bytes are read here, because the SDK does not bound an event
            # and builds its objects from whatever came, fields missing or not.
            async with (
                create(**arguments | ({"stream": True} if stream else {})) as response,
                aclosing(response.http_response.aiter_bytes()) as source,
            ):
                if stream:
                    async with aclosing(self._chunks(source, shown)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                else:
                    message = anthropic_answer.message(await bodies.whole(source))
                    yield anthropic_answer.completion(message, shown=shown).model_dump_json(exclude_none=True)
        except (anthropic.AnthropicError, httpx2.HTTPError, ValueError) as error:
            raise lane_error(self._lane.name, error) from None

    async def _chunks(self, source: AsyncIterator[bytes], shown: bool) -> AsyncGenerator[str, None]:
        translator = anthropic_answer.StreamTranslator(self._lane.model, int(time.time()), shown=shown)
        async with aclosing(sse.events(source)) as events:
            async for received in events:
                event = anthropic_answer.event(received.data)
                if event.type == "error":
                    raise _reported(self._lane.name, event)
                for chunk in translator.chunks(event):
                    yield chunk.model_dump_json(exclude_none=True)
                if translator.finished:
                    with suppress(httpx2.HTTPError):  # the answer is whole
                        await bodies.drain(source)
                    return
        raise LaneUnavailable(self._lane.name, "the stream ended early")


def _reported(lane: str, event: anthropic_answer.Event) -> LaneError:
    """An error in a stream that began with 200."""
    kind = event.error.type if event.error else ""
    if kind == "rate_limit_error":
        return LaneRateLimited(lane, "rate limited")
    if kind == "overloaded_error":
        return LaneOverloaded(lane, "overloaded")
    return LaneUnavailable(lane, "reported an error in its stream")


def lane_error(lane: str, error: Exception) -> LaneError:
    """What an SDK's failure means to dispatch. Upstream bodies may echo prompts: they are not repeated."""
    if (unsent := never_sent(lane, error)) is not None:
        return unsent
    match error:
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return LaneTimeout(lane, "no answer in time")
        case anthropic.APIStatusError():
            return status_error(lane, error.status_code, error.response.headers.get("retry-after"))
        case anthropic.APIConnectionError() | httpx2.TransportError():
            return unreached(lane, error)
        case sse.EventTooLong() | bodies.BodyTooLong():
            return LaneProtocolError(lane, str(error))
        case _:
            return LaneProtocolError(lane, f"not an Anthropic answer: {type(error).__name__}")
