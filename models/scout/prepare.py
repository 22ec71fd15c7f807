"""Lays out the corpus for fitting: splits, dressed copies, class numbers and row weights.

Knows nothing about features or models.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.scout import augment, corpus
from models.scout.fit import Array, Target
from models.scout.row import Row
from serve.signals.readings import DIFFICULTIES

# Families whose difficulty is what a person would say; the others are weak labels from outcomes.
JUDGED = frozenset({"complexity_uncommon", "sensitivity_vsr", "written"})
JUDGED_WEIGHT = 3.0
COPIES = 3
EVEN_FAMILY = 1_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """All rows with their masks; `original` is false for dressed copies, which are only trained on."""

    rows: list[Row]
    families: Array
    splits: Array
    original: Array
    targets: tuple[Target, Target]

    def mask(self, split: str, without: str = "") -> Array:
        """Rows of a split that are not of the family `without`."""
        chosen: Array = (self.splits == split) & (self.families != without)
        return chosen


def prepare(data: Path, seed: int) -> Prepared:
    """Reads, splits and dresses the rows; the same for the same seed."""
    rows = corpus.read(data, seed)
    splits = [corpus.split_of(row, seed) for row in rows]
    copies = _copies([row for row, split in zip(rows, splits, strict=True) if split == "train"], seed)
    everything = rows + copies
    return Prepared(
        rows=everything,
        families=np.array([row.family for row in everything]),
        splits=np.array(splits + ["train"] * len(copies)),
        original=np.arange(len(everything)) < len(rows),
        targets=(_difficulty(everything), _task(everything)),
    )


def _copies(rows: Sequence[Row], seed: int) -> list[Row]:
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    short = [row for row in rows if row.family in JUDGED and len(row.text) <= augment.LONGEST]
    return [replace(row, text=augment.dressed(row.text, source)) for row in short for _ in range(COPIES)]


def _difficulty(rows: Sequence[Row]) -> Target:
    factor = [JUDGED_WEIGHT if row.family in JUDGED else 1.0 for row in rows]
    weights = _family_weights(rows, lambda row: row.difficulty) * np.array(factor)
    labels = [DIFFICULTIES.index(row.difficulty) if row.difficulty else -1 for row in rows]
    return Target("difficulty", DIFFICULTIES, np.array(labels), weights)


def _task(rows: Sequence[Row]) -> Target:
    counts = Counter(row.task for row in rows if row.task)
    classes = tuple(sorted(counts))
    common = max(counts.values())
    factor = [(common / counts[row.task]) ** 0.5 if row.task else 0.0 for row in rows]
    labels = [classes.index(row.task) if row.task else -1 for row in rows]
    weights = _family_weights(rows, lambda row: row.task) * np.array(factor)
    return Target("task", classes, np.array(labels), weights)


def _family_weights(rows: Sequence[Row], label: Callable[[Row], str | None]) -> Array:
    """Evens out families by half (in logarithm), so that exam questions do not drown the rest."""
    sizes = Counter(row.family for row in rows if label(row))
    weights = [(EVEN_FAMILY / max(sizes[row.family], 1)) ** 0.5 for row in rows]
    return np.clip(np.array(weights), 0.3, 3.0)
