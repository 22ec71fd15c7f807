"""Attempts: walk the decision's chain until a lane gives a usable answer, within one deadline.

The only retry loop. Knows lanes, time and verdicts; never widens a decision.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, TypeVar

from serve import holdback, verdict
from serve.config import Config
from serve.errors import (
    AnswerInvalid,
    DeadlineExceeded,
    HttpError,
    LaneError,
    LaneInterrupted,
    LaneOverloaded,
    LaneProtocolError,
    LaneRejected,
    LanesFailed,
    LaneTimeout,
    LaneUnavailable,
    NoLaneAvailable,
    RequestRejected,
)
from serve.lanes.base import LaneCall, LanePort
from serve.lanes.load import LaneLoad
from serve.policy import Decision
from serve.wire.openai_answer import ChatChunk, ChatCompletion, Ends, as_chunks, chunk, completion
from serve.wire.openai_chat import ChatRequest

log = logging.getLogger("pointsman.dispatch")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lane asked once, and how it went: `ok`, `repaired`, or a LaneError's outcome."""

    lane: str
    outcome: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One request on its way. `deadline` is a time of the event loop's clock."""

    request: ChatRequest
    body: bytes
    decision: Decision
    decision_id: str
    deadline: float


class ChunkStream(Protocol):
    """Chunks in order. Closing it, read or unread, frees the lane."""

    def __aiter__(self) -> AsyncIterator[ChatChunk]: ...
    async def __anext__(self) -> ChatChunk: ...
    async def aclose(self) -> None:
        """End the stream."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets, and how it came about.

    Either `whole`, or `chunks`: a stream whose first content has arrived, so the client may be told 200.
    """

    lane: str
    attempts: tuple[Attempt, ...]
    whole: ChatCompletion | None = None
    chunks: ChunkStream | None = None


class _Stream:
    """A committed stream. Closing it closes the lane even if nobody ever read from it."""

    def __init__(
        self, rest: AsyncGenerator[ChatChunk, None], chunks: AsyncGenerator[ChatChunk, None]
    ) -> None:
        self._rest, self._chunks = rest, chunks

    def __aiter__(self) -> AsyncIterator[ChatChunk]:
        return self._rest

    async def __anext__(self) -> ChatChunk:
        return await anext(self._rest)

    async def aclose(self) -> None:
        await self._rest.aclose()
        await self._chunks.aclose()


class Dispatcher:
    """Walks chains for one router process."""

    def __init__(self, lanes: Mapping[str, LanePort], load: LaneLoad, config: Config) -> None:
        self._lanes, self._load, self._config = lanes, load, config

    async def run(self, job: Job) -> Answer:
        """The first usable answer along the chain. Raises NoLaneAvailable, LanesFailed or DeadlineExceeded."""
        attempts: list[Attempt] = []
        failures: list[LaneError] = []
        for name in job.decision.chain:
            if _now() >= job.deadline:
                raise self._give_up(job, attempts, failures, late=True)
            started = time.monotonic()
            try:
                answer = await self._attempt(job, name)
            except LaneError as error:
                failures.append(error)
                attempts.append(Attempt(name, error.outcome, time.monotonic() - started, error.message))
                self._remember(name, error)
                continue
            self._load.well(name)
            done = Attempt(name, answer.attempts[-1].outcome, time.monotonic() - started)
            return Answer(name, (*attempts, done), answer.whole, answer.chunks)
        raise self._give_up(job, attempts, failures, late=_now() >= job.deadline)

    async def _attempt(self, job: Job, name: str) -> Answer:
        if job.request.stream and not _held_back(job.request):
            return await self._stream(job, name)
        return await self._whole(job, name)

    async def _whole(self, job: Job, name: str) -> Answer:
        document = await self._within(
            name, self._patience(job, name, self._config.dispatch.unary_s), self._one(job, name)
        )
        judged = verdict.judge(job.request, completion(name, document))
        if judged.outcome == "invalid":
            raise AnswerInvalid(name, judged.fault)
        attempt = Attempt(name, "ok" if judged.outcome == "valid" else "repaired", 0)
        if not job.request.stream:
            return Answer(name, (attempt,), whole=judged.answer)
        options = job.request.stream_options
        return Answer(
            name, (attempt,), chunks=_replay(judged.answer, bool(options and options.include_usage))
        )

    async def _one(self, job: Job, name: str) -> str:
        call = LaneCall(name, job.body, False, job.decision.permit, job.decision_id)
        with self._load.call(name):
            async with aclosing(self._lanes[name].answer(call)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    return piece[0]
        raise LaneProtocolError(name, "it answered nothing")

    async def _stream(self, job: Job, name: str) -> Answer:
        """Open a stream and hold it until something was said: until then the next lane can take over."""
        chunks = self._chunks(job, name)
        limits = self._config.dispatch
        gate = holdback.HeldBack(name, job.request) if holdback.applies(job.request) else None
        if gate is not None:
            chunks = gate.filtered(chunks)
        held: list[ChatChunk] = []
        # A call that is held back says nothing until it is whole.
        patience = self._patience(job, name, limits.unary_s if gate else limits.first_token_s)
        try:
            await self._within(name, patience, _until_content(name, chunks, held))
        except BaseException:
            await chunks.aclose()
            raise
        rest = self._committed(job, name, held, chunks)
        return Answer(name, (Attempt(name, gate.outcome if gate else "ok", 0),), chunks=_Stream(rest, chunks))

    async def _chunks(self, job: Job, name: str) -> AsyncGenerator[ChatChunk, None]:
        call = LaneCall(name, job.body, True, job.decision.permit, job.decision_id)
        with self._load.call(name):
            async with aclosing(self._lanes[name].answer(call)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    for document in piece:
                        yield chunk(name, document)

    async def _committed(
        self, job: Job, name: str, held: list[ChatChunk], chunks: AsyncGenerator[ChatChunk, None]
    ) -> AsyncGenerator[ChatChunk, None]:
        """The held chunks, then the rest. Raises LaneInterrupted: after the first byte nobody takes over."""
        wants_usage = bool(job.request.stream_options and job.request.stream_options.include_usage)
        ends = Ends()
        async with aclosing(chunks):
            try:
                for item in held:
                    ends.add(item)
                    if item.choices or (wants_usage and item.usage):
                        yield item
                while True:
                    idle = _until(job, self._config.dispatch.idle_s)
                    item = await self._within(name, idle, anext(chunks))
                    ends.add(item)
                    if item.choices or (wants_usage and item.usage):
                        yield item
            except StopAsyncIteration:
                if not ends.whole:
                    log.warning("%s: the stream of %s ended without a finish reason", job.decision_id, name)
                    raise LaneInterrupted(name, "the stream ended without a finish reason") from None
            except LaneError as error:
                self._remember(name, error)
                log.warning("%s: the stream of %s broke off: %s", job.decision_id, name, error.message)
                raise LaneInterrupted(name, error.message) from None

    async def _within(self, name: str, seconds: float, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await work
        except TimeoutError:
            raise LaneTimeout(name, f"nothing within {seconds:.1f} s") from None

    def _patience(self, job: Job, name: str, usual: float) -> float:
        """Seconds to wait for a lane to begin. A handle without replicas would wait for one to come up."""
        limit = self._config.dispatch.down_wait_s if self._load.absent(name) else usual
        return _until(job, min(limit, usual))

    def _remember(self, name: str, error: LaneError) -> None:
        log.info("lane %s: %s (%s)", name, error.outcome, error.message)
        if error.cools:
            wait = (
                error.retry_after_s if error.retry_after_s is not None else self._config.dispatch.cooldown_s
            )
            self._load.cool(name, wait, error.message)

    def _give_up(
        self, job: Job, attempts: list[Attempt], failures: list[LaneError], *, late: bool
    ) -> HttpError:
        trail = "; ".join(f"{a.lane}: {a.detail or a.outcome}" for a in attempts) or "no time was left to try"
        if late:
            return DeadlineExceeded(f"No lane answered within the deadline ({trail})")
        if all(isinstance(failure, LaneUnavailable | LaneOverloaded | LaneTimeout) for failure in failures):
            waits = [f.retry_after_s for f in failures if f.retry_after_s] or [
                self._config.dispatch.cooldown_s
            ]
            error: HttpError = NoLaneAvailable(
                f"No permitted lane can answer now ({trail})", retry_after_s=max(1, math.ceil(min(waits)))
            )
        elif all(isinstance(failure, LaneRejected) for failure in failures):
            error = RequestRejected(f"The request was refused ({trail})")
        else:
            error = LanesFailed(f"Every permitted lane failed ({trail})", code=_code(failures))
        return error


def _code(failures: list[LaneError]) -> str:
    return "output_invalid" if failures and isinstance(failures[-1], AnswerInvalid) else LanesFailed.code


def _held_back(request: ChatRequest) -> bool:
    """Answers that must be valid as a whole are not shown in parts, unless their beginning can tell."""
    tools = bool(request.tools) and request.tool_choice != "none"
    return request.structured or (tools and not holdback.applies(request))


async def _until_content(name: str, chunks: AsyncGenerator[ChatChunk, None], held: list[ChatChunk]) -> None:
    async for item in chunks:
        held.append(item)
        if item.says_something or _cut_short(item):
            return
        if _finishes(item):
            break
    raise AnswerInvalid(name, "the stream ended without content")


def _cut_short(item: ChatChunk) -> bool:
    """An end that explains why there is no content: the next lane would be cut as well, or refuse as well."""
    return any(choice.finish_reason in ("length", "content_filter") for choice in item.choices)


def _finishes(item: ChatChunk) -> bool:
    return any(choice.finish_reason for choice in item.choices)


async def _replay(whole: ChatCompletion, include_usage: bool) -> AsyncGenerator[ChatChunk, None]:
    for item in as_chunks(whole, include_usage=include_usage):
        yield item


def body_of(request: ChatRequest) -> bytes:
    """The bytes every lane gets: known fields only."""
    return json.dumps(request.sent(), ensure_ascii=False).encode()


def _until(job: Job, seconds: float) -> float:
    return max(0.001, min(seconds, job.deadline - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
