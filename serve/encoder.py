"""Encoder: one sentence encoder in one deployment, behind one lane, spoken to in OpenAI's words for embeddings.

Batches the inputs of concurrent requests. Runs what it is told to run; does not know policy or the outside world.
"""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from ray import serve

from models import store
from serve import lines
from serve.batches import Batches
from serve.config import EncoderLane
from serve.lane_errors import LaneMisconfigured, LaneRejected, LaneTooLong
from serve.lanes.base import LaneCall, Piece

if TYPE_CHECKING:
    from models.encoder import SentenceEncoder

log = logging.getLogger("pointsman.encoder")

Vector = NDArray[np.float32]


class Asked(BaseModel):
    """What the router sends of a request; the rest of it is not for encoders."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    input: list[str]
    dimensions: int | None = None


class Encoder:
    """One encoder in one process. Closing an answer's iterator leaves the inputs that were not begun."""

    def __init__(self, lane: EncoderLane) -> None:
        lines.join()
        self._lane = lane
        self._model: SentenceEncoder | None = None
        self._batches = Batches(self._embed, lane.max_batch_size)
        try:
            self._model = _loaded(lane)
        except Exception as error:  # an encoder that cannot start must not stop the graph
            log.error("the encoder of %s has no model (%s: %s)", lane.name, type(error).__name__, error)

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """The vectors in one document, an empty piece first: the call was taken. Raises LaneError."""
        yield []
        model = self._model
        if model is None:
            raise LaneMisconfigured(
                call.lane, "its model could not be loaded: the log of its replica says why"
            )
        asked = Asked.model_validate_json(call.body)
        rows = await asyncio.to_thread(lambda: [model.tokens(text) for text in asked.input])
        fits(self._lane, model.longest, [len(row) for row in rows])
        vectors = await self._embedded(rows)
        yield [await asyncio.to_thread(document, self._lane, vectors, asked.dimensions, sum(map(len, rows)))]

    async def _embedded(self, rows: list[list[int]]) -> list[Vector]:
        """The vector of each row of tokens, in order; rows of like length in one batch, for shorter ones are padded."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        vectors = await self._batches.each([rows[index] for index in order])
        found = dict(zip(order, vectors, strict=True))
        return [found[index] for index in range(len(rows))]

    def _embed(self, rows: list[list[int]]) -> list[Vector]:
        assert self._model is not None
        return list(self._model.embed(rows))


def fits(lane: EncoderLane, longest: int, counts: list[int]) -> None:
    """Raises LaneTooLong that names the first input that is too long, by `counts`, or says that all together are."""
    limit = min(lane.context, longest)
    for index, count in enumerate(counts):
        if count > limit:
            raise LaneTooLong(
                lane.name,
                f"input[{index}] has {count:,} tokens and {lane.model} takes {limit:,} at a time: split the text",
            )
    if (total := sum(counts)) > (most := lane.max_request_tokens):
        raise LaneTooLong(
            lane.name,
            f"input has {total:,} tokens and one request may have {most:,}: send fewer texts at a time",
        )


def document(lane: EncoderLane, vectors: list[Vector], dimensions: int | None, tokens: int) -> str:
    """The answer as JSON of OpenAI's shape, vectors in base64. Raises LaneRejected for `dimensions` there are not.

    Fewer dimensions than the model has are its first ones, made a unit vector again, as OpenAI does.
    """
    width = len(vectors[0])
    if dimensions is not None and dimensions > width:
        raise LaneRejected(lane.name, f"dimensions is {dimensions:,} and {lane.model} makes {width:,}")
    kept = np.stack(vectors)[:, : dimensions or width]
    if dimensions is not None:
        kept = kept / np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    data = [
        {"object": "embedding", "index": index, "embedding": base64.b64encode(row.tobytes()).decode()}
        for index, row in enumerate(kept.astype("<f4"))
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json.dumps({"object": "list", "model": lane.model, "data": data, "usage": usage})


def _loaded(lane: EncoderLane) -> "SentenceEncoder":
    # torch belongs in this process alone: the driver and the router start without it.
    from models.encoder import SentenceEncoder

    return SentenceEncoder(lane.path or store.path(lane.model), lane.pooling, lane.threads)


# Serve learns from a health check that a replica is dead; until then the router waits for it in vain.
EncoderDeployment = serve.deployment(name="Encoder", health_check_period_s=2, health_check_timeout_s=60)(
    Encoder
)
