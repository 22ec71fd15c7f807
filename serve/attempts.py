"""One attempt: ask one lane once, wait until it takes the call, then for its first words or its whole answer.

Knows time-outs and verdicts. Does not know what follows a failure.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from serve import confidence, grounds, holdback, verdict
from serve.closing import surely
from serve.config import ON_PREMISES, ConfidenceConfig, Config
from serve.job import Answer, Attempt, Charge, Job, now
from serve.lane_errors import (
    AnswerInvalid,
    AnswerUnsure,
    LaneAbsent,
    LaneError,
    LaneFull,
    LaneInterrupted,
    LaneProtocolError,
    LaneSilent,
    LaneTimeout,
    LaneUnrecorded,
)
from serve.lanes.base import LaneCall, LanePort, Piece
from serve.lanes.load import LaneLoad
from serve.preambles.chosen import added, applied
from serve.tracing import spans
from serve.wire import anthropic_only
from serve.wire.openai_answer import ChatChunk, ChatCompletion, Ends, Usage, as_chunks, chunk, completion
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_embeddings import Embed, vectors

log = logging.getLogger("pointsman.dispatch")

T = TypeVar("T")

CHARS_PER_TOKEN = 3
"""Of a closed thought, which is base64: at least so many."""
MOST_TOKENS = 100_000
"""An upstream's own count of its tokens is believed up to here."""


OVER = "the time for the whole request (dispatch.deadline_s) was over"


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
        await surely(_both_closed(self._rest, self._chunks))


class Asker:
    """Asks lanes for one router process, and notes how well they did."""

    def __init__(self, lanes: Mapping[str, LanePort], load: LaneLoad, config: Config) -> None:
        self._lanes, self._load, self._config = lanes, load, config

    async def ask(self, job: Job, name: str, take_s: float) -> Answer:
        """The lane's answer. Raises LaneError; `take_s` limits only the wait until the lane takes the call."""
        await self._recorded(job, name)
        preamble = job.preambles.get(name)
        more = job.more_tokens + (added(preamble) if preamble else 0)
        more += sum(len(blob) for blob in job.thoughts.get(name, ())) // CHARS_PER_TOKEN
        charge = await job.meter.begin(name, more)
        try:
            if self._load.brimful(name):
                raise LaneFull(name, "as many calls as it takes are in flight")
            if isinstance(job.request, Embed):
                return await self._vectors(job, job.request, name, take_s, charge)
            return await (self._stream if job.streams else self._whole)(job, name, take_s, charge)
        except BaseException as error:
            charge.end(error)
            if isinstance(error, LaneError) and not _too_late(job, error):
                self._note(name, error)
            raise

    async def _recorded(self, job: Job, name: str) -> None:
        """A lane on the premises does not wait for the disk. Raises LaneUnrecorded."""
        at_home = self._config.lane(name).location in ON_PREMISES
        if not at_home and (fault := await job.intent.fault()) is not None:
            raise LaneUnrecorded(name, fault)

    async def _whole(self, job: Job, name: str, take_s: float, charge: Charge) -> Answer:
        with charge:
            document, started = await self._read(job, name, take_s, charge)
            whole = completion(name, document)
            charge.hear(whole)
        with spans.stage("verdict") as stage:
            began = time.monotonic()
            judged = verdict.judge(job.request, whole, job.checks)
            job.timed("verdict", began)
            stage.note(outcome=judged.outcome)
        if judged.outcome == "invalid":
            raise AnswerInvalid(name, judged.fault).of(judged.answer)
        measured = self._measured(job, name)
        doubt = _doubt(measured, whole) if measured else ""
        doubt = doubt or self._groundless(job, name, judged.answer)
        if measured and not job.request.logprobs:
            judged = replace(judged, answer=confidence.without(judged.answer))
        usage = judged.answer.usage
        _tell(job, usage)
        work = _work(job.body, usage.given if usage else 0)
        self._load.well(name, False, now() - started, work)
        attempt = Attempt(name, "ok" if judged.outcome == "valid" else "repaired", 0)
        answer = _answer(job, attempt, judged.answer)
        if doubt:
            unsure = AnswerUnsure(name, doubt).of(judged.answer)
            unsure.kept = answer
            raise unsure
        return answer

    async def _read(self, job: Job, name: str, take_s: float, charge: Charge) -> tuple[str, float]:
        """The one document of an answer, and when the lane took the call."""
        async with aclosing(self._pieces(job, name, charge, stream=False)) as pieces:
            taken_at = await self._taken(job, name, pieces, take_s)
            started = now()
            unary_s = job.left(self._config.dispatch.unary_s)
            document = await _within(name, unary_s, _document(name, pieces))
            job.timed("upstream", taken_at)
            return document, started

    async def _vectors(self, job: Job, request: Embed, name: str, take_s: float, charge: Charge) -> Answer:
        with charge:
            document, started = await self._read(job, name, take_s, charge)
            # Megabytes of numbers: the event loop has others to serve.
            found = await asyncio.to_thread(vectors, name, document, request)
            charge.hear(found)
        _tell(job, found.usage)
        self._load.well(name, False, now() - started, _work(job.body))
        return Answer(name, (Attempt(name, "ok", 0),), vectors=found)

    async def _stream(self, job: Job, name: str, take_s: float, charge: Charge) -> Answer:
        """Open a stream and hold it until something was said: until then the next lane can take over."""
        pieces = self._pieces(job, name, charge, stream=True)
        chunks = _chunks(name, pieces, charge)
        gate = holdback.HeldBack(name, job.request) if holdback.applies(job.request) else None
        if gate is not None:
            chunks = gate.filtered(chunks)
        held: list[ChatChunk] = []
        try:
            taken_at = await self._taken(job, name, pieces, take_s)
            started, patience = now(), job.left(self._first_words_s(gate is not None))
            await _within(name, patience, _until_content(name, chunks, held, bool(job.request.stop)))
            job.timed("upstream", taken_at)
        except BaseException:
            await surely(_both_closed(chunks, pieces))
            raise
        self._load.well(name, True, now() - started, _work(job.body))
        rest = self._committed(job, name, held, chunks)
        return Answer(name, (Attempt(name, gate.outcome if gate else "ok", 0),), chunks=_Stream(rest, chunks))

    def _first_words_s(self, gated: bool) -> float:
        limits = self._config.dispatch
        # A call that is held back says nothing until it is whole.
        return limits.unary_s if gated else limits.first_token_s

    async def _pieces(
        self, job: Job, name: str, charge: Charge, *, stream: bool
    ) -> AsyncGenerator[Piece, None]:
        """An empty piece once the lane has taken the call, then what it says."""
        permit = job.decision.permit
        if thoughts := job.thoughts.get(name):
            permit = replace(permit, sealed=thoughts)
        asked = LaneCall(name, self._body(job, name), stream, permit, job.decision_id, job.home)
        with self._load.call(name) as call:
            job.trail.asked.append(name)
            async with aclosing(self._lanes[name].answer(asked)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    if call.taken_at is None:
                        call.take()
                        charge.taken()
                        yield []
                    if piece:
                        yield piece

    def _body(self, job: Job, name: str) -> bytes:
        """The request as this lane gets it: with its preamble, and asked for probabilities where they are measured."""
        request, preamble = job.request, job.preambles.get(name)
        if preamble is not None:
            request = applied(preamble, request)
        if self._measured(job, name) is not None and not request.logprobs:
            request = request.model_copy(update={"logprobs": True})
        own = None
        if self._config.lane(name).kind == "anthropic":
            own = anthropic_only.body(request, job.thoughts.get(name, frozenset()))
        return own or (job.body if request is job.request else body_of(request))

    def _measured(self, job: Job, name: str) -> ConfidenceConfig | None:
        """How sure this lane must be: a threshold is measured on models of our own, and those have to tell."""
        if job.confidence is None:
            return None
        lane = self._config.lane(name)
        tells = lane.location in ON_PREMISES and "logprobs" in lane.capabilities
        return job.confidence if tells else None

    def _groundless(self, job: Job, name: str, answer: ChatCompletion) -> str:
        """Why the calls of a lane of our own are doubted, in words; empty where they are not, or nobody asks."""
        at_home = self._config.lane(name).location in ON_PREMISES
        return grounds.doubt(job.request, answer) if job.doubts and at_home else ""

    async def _taken(self, job: Job, name: str, pieces: AsyncGenerator[Piece, None], take_s: float) -> float:
        """Wait in the lane's queue; the time.monotonic() at which it was over. Raises LaneFull: no work was sent."""
        seconds, began = job.left(take_s), time.monotonic()
        try:
            async with asyncio.timeout(seconds) as limit:
                await anext(pieces)
            return job.timed("hop", began)
        except TimeoutError:
            if not limit.expired():
                raise LaneTimeout(name, "a time-out of its own") from None
            if self._load.absent(name):
                raise LaneAbsent(name, f"no replica came up within {seconds:.1f} s") from None
            kind = LaneSilent if self._load.has_room(name) else LaneFull
            raise kind(name, f"nobody took the call within {seconds:.1f} s") from None
        except StopAsyncIteration:
            raise LaneProtocolError(name, "it answered nothing") from None

    async def _committed(
        self, job: Job, name: str, held: list[ChatChunk], chunks: AsyncGenerator[ChatChunk, None]
    ) -> AsyncGenerator[ChatChunk, None]:
        """The held chunks, then the rest. Raises LaneInterrupted: after the first byte nobody takes over."""
        wants_usage = _wants_usage(job.request)
        ends = Ends()
        async with aclosing(chunks):
            try:
                for item in held:
                    _tell(job, item.usage)
                    ends.add(item)
                    if item.choices or (wants_usage and item.usage):
                        yield item
                while True:
                    idle = job.left(self._config.dispatch.idle_s)
                    item = await _within(name, idle, anext(chunks))
                    _tell(job, item.usage)
                    ends.add(item)
                    if item.choices or (wants_usage and item.usage):
                        yield item
            except StopAsyncIteration:
                if not ends.whole:
                    log.warning("%s: the stream of %s ended without a finish reason", job.decision_id, name)
                    raise LaneInterrupted(name, "the stream ended without a finish reason") from None
            except LaneError as error:
                words = OVER if _too_late(job, error) else error.message
                if words is not OVER:
                    self._note(name, error)
                log.warning("%s: the stream of %s broke off: %s", job.decision_id, name, words)
                raise LaneInterrupted(name, words) from None

    def _note(self, name: str, error: LaneError) -> None:
        log.info("lane %s: %s (%s)", name, error.outcome, error.message)
        self._load.failed(name, error)


def _answer(job: Job, attempt: Attempt, whole: ChatCompletion) -> Answer:
    """A whole answer as the client asked for it: in one piece, or as a stream."""
    if not job.request.stream:
        return Answer(attempt.lane, (attempt,), whole=whole)
    return Answer(attempt.lane, (attempt,), chunks=_replay(whole, _wants_usage(job.request)))


def _doubt(wanted: ConfidenceConfig, whole: ChatCompletion) -> str:
    """Why the lane is not sure enough of its answer, in words; empty where it is, or does not tell."""
    found = confidence.read(whole, wanted.measure)
    if found is None:
        return ""
    level, tokens = found
    if tokens < wanted.least_tokens:
        return f"it is too short: {tokens} token(s)"
    return f"its confidence is {level:.2f}, under {wanted.at_least:g}" if level < wanted.at_least else ""


def _tell(job: Job, usage: Usage | None) -> None:
    if usage is not None:
        job.trail.usage = usage
        job.spent(usage.prompt_tokens + usage.given)


def _too_late(job: Job, error: LaneError) -> bool:
    """Whether the request's own deadline ended it, which says nothing about the lane."""
    return isinstance(error, LaneTimeout | LaneSilent) and now() >= job.deadline


async def _both_closed(outer: AsyncGenerator[object, None], inner: AsyncGenerator[object, None]) -> None:
    """A generator that was never read closes nothing: the inner one is closed by name."""
    await outer.aclose()
    await inner.aclose()


async def _within(name: str, seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise LaneTimeout(name, f"nothing within {seconds:.1f} s") from None


async def _document(name: str, pieces: AsyncIterator[Piece]) -> str:
    """The one document of a whole answer, read to its end so that nothing has to be cancelled."""
    documents = [piece[0] async for piece in pieces]
    if not documents:
        raise LaneProtocolError(name, "it answered nothing")
    return documents[0]


async def _chunks(
    name: str, pieces: AsyncGenerator[Piece, None], charge: Charge
) -> AsyncGenerator[ChatChunk, None]:
    with charge:
        async with aclosing(pieces):
            async for piece in pieces:
                for document in piece:
                    item = chunk(name, document)
                    charge.hear(item)
                    yield item


async def _until_content(
    name: str, chunks: AsyncIterator[ChatChunk], held: list[ChatChunk], stops: bool
) -> None:
    """`stops`: the client's own stop may have cut everything."""
    async for item in chunks:
        held.append(item)
        if item.says_something or _cut_short(item) or (stops and _finishes(item)):
            return
        if _finishes(item):
            break
    raise AnswerInvalid(name, "the stream ended without content")


def _cut_short(item: ChatChunk) -> bool:
    """An end that explains why there is no content: the next lane would be cut as well, or refuse as well."""
    return any(choice.finish_reason in ("length", "content_filter") for choice in item.choices)


def _finishes(item: ChatChunk) -> bool:
    return any(choice.finish_reason for choice in item.choices)


def _wants_usage(request: ChatRequest) -> bool:
    return bool(request.stream_options and request.stream_options.include_usage)


def _work(body: bytes, tokens: int = 0) -> float:
    """How much there was to do, so that a long prompt or answer is not taken for a brown-out."""
    return 1 + len(body) / 1000 + min(max(0, tokens), MOST_TOKENS) / 10


async def _replay(whole: ChatCompletion, include_usage: bool) -> AsyncGenerator[ChatChunk, None]:
    for item in as_chunks(whole, include_usage=include_usage):
        yield item


def body_of(request: ChatRequest) -> bytes:
    """The bytes every lane gets: known fields only."""
    return json.dumps(request.sent(), ensure_ascii=False).encode()
