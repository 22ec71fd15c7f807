"""Whether the answers of the tier below are good enough: a sequential test. Pure.

The bounds are a confidence sequence for a share, by the method of mixtures (Robbins 1970): with a uniform prior the
likelihood ratio of the mixture to any share p is a martingale under p, so by Ville's inequality all bounds ever told
hold together with probability 1 - ALPHA. One may look after every answer and stop when one likes.
"""

import math
from dataclasses import dataclass
from typing import Literal

ALPHA = 0.05
Advice = Literal["may change", "keep", "more samples"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bounds of the share of good answers, and what they say of the routing table.

    may change    even the lower bound is enough: such tasks may go to the tier below
    keep          even the upper bound is not enough
    """

    low: float
    high: float
    advice: Advice


def weigh(good: int, bad: int, enough: float) -> Evidence:
    """After so many good and bad answers. `enough`: the share (0 to 1) that the tier below must reach."""
    low, high = bounds(good, bad)
    if low >= enough:
        return Evidence(low, high, "may change")
    return Evidence(low, high, "keep" if high < enough else "more samples")


def bounds(good: int, bad: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Lower and upper bound of the share. Raises ValueError for negative numbers."""
    if good < 0 or bad < 0:
        raise ValueError("counts of answers are not negative")
    top = good / (good + bad) if good + bad else 0.5
    limit = -math.log(alpha)
    low = 0.0 if not good else _cross(good, bad, limit, 0.0, top)
    high = 1.0 if not bad else _cross(good, bad, limit, 1.0, top)
    return low, high


def _cross(good: int, bad: int, limit: float, outside: float, inside: float) -> float:
    """Where the evidence against a share reaches the limit: it only grows on the way from `inside` to `outside`."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if _against(good, bad, middle) >= limit:
            outside = middle
        else:
            inside = middle
    return outside


def _against(good: int, bad: int, share: float) -> float:
    """The logarithm of the mixture's likelihood over that of `share`."""
    mixture = math.lgamma(good + 1) + math.lgamma(bad + 1) - math.lgamma(good + bad + 2)
    if (good and share <= 0) or (bad and share >= 1):
        return math.inf
    likelihood = (good * math.log(share) if good else 0.0) + (bad * math.log1p(-share) if bad else 0.0)
    return mixture - likelihood
