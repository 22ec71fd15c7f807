"""Whether a canary table does better or worse than the current one, watched after every outcome.

Only requests on which the two tables choose different tiers say anything. Which of them decided was drawn by a hash,
so each outcome of the canary is compared with the current table's outcomes since the one before it: what changes
with time changes for both.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from serve.learning.bounds import bounds
from serve.learning.log import Bools, Floats

State = Literal["going", "better", "worse"]
SPAN = 2.0
"""A difference in success - cost / worth lies within plus and minus this."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a trial ends.

    alpha   how often, at most, a bound may be wrong over the whole trial
    enough  comparisons after which a canary that is not behind is taken
    patient outcomes of both tables after which the one that is ahead is taken, however few can be compared
    margin  a canary whose bounds say nothing is behind if it is behind by more than this
    bad     failures of the canary beyond what the current table would have had; so many end it whatever the bounds say
    """

    alpha: float = 0.05
    enough: int = 200
    patient: int = 4000
    margin: float = 0.05
    bad: int = 100


USUAL = Rules()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it stands. `better` with `low` and `high`: of the difference in success - cost / worth."""

    state: State
    why: str
    compared: int
    failed: int
    better: float = 0.0
    low: float = -SPAN
    high: float = SPAN


def judge(
    canary: Bools, success: Floats, cost: Floats, worth: float, waited: int = 0, rules: Rules = USUAL
) -> Verdict:
    """The verdict on outcomes in the order they came; `canary` says who decided. `worth`, `cost`: micro-dollars.

    `waited`: outcomes of both tables since the trial began, those on which they agree too.
    """
    reward = success - np.minimum(cost / worth, 1.0)
    differences, excess = _compared(canary, reward, success)
    failed = int((success[canary] < 0.5).sum())
    count = differences.size
    if not count:
        return Verdict("going", "nothing to compare yet", 0, failed)
    low, high = (2 * SPAN * end - SPAN for end in bounds((differences + SPAN) / (2 * SPAN), rules.alpha))
    mean = float(differences.mean())
    state, why = _state(count, waited, mean, (low, high), excess, rules)
    return Verdict(state, why, count, failed, mean, low, high)


def _state(
    count: int, waited: int, mean: float, ends: tuple[float, float], excess: float, rules: Rules
) -> tuple[State, str]:
    low, high = ends
    if high < 0:
        return "worse", "its upper bound is below the current table"
    if excess >= rules.bad:
        return "worse", f"it failed {excess:.0f} times more often than the current table would have"
    if low > 0:
        return "better", "its lower bound is above the current table"
    if count < rules.enough and waited < rules.patient:
        return "going", "not decided yet"
    if mean >= -rules.margin:
        return "better", f"not behind after {count} comparisons"
    return "worse", f"behind after {count} comparisons"


def _compared(canary: Bools, reward: Floats, success: Floats) -> tuple[Floats, float]:
    """The canary's reward less the current table's since the comparison before, and its failures in excess."""
    differences, excess = [], 0.0
    seen, total, won = 0, 0.0, 0.0
    for mine, value, good in zip(canary.tolist(), reward.tolist(), success.tolist(), strict=True):
        if not mine:
            seen, total, won = seen + 1, total + value, won + good
        elif seen:
            differences.append(value - total / seen)
            excess += won / seen - good
            seen, total, won = 0, 0.0, 0.0
    return np.array(differences), excess
