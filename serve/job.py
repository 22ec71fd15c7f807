"""One request's job of being answered: what it may use, each attempt at it, and the answer that comes of it.

Types alone: asks nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from serve import holdback
from serve.audit.port import NOT_WANTED, Written
from serve.checks import Checks
from serve.config import ConfidenceConfig
from serve.decision import Decision
from serve.preambles.config import Preamble
from serve.trail import Trail
from serve.wire.openai_answer import ChatChunk, ChatCompletion
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_embeddings import Vectors


def now() -> float:
    """Seconds of the event loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One lane asked once, and how it went: `ok`, `repaired`, `reasked`, `cancelled` or a LaneError's outcome."""

    lane: str
    outcome: str
    seconds: float
    detail: str = ""


class Charge(Protocol):
    """The money side of one attempt. It is over with the `with` block around it, or with `end`."""

    def taken(self) -> None:
        """The lane has the call."""
        ...

    def hear(self, item: ChatChunk | ChatCompletion | Vectors) -> None:
        """A part of the answer, or the whole of it."""
        ...

    def end(self, error: BaseException | None) -> None:
        """It is over; only the first call counts."""
        ...

    def __enter__(self) -> "Charge": ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Meter(Protocol):
    """Who keeps count of what attempts cost."""

    async def begin(self, lane: str, more: int = 0) -> Charge:
        """Open an attempt at `lane`, with `more` tokens than the client sent.

        Raises LaneError when there is no money for it: the lane is not asked.
        """
        ...


class _Uncounted(AbstractContextManager["_Uncounted", None]):
    """A meter and charge for work that costs nobody anything."""

    async def begin(self, lane: str, more: int = 0) -> Charge:
        return self

    def taken(self) -> None: ...
    def hear(self, item: ChatChunk | ChatCompletion | Vectors) -> None: ...
    def end(self, error: BaseException | None) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


UNCOUNTED = _Uncounted()


@dataclass(frozen=True, slots=True)
class Job:
    """One request on its way, and what its answer must be like (`checks`).

    `deadline` is a time of the event loop's clock; `spent` is told the tokens used, `meter` every attempt.
    `intent` is the record without which nothing leaves the premises. `timed` is told of each stage that is over: its
    name and the time.monotonic() at which it began.
    """

    request: ChatRequest
    body: bytes
    decision: Decision
    decision_id: str
    deadline: float
    spent: Callable[[int], None] = lambda tokens: None
    trail: Trail = field(default_factory=Trail)
    meter: Meter = UNCOUNTED
    intent: Written = NOT_WANTED
    checks: Checks | None = None
    more_tokens: int = 0  # of input, beyond what the client sent
    confidence: ConfidenceConfig | None = None  # how sure of the answer a lane must be that tells
    preambles: Mapping[str, Preamble] = field(default_factory=dict)  # of lanes that get one
    doubts: bool = False  # whether calls of our own lanes are doubted that do not stand on what was said
    home: str = ""
    timed: Callable[[str, float], float] = lambda stage, began: began
    thoughts: Mapping[str, frozenset[str]] = field(
        default_factory=dict
    )  # of lanes: blobs they may be given again

    @property
    def streams(self) -> bool:
        """Whether the client sees words as they come.

        What must be valid as a whole is held back, unless its beginning can tell.
        """
        request = self.request
        tools = bool(request.tools) and request.tool_choice != "none"
        held_back = (
            self.checks is not None
            or self.confidence is not None
            or request.structured
            or (tools and (self.doubts or not holdback.applies(request)))
        )
        return bool(request.stream) and not held_back

    def left(self, seconds: float) -> float:
        """`seconds`, or what is left until the deadline if that is less."""
        return max(0.001, min(seconds, self.deadline - now()))


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

    Either `whole`, or `vectors`, or `chunks`: a stream whose first content has arrived, so the client may be told 200.
    """

    lane: str
    attempts: tuple[Attempt, ...]
    whole: ChatCompletion | None = None
    chunks: ChunkStream | None = None
    vectors: Vectors | None = None
    reason: str | None = None  # a code that weighs more than the decision's own
