"""Steady traffic from the official `openai` client with its own two retries, each answer checked word for word.

A closed loop: a worker asks again as soon as it has its answer. Does not know what goes wrong meanwhile.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import openai

Verdict = Literal["right", "error", "lost"]
PATIENCE_S = 60.0
DOCUMENTED = {"no_lane_available", "lanes_failed", "deadline_exceeded", "upstream_interrupted"}


@dataclass(frozen=True, slots=True)
class Load:
    """What the workers ask. `prompt` holds `{serial}`: every answer must repeat its own.

    most  tokens at most, for a real model, whose words nobody knows beforehand; None: our own providers answer
    """

    prompt: str = "Say {serial} back to me."
    streams: Literal["none", "half", "all"] = "half"
    workers: int = 12
    headers: dict[str, str] = field(default_factory=dict)
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request of the client came to, its retries included. Times are monotonic seconds.

    verdict  `right`: the whole, true answer; `error`: one that docs/reliability.md names; `lost`: anything else
    code     the error's code, or what was wrong
    retries  how often the SDK asked again by itself, where it says so
    attempts lanes that Pointsman asked for it, where it says so
    """

    stream: bool
    started: float
    ended: float
    verdict: Verdict
    code: str = ""
    retries: int = 0
    lane: str = ""
    attempts: int = 0

    @property
    def seconds(self) -> float:
        """From the first byte sent to the last byte read."""
        return self.ended - self.started


class Traffic:
    """Workers that ask until told to stop. `outcomes` grows in the order of the ends."""

    def __init__(self, client: openai.AsyncOpenAI, load: Load) -> None:
        self.load, self.outcomes, self.in_flight = load, list[Outcome](), 0
        self._client, self._serial = client, 0

    async def run(self, go_on: Callable[[], bool]) -> None:
        """Ask while `go_on()`; returns when the last answer is in."""
        await asyncio.gather(*(self._work(go_on) for _ in range(self.load.workers)))

    async def once(self, count: int) -> None:
        """`count` requests at the same moment."""
        await asyncio.gather(*(self._ask() for _ in range(count)))

    async def _work(self, go_on: Callable[[], bool]) -> None:
        while go_on():
            await self._ask()

    async def _ask(self) -> None:
        self._serial += 1
        stream = self.load.streams == "all" or (self.load.streams == "half" and self._serial % 2 == 0)
        self.in_flight += 1
        try:
            self.outcomes.append(await ask(self._client, self.load, f"{self._serial:06}", stream))
        finally:
            self.in_flight -= 1


def client(url: str, retries: int = openai.DEFAULT_MAX_RETRIES, key: str = "chaos") -> openai.AsyncOpenAI:
    """The official client as it comes, but for the machine's proxy settings and a shorter patience."""
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key=key, max_retries=retries, timeout=PATIENCE_S, http_client=http
    )


async def ask(client: openai.AsyncOpenAI, load: Load, serial: str, stream: bool) -> Outcome:
    """One request and its verdict; never raises for what the other side does."""
    prompt = load.prompt.format(serial=serial)
    begun = Outcome(stream, time.monotonic(), 0.0, "right")
    try:
        raw = await client.chat.completions.with_raw_response.create(
            model="auto",
            messages=[{"role": "user", "content": prompt}],
            stream=stream,
            extra_headers=load.headers,
            max_tokens=load.most,
        )
        begun = replace(
            begun,
            retries=raw.retries_taken,
            lane=raw.headers.get("x-pointsman-lane", ""),
            attempts=int(raw.headers.get("x-pointsman-attempts", 0)),
        )
        answer: Any = raw.parse()
        text = None if load.most else expected(prompt)
        fault = await _stream_fault(answer, text) if stream else _unary_fault(answer, text)
        done = replace(begun, verdict="lost" if fault else "right", code=fault)
    except openai.OpenAIError as error:
        done = replace(begun, verdict="error" if documented(error) else "lost", code=_code(error))
    except Exception as error:  # what the SDK lets through of its transport is a lost request too
        done = replace(begun, verdict="lost", code=type(error).__name__)
    return replace(done, ended=time.monotonic())


def _unary_fault(answer: Any, text: str | None) -> str:
    said = answer.choices[0].message.content
    return "" if said and text in (None, said) else "wrong answer"


async def _stream_fault(chunks: Any, text: str | None) -> str:
    """What is wrong with a stream that came to its end; empty when nothing is."""
    said, roles, finish = "", 0, ""
    async for chunk in chunks:
        for choice in chunk.choices:
            said += choice.delta.content or ""
            roles += choice.delta.role is not None
            finish = choice.finish_reason or finish
    if not said or text not in (None, said):
        return "wrong answer"
    right_end = finish in ("stop", "length") if text is None else finish == "stop"
    return "" if roles == 1 and right_end else f"{roles} roles, finish reason {finish or 'missing'}"


def expected(prompt: str) -> str:
    """What every provider of the run answers: see tests/support/answers.py."""
    return f"upstream answers: {prompt[:40]}"


def documented(error: openai.OpenAIError) -> bool:
    """One of the errors docs/reliability.md names, in full: a 503 says when to come back."""
    if not isinstance(error, openai.APIError) or error.code not in DOCUMENTED:
        return False
    if isinstance(error, openai.APIStatusError) and error.status_code == 503:
        return int(error.response.headers.get("retry-after", 0)) > 0
    return True


def _code(error: openai.OpenAIError) -> str:
    code = error.code if isinstance(error, openai.APIError) else None
    status = f"{error.status_code} " if isinstance(error, openai.APIStatusError) else ""
    cause = f": {type(error.__cause__).__name__}" if error.__cause__ else ""
    return f"{status}{code or type(error).__name__ + cause}"
