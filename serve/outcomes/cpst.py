"""Cost per successful task with its 95 % interval, from sums that any database can make.

The ratio of two means of the same requests. Its logarithm is taken as normal (delta method), so the interval is
never negative and needs five sums instead of every row; a test holds it against a bootstrap.
"""

import math
from dataclasses import dataclass

Z = 1.959964
AT_LEAST = 5
"""Successes below which no interval is told: the method says nothing then."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Of the requests of one group: x is what one cost, in micro-dollars, s is 1 where it succeeded, else 0."""

    count: int = 0
    s: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xs: float = 0.0


@dataclass(frozen=True, slots=True)
class Cpst:
    """US dollars per success; None where there is none, and `low`, `high` None where too few are known."""

    usd: float | None
    low: float | None
    high: float | None


def cpst(sums: Sums) -> Cpst:
    """Everything that was spent, on failures too, over the number of successes."""
    if not sums.s:
        return Cpst(None, None, None)
    value = sums.x / sums.s / 1e6
    if sums.s < AT_LEAST:
        return Cpst(value, None, None)
    if not sums.x:
        return Cpst(0.0, 0.0, 0.0)
    spread = math.exp(Z * math.sqrt(_variance(sums)))
    return Cpst(value, value / spread, value * spread)


def _variance(sums: Sums) -> float:
    """Of the logarithm of the ratio."""
    n, x, s = sums.count, sums.x / sums.count, sums.s / sums.count
    more = n / (n - 1)
    of_x = (sums.xx / n - x * x) * more / (x * x)
    of_s = (s - s * s) * more / (s * s)
    both = (sums.xs / n - x * s) * more / (x * s)
    return max(0.0, (of_x + of_s - 2 * both) / n)
