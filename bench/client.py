"""One chat request, timed from the first byte sent to the last byte read. Does not know why it is sent."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from bench.prompts import Body

CHAT = "/v1/chat/completions"
COST = ": x-pointsman-cost-usd "


@dataclass(slots=True)
class Sample:
    """What one request came to. `error` is None for a whole answer; seconds count from the send.

    `at`: when it was to be sent, seconds from the start of the run; `late_s`: how much later it was.
    """

    kind: str
    seconds: float = 0.0
    first_token_s: float | None = None
    last_token_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    error: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    at: float = 0.0
    late_s: float = 0.0

    @property
    def latency_s(self) -> float:
        """From when the request was to be sent: a wait for its turn counts."""
        return self.late_s + self.seconds

    @property
    def wait_s(self) -> float | None:
        """Until the first token, from when the request was to be sent."""
        return None if self.first_token_s is None else self.late_s + self.first_token_s

    @property
    def gap_s(self) -> float | None:
        """The mean time from one token of a stream to the next; None without two."""
        if self.first_token_s is None or self.last_token_s is None or (self.output_tokens or 0) < 2:
            return None
        assert self.output_tokens is not None
        return (self.last_token_s - self.first_token_s) / (self.output_tokens - 1)


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
            sample.cost_usd = _usd(sample.headers.get("cost-usd"))
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
    _count(answer, sample)


async def _read_events(response: httpx2.Response, sample: Sample, started: float) -> None:
    sample.error = "stream cut"  # until [DONE] arrives
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip()
        if line.startswith(COST):
            sample.cost_usd = _usd(line.removeprefix(COST))
        if not line.startswith("data:"):
            continue
        if data == "[DONE]":
            sample.error = None
            return
        chunk = _json(data.encode())
        if "error" in chunk:
            sample.error = f"stream {_code(data.encode())}"
            return
        if _has_content(chunk):
            sample.last_token_s = time.perf_counter() - started
            sample.first_token_s = sample.first_token_s or sample.last_token_s
        _count(chunk, sample)


def _has_content(chunk: dict[str, Any]) -> bool:
    deltas = [choice.get("delta") or {} for choice in chunk.get("choices") or []]
    return any(delta.get("content") or delta.get("tool_calls") for delta in deltas)


def _count(answer: dict[str, Any], sample: Sample) -> None:
    usage = answer.get("usage")
    if isinstance(usage, dict):
        sample.input_tokens = _whole_number(usage.get("prompt_tokens"))
        sample.output_tokens = _whole_number(usage.get("completion_tokens"))


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _usd(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _code(body: bytes) -> str:
    error = _json(body).get("error")
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
