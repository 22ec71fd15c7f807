"""Accuracy, macro-F1, calibration error and the majority baseline of one set of predictions.

Knows nothing about models or texts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10


@dataclass(frozen=True, slots=True)
class Score:
    """How one family was judged. `majority` is the share of its most frequent label."""

    rows: int
    accuracy: float
    macro_f1: float
    ece: float
    majority: float


def score(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Score:
    """Scores class probabilities [n, k] against class numbers [n]."""
    guesses = probabilities.argmax(1)
    right = guesses == labels
    return Score(
        rows=labels.size,
        accuracy=float(right.mean()),
        macro_f1=_macro_f1(guesses, labels),
        ece=_calibration_error(probabilities.max(1), right),
        majority=float(np.bincount(labels).max() / labels.size),
    )


def _macro_f1(guesses: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """Mean over the classes that occur in `labels`."""
    values = []
    for name in np.unique(labels):
        hit = np.sum((guesses == name) & (labels == name))
        values.append(2 * hit / (np.sum(guesses == name) + np.sum(labels == name)))
    return float(np.mean(values))


def _calibration_error(confidence: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        np.sum(bins == number) * abs(confidence[bins == number].mean() - right[bins == number].mean())
        for number in np.unique(bins)
    ]
    return float(np.sum(gaps) / right.size)
