"""The Scout deployment: a sentence encoder with a trained head, asked when the pre-scout is unsure.

Batches concurrent questions. Does not decide: it only says how hard a request looks.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ray import serve

from models import store
from serve.config import ScoutConfig
from serve.signals.scout import Judgement

if TYPE_CHECKING:
    from models.scout.encoder import ScoutHead

log = logging.getLogger("pointsman.scout")


class Scout:
    """One encoder in one process."""

    def __init__(self, config: ScoutConfig) -> None:
        self._head: ScoutHead | None = None
        try:
            self._head = _loaded(config)
        except Exception as error:  # a Scout that cannot start must not stop the graph
            log.error(
                "the Scout has no model (%s: %s): the pre-scout judges alone", type(error).__name__, error
            )
        batcher: Any = self._batched  # @serve.batch adds the setters, its type does not know them
        batcher.set_max_batch_size(config.max_batch_size)
        batcher.set_batch_wait_timeout_s(config.batch_wait_s)

    async def judge(self, text: str) -> Judgement:
        """How hard `text` looks, and what kind of work it asks for."""
        if self._head is None:
            raise RuntimeError("the Scout has no model")
        judgement: Judgement = await self._batched(text)
        return judgement

    @serve.batch
    async def _batched(self, texts: list[str]) -> list[Judgement]:
        assert self._head is not None
        return await asyncio.to_thread(self._head.judge, texts)


def _loaded(config: ScoutConfig) -> "ScoutHead":
    # torch belongs in this process alone: the driver and the router start without it.
    from models.scout.encoder import Encoder, ScoutHead

    return ScoutHead.load(Encoder(store.path(config.model), threads=config.threads))


ScoutDeployment = serve.deployment(name="Scout")(Scout)
