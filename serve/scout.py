"""The Scout deployment: a sentence encoder or a small instruct model, asked when the pre-scout is unsure.

Batches concurrent questions. Does not decide: it only says how hard a request looks.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any, Protocol

from ray import serve

from models import store
from serve import lines
from serve.config import ScoutConfig
from serve.signals.scout import Judgement

log = logging.getLogger("pointsman.scout")


class Judge(Protocol):
    """What a back end can do. It may block: it is called off the event loop, one batch at a time."""

    def judge(self, texts: list[str]) -> list[Judgement]: ...


class Scout:
    """One back end in one process."""

    def __init__(self, config: ScoutConfig) -> None:
        lines.join()
        self._head: Judge | None = None
        try:
            self._head = loaded(config)
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


def loaded(config: ScoutConfig) -> Judge:
    """The back end that `config` names, with its weights in memory: on the GPU where it was given a share of one.

    Raises ModelMissing, ArtefactError, ValueError or OSError where it cannot be had.
    """
    return _encoder(config) if config.backend == "encoder" else _causal_lm(config)


# torch belongs in this process alone: the driver and the router start without it.
def _encoder(config: ScoutConfig) -> Judge:
    from models.scout import encoder

    model = encoder.Encoder(folder(config.model), config.threads, "cuda" if config.num_gpus else "cpu")
    return encoder.ScoutHead.load(model, Path(config.head) if config.head else encoder.SHIPPED)


def _causal_lm(config: ScoutConfig) -> Judge:
    from models.scout import causal

    place, threads = folder(config.model), config.threads
    if config.num_gpus:
        reader = causal.LabelReader(place, device="cuda", bits=config.bits, threads=threads)
    else:
        reader = causal.LabelReader(place, threads=threads)
    return causal.CausalHead.load(reader, Path(config.head) if config.head else causal.SHIPPED)


def folder(model: str) -> Path:
    """Where the weights of a folder or of a name in models/lock.toml lie. Raises ModelMissing."""
    return Path(model) if Path(model).is_dir() else store.path(model)


ScoutDeployment = serve.deployment(name="Scout")(Scout)
