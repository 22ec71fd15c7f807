"""Bounds on a mean that hold at every moment, so that somebody may look after each outcome and stop when they like.

The hedged capital process of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B, 2024): a mean is excluded once a bettor against it, who never sees the next outcome, has multiplied the
money by 2 / alpha.
"""

import math

import numpy as np

from serve.learning.log import Floats

GRID = 401
MOST_BET = 0.5


def bounds(x: Floats, alpha: float) -> tuple[float, float]:
    """(low, high) of the mean of `x`, values from 0 to 1 in the order they came.

    The probability that they are ever wrong is `alpha` at most.
    """
    if not x.size:
        return 0.0, 1.0
    means = np.linspace(0, 1, GRID)
    stake = _stakes(x, alpha)[:, None]
    away = x[:, None] - means
    with np.errstate(divide="ignore"):
        up = np.minimum(stake, MOST_BET / means)
        down = np.minimum(stake, MOST_BET / (1 - means))
    limit = math.log(2 / alpha)
    too_low = np.cumsum(np.log1p(up * away), axis=0).max(axis=0) >= limit
    too_high = np.cumsum(np.log1p(-down * away), axis=0).max(axis=0) >= limit
    left = np.flatnonzero(~too_low & ~too_high)
    if not left.size:  # the mean has moved: no single one fits what was seen
        return float(x.mean()), float(x.mean())
    step = 1 / (GRID - 1)
    return max(0.0, float(means[left[0]]) - step), min(1.0, float(means[left[-1]]) + step)


def _stakes(x: Floats, alpha: float) -> Floats:
    """What is bet on each outcome, from the ones before it alone."""
    t = np.arange(1, x.size + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stakes: Floats = np.sqrt(2 * math.log(2 / alpha) / (before * t * np.log1p(t)))
    return stakes
