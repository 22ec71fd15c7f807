"""The pre-scout: judges a prompt inside the Router process, from hashed n-grams alone.

Knows nothing about lanes or thresholds, and nothing about tools, files or earlier turns.
"""

from pathlib import Path

import numpy as np

from models.scout import head
from models.scout.features import BUCKETS, DENSE, Features, extract
from serve.signals.readings import ScoutReading, TaskReading

SHIPPED = Path(__file__).with_name("prescout.safetensors")


class PreScout:
    """Immutable after loading, so any number of threads may score with one instance."""

    def __init__(self, weights: head.Head) -> None:
        weights.require_inputs(BUCKETS, len(DENSE))
        self._weights = weights

    @classmethod
    def load(cls, path: Path = SHIPPED) -> "PreScout":
        """Reads the artefact. Raises `head.ArtefactError` where it cannot be used."""
        return cls(head.load(path))

    @property
    def version(self) -> str:
        """The version of the loaded weights, for the audit record."""
        return self._weights.version

    def score(self, text: str) -> tuple[ScoutReading, TaskReading]:
        """Difficulty and task type of `text`, with calibrated probabilities."""
        return self._weights.readings(self._logits(extract(text)), "pre-scout")

    def _logits(self, found: Features) -> head.Floats:
        # einsum stays on the calling thread and sums in a fixed order; BLAS promises neither.
        wide = np.einsum("i,ij->j", found.values, self._weights.wide[found.buckets])
        dense = np.einsum("i,ij->j", found.dense, self._weights.dense)
        logits: head.Floats = wide + dense + self._weights.bias
        return logits
