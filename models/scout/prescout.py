"""The pre-scout: judges a prompt inside the Router process, from hashed n-grams alone.

Knows nothing about lanes or thresholds, and nothing about tools, files or earlier turns.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.scout import gain, head
from models.scout.features import BUCKETS, DENSE, Features, extract
from serve.signals.readings import ScoutReading, TaskReading

SHIPPED = Path(__file__).with_name("prescout.safetensors")


class PreScout:
    """Immutable after loading, so any number of threads may score with one instance."""

    def __init__(self, weights: head.Head, gains: gain.GainModel | None = None) -> None:
        weights.require_inputs(BUCKETS, len(DENSE))
        self._weights = weights
        self._gains = gains

    @classmethod
    def load(cls, path: Path = SHIPPED, gains: Path = gain.SHIPPED) -> "PreScout":
        """Reads the artefacts; the gain model may be absent. Raises `head.ArtefactError` where one cannot be used."""
        return cls(head.load(path), gain.load(gains) if gains.is_file() else None)

    @property
    def version(self) -> str:
        """The versions of the loaded weights, for the audit record."""
        return f"{self._weights.version}+{self._gains.version}" if self._gains else self._weights.version

    def score(self, text: str) -> tuple[ScoutReading, TaskReading]:
        """Difficulty, likely gain and task type of `text`, with calibrated probabilities."""
        found = extract(text)
        scout, task = self._weights.readings(self._logits(found), "pre-scout")
        if self._gains is None:
            # The nearest thing to a likely gain, and nothing that was learned from gains.
            return replace(scout, gain=scout.complex, unfamiliar=1.0), task
        judged = self._gains.judge(text, found)
        return replace(scout, gain=judged.likely, unfamiliar=judged.unfamiliar), task

    def _logits(self, found: Features) -> head.Floats:
        # einsum stays on the calling thread and sums in a fixed order; BLAS promises neither.
        # `take` gathers rows several times as fast as an index array does.
        rows = np.take(self._weights.wide, found.buckets, axis=0)
        wide = np.einsum("i,ij->j", found.values, rows)
        dense = np.einsum("i,ij->j", found.dense, self._weights.dense)
        logits: head.Floats = wide + dense + self._weights.bias
        return logits
