"""What a lane is to the router: something that takes one call and yields pieces of an answer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from serve.egress import Permit

Piece = list[str]
"""JSON documents that travel together: one whole completion, or some chunks of a stream. Empty: call taken."""


@dataclass(frozen=True, slots=True)
class LaneCall:
    """One attempt at one lane. Crosses a Ray handle.

    body    the chat request as JSON, known fields only, `model` and `stream` set by the lane
    stream  whether pieces hold chunks (`ChatChunk`) or the whole answer (`ChatCompletion`)
    home    a hash that the calls of one conversation share; empty: it does not matter which replica answers
    """

    lane: str
    body: bytes
    stream: bool
    permit: Permit
    decision_id: str
    home: str = ""


class LanePort(Protocol):
    """A lane as dispatch sees it."""

    def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """Pieces of the answer in order; the first is empty and comes as soon as the call was taken.

        Raises LaneError; closing the iterator stops the work behind it.
        """
        ...
