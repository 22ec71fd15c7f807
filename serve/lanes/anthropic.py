"""The Anthropic dialect: Messages, by the official SDK, translated from and to Chat Completions.

Knows how to call it and what its failures mean. Does not know whether the call is permitted.
"""

import json
import time
from collections.abc import AsyncIterator

import anthropic
import httpx2
from anthropic import AsyncAnthropic

from serve.config import HttpLane
from serve.errors import LaneError, LaneProtocolError, LaneTimeout, LaneUnavailable
from serve.lanes.openai import status_error
from serve.wire import anthropic_messages as wire
from serve.wire.openai_chat import ChatRequest


class AnthropicLane:
    """One endpoint. Retries are dispatch's business: the SDK's are off."""

    def __init__(self, lane: HttpLane, http: httpx2.AsyncClient) -> None:
        key = lane.api_key.resolve() if lane.api_key else None
        self._lane = lane
        self._sdk = AsyncAnthropic(base_url=lane.url, api_key=key or "none", http_client=http, max_retries=0)

    async def documents(self, body: bytes, stream: bool) -> AsyncIterator[str]:
        """The answer as JSON documents of OpenAI's shape. Raises LaneError."""
        try:
            request = ChatRequest.model_validate(json.loads(body) | {"model": self._lane.model})
            arguments = wire.request(request, self._lane.model, self._lane.max_output_tokens)
            if not stream:
                message = await self._sdk.messages.create(**arguments)
                yield wire.completion(message).model_dump_json(exclude_none=True)
                return
            events = await self._sdk.messages.create(**arguments, stream=True)
            translator = wire.StreamTranslator(self._lane.model, int(time.time()))
            async with events:
                async for event in events:
                    for chunk in translator.chunks(event):
                        yield chunk.model_dump_json(exclude_none=True)
            if not translator.finished:
                raise LaneUnavailable(self._lane.name, "the stream ended early")
        except (anthropic.AnthropicError, httpx2.HTTPError, ValueError) as error:
            raise lane_error(self._lane.name, error) from None


def lane_error(lane: str, error: Exception) -> LaneError:
    """What an SDK's failure means to dispatch. Upstream bodies may echo prompts: they are not repeated."""
    match error:
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return LaneTimeout(lane, "no answer in time")
        case anthropic.APIStatusError():
            return status_error(lane, error.status_code, error.response.headers.get("retry-after"))
        case anthropic.APIConnectionError() | httpx2.TransportError():
            return LaneUnavailable(lane, "connection failed or broke")
        case _:
            return LaneProtocolError(lane, f"not an Anthropic answer: {type(error).__name__}")
