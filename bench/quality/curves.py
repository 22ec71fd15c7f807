"""What a ranking of prompts is worth: gap recovered, calls needed, money saved, with bootstrap intervals.

Arithmetic on arrays only; knows no model, prompt or file.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Below this gap between the two models there is nothing to recover, and a share of it says nothing.
LEAST_GAP = 1e-9


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Per prompt: both models' scores (0 to 1) and costs (USD)."""

    weak: Floats
    strong: Floats
    weak_cost: Floats
    strong_cost: Floats

    def taken(self, rows: Ints) -> "Outcomes":
        """The same of these rows; a row may come more than once."""
        return Outcomes(self.weak[rows], self.strong[rows], self.weak_cost[rows], self.strong_cost[rows])


@dataclass(frozen=True, slots=True)
class Figures:
    """What sending the highest scores to the strong model gives; None where the pair has no gap.

    apgr             mean share of the gap recovered over all shares of strong calls; random is 0.5
    cpt50, cpt80     share of strong calls that recovers 50% and 80% of the gap
    saved95, saved98 share of always-strong's cost saved at 95% and 98% of its quality
    cpst             USD per successful answer at 95% of always-strong's quality
    """

    apgr: float | None
    cpt50: float | None
    cpt80: float | None
    saved95: float | None
    saved98: float | None
    cpst: float | None


NAMES = ("apgr", "cpt50", "cpt80", "saved95", "saved98", "cpst")


def figures(score: Floats, outcomes: Outcomes) -> Figures:
    """The figures of one ranking. Equal scores count as if in random order among themselves."""
    quality, cost = _curve(score, outcomes)
    gap = quality[-1] - quality[0]
    has_gap = gap > LEAST_GAP
    recovered = (quality - quality[0]) / gap if has_gap else None
    at95, at98 = _first(quality, 0.95 * quality[-1]), _first(quality, 0.98 * quality[-1])
    return Figures(
        apgr=None if recovered is None else float(np.mean((recovered[1:] + recovered[:-1]) / 2)),
        cpt50=None if recovered is None else _first(recovered, 0.5) / score.size,
        cpt80=None if recovered is None else _first(recovered, 0.8) / score.size,
        saved95=_saved(cost, at95),
        saved98=_saved(cost, at98),
        cpst=_per_success(quality, cost, at95),
    )


def fixed(outcomes: Outcomes, *, strong: bool) -> Figures:
    """The figures of always asking one side: no ranking, so no APGR and no calls to count."""
    cost, right = (outcomes.strong_cost, outcomes.strong) if strong else (outcomes.weak_cost, outcomes.weak)
    reached = float(right.sum() / max(outcomes.strong.sum(), LEAST_GAP))
    saved = 1 - float(cost.sum() / max(outcomes.strong_cost.sum(), 1e-12))
    successes = float(right.sum())
    return Figures(
        None,
        None,
        None,
        saved if reached >= 0.95 else None,
        saved if reached >= 0.98 else None,
        float(cost.sum()) / successes if successes > 0 else None,
    )


def _curve(score: Floats, outcomes: Outcomes) -> tuple[Floats, Floats]:
    """Total quality and total cost with 0, 1, 2 … prompts sent to the strong model, highest scores first."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    starts = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    group = np.cumsum(starts) - 1
    sizes = np.bincount(group)
    steps = []
    for change in (outcomes.strong - outcomes.weak, outcomes.strong_cost - outcomes.weak_cost):
        steps.append((np.bincount(group, change[order]) / sizes)[group])
    quality = outcomes.weak.sum() + np.concatenate([[0.0], np.cumsum(steps[0])])
    cost = outcomes.weak_cost.sum() + np.concatenate([[0.0], np.cumsum(steps[1])])
    return quality, cost


def _first(curve: Floats, level: float) -> int:
    """The fewest strong calls that reach `level`; all of them where the sum misses it by rounding."""
    reached = np.flatnonzero(curve >= level - 1e-9)
    return int(reached[0]) if reached.size else curve.size - 1


def _saved(cost: Floats, calls: int) -> float | None:
    return None if cost[-1] <= 0 else float(1 - cost[calls] / cost[-1])


def _per_success(quality: Floats, cost: Floats, calls: int) -> float | None:
    return None if quality[calls] <= 0 else float(cost[calls] / quality[calls])
