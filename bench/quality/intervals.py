"""Figures with their 95% intervals, as (figure, low, high). Pure; the same numbers give the same intervals."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.96
ROUNDS = 1000
Figure = tuple[float, float, float]


def of_share(hits: Sequence[bool]) -> Figure | None:
    """A share, by Wilson's interval; None of nothing."""
    if not hits:
        return None
    n, share = len(hits), sum(hits) / len(hits)
    middle, spread = share + Z * Z / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    low, high = ((middle + side * spread) / (1 + Z * Z / n) for side in (-1, 1))
    return round(share, 4), round(max(0.0, low), 4), round(min(1.0, high), 4)


def resampled(columns: Sequence[npt.NDArray[Any]], figure: Callable[..., float]) -> Figure:
    """A figure of rows, by the percentile bootstrap over rows.

    Rounds in which the last column has one value only are left out: they say nothing.
    """
    rng, n = np.random.default_rng(0), len(columns[0])
    found = []
    for _ in range(ROUNDS):
        taken = rng.integers(0, n, n)
        sample = [column[taken] for column in columns]
        if np.unique(sample[-1]).size > 1:
            found.append(figure(*sample))
    low, high = np.percentile(found, [2.5, 97.5]) if found else (math.nan, math.nan)
    return round(figure(*columns), 4), round(float(low), 4), round(float(high), 4)


def of_gain(before: Sequence[bool], after: Sequence[bool]) -> Figure:
    """How much more often the same questions are right, by the paired percentile bootstrap."""
    rng, gains = np.random.default_rng(0), np.array(after, dtype=float) - np.array(before, dtype=float)
    means = gains[rng.integers(0, gains.size, (ROUNDS, gains.size))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return round(float(gains.mean()), 4), round(float(low), 4), round(float(high), 4)
