"""One chat request, timed from the first byte sent to the last byte read. Does not know why it is sent."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from bench.prompts import Body

CHAT = "/v1/chat/completions"


@dataclass(slots=True)
class Sample:
    """What one request came to. `error` is None for a whole answer; seconds count from the send."""

    kind: str
    seconds: float = 0.0
    first_token_s: float | None = None
    output_tokens: int | None = None
    error: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def connect(url: str, concurrency: int, timeout_s: float, key: str | None) -> httpx2.AsyncClient:
    """A client for `url` with one connection per worker; the machine's proxy settings do not apply."""
    return httpx2.AsyncClient(
        base_url=url.rstrip("/").removesuffix("/v1"),
        timeout=timeout_s,
        limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        headers={"authorization": f"Bearer {key}"} if key else {},
        trust_env=False,
    )


async def send(client: httpx2.AsyncClient, kind: str, body: Body) -> Sample:
    """Ask once. A failure of any sort is a Sample with an `error`, never an exception."""
    sample, started = Sample(kind), time.perf_counter()
    try:
        async with client.stream("POST", CHAT, json=body) as response:
            sample.headers = _pointsman(response.headers)
            if response.is_error:
                sample.error = f"{response.status_code} {_code(await response.aread())}".strip()
            elif body.get("stream"):
                await _read_events(response, sample, started)
            else:
                _read_whole(await response.aread(), sample)
    except httpx2.TimeoutException:
        sample.error = "timeout"
    except httpx2.HTTPError as error:
        sample.error = f"connection {type(error).__name__}"
    sample.seconds = time.perf_counter() - started
    return sample


def _pointsman(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "x-pointsman-"
    return {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}


def _read_whole(body: bytes, sample: Sample) -> None:
    answer = _json(body)
    if "choices" not in answer:
        sample.error = "200 not a chat completion"
    sample.output_tokens = _tokens(answer)


async def _read_events(response: httpx2.Response, sample: Sample, started: float) -> None:
    sample.error = "stream cut"  # until [DONE] arrives
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:"):
            continue
        if data == "[DONE]":
            sample.error = None
            return
        chunk = _json(data.encode())
        if "error" in chunk:
            sample.error = f"stream {_code(data.encode())}"
            return
        if sample.first_token_s is None and _has_content(chunk):
            sample.first_token_s = time.perf_counter() - started
        sample.output_tokens = _tokens(chunk) or sample.output_tokens


def _has_content(chunk: dict[str, Any]) -> bool:
    deltas = [choice.get("delta") or {} for choice in chunk.get("choices") or []]
    return any(delta.get("content") or delta.get("tool_calls") for delta in deltas)


def _tokens(answer: dict[str, Any]) -> int | None:
    tokens = (answer.get("usage") or {}).get("completion_tokens")
    return tokens if isinstance(tokens, int) else None


def _code(body: bytes) -> str:
    error = _json(body).get("error")
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
