"""What any routing table would have given on logged decisions: a doubly robust estimate.

Dudík, Langford and Li, "Doubly robust policy evaluation and learning" (ICML 2011): a model of the outcome for every
tier, corrected by the outcomes that were seen, weighted by how likely it was that they would be. It is right
when either the model or the probabilities are. The model of a decision is made of the other half of the log.

The log comes from many tables, one after the other. The weight is therefore the mean of the logged probabilities of
like decisions (Agarwal, Basu, Schnabel and Joachims, "Effective evaluation using logged bandit feedback from multiple
loggers", KDD 2017): an outcome that one table alone would hardly have seen counts for no more than it should.

Per task a table's decisions are two runs along the likely gain, below and from the threshold. Prefix sums over sorted
gains so give the sum over a million decisions by two look-ups, and ten thousand tables in well under a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from serve.learning.log import TASKS, Bools, Floats, Ints, Log
from serve.routing_table import TIERS, RoutingTable

BINS = 8
"""Gains are told apart by the model in so many equal parts."""
ALIKE = 32
"""Decisions of one task whose gains fall into the same of so many equal parts are alike."""
LEAST = 1e-3
PRIOR = 4.0
"""A cell of the model weighs its task's mean like so many decisions."""
NEVER = np.inf
LAST = len(TIERS) - 1


@dataclass(frozen=True, slots=True)
class Tables:
    """Many routing tables, a line each, a column for each of TASKS: index of the tier, and the threshold or NEVER."""

    tier: Ints
    threshold: Floats

    def __len__(self) -> int:
        return len(self.tier)

    def chosen(self, line: int, task: Ints, gain: Floats) -> Ints:
        """Index of the tier that the table in this line chooses for each decision."""
        tier = self.tier[line][task]
        raised: Ints = np.minimum(tier + (gain >= self.threshold[line][task]), LAST)
        return raised


def columns(tables: Sequence[RoutingTable]) -> Tables:
    """The same tables as columns."""
    rows = [[table.tasks[name] for name in TASKS] for table in tables]
    tier = [[TIERS.index(row.tier) for row in line] for line in rows]
    threshold = [[NEVER if row.threshold is None else row.threshold for row in line] for line in rows]
    return Tables(np.array(tier), np.array(threshold, dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Scores:
    """Doubly robust scores: for each decision what each tier would have given. Success 0 to 1, cost in micro-dollars.

    A single score may be far outside of that range; only their means say something.
    """

    task: Ints
    gain: Floats
    success: Floats
    cost: Floats

    def __len__(self) -> int:
        return len(self.gain)


def scores(log: Log) -> Scores:
    """The scores of all decisions of `log`, two or more."""
    cells = _cells(log)
    half = np.arange(len(log)) % 2
    alike = np.unique(_cells(log, ALIKE) << len(TIERS) | log.lanes, return_inverse=True)[1]
    weight = _weights(log, alike)
    success, cost = (_robust(log, values, cells, half, alike, weight) for values in (log.success, log.cost))
    return Scores(log.task, log.gain, success, cost)


def _cells(log: Log, bins: int = BINS) -> Ints:
    edges = np.quantile(log.gain, np.linspace(0, 1, bins + 1)[1:-1])
    found: Ints = log.task * bins + np.searchsorted(edges, log.gain, side="right")
    return found


def _weights(log: Log, alike: Ints) -> Floats:
    """For each decision and tier one over the mean chance, among decisions alike, of seeing it; 0 where it was not."""
    count = np.bincount(alike)
    mean = np.stack([np.bincount(alike, column) / count for column in log.chance.T], axis=1)
    found: Floats = log.seen / np.maximum(mean[alike], LEAST)
    return found


def _robust(log: Log, values: Floats, cells: Ints, half: Ints, alike: Ints, weight: Floats) -> Floats:
    modelled = np.empty_like(values)
    for side in (0, 1):
        mine = half == side
        modelled[mine] = _model(log, values, cells, ~mine)[cells[mine], log.lanes[mine]]
    off = np.where(log.seen, values - modelled, 0.0)
    modelled += weight * off + _paired(log, off, half, alike, weight)
    return modelled


def _paired(log: Log, off: Floats, half: Ints, alike: Ints, weight: Floats) -> Floats:
    """What is added to the scores of each tier for how far off (`off`) the model was on other tiers.

    A prompt that surprises at one tier surprises at others. Among decisions alike, those of which both tiers were
    seen are compared with all of which the other one was: the sum is zero, but for the luck of which were paired.
    """
    found = np.zeros_like(off)
    for tier, other in permutations(range(len(TIERS)), 2):
        both = log.seen[:, tier] & log.seen[:, other]
        paired = np.where(both, weight[:, tier], 0.0)
        share = np.bincount(alike, paired) / np.maximum(np.bincount(alike, log.seen[:, other]), 1)
        slope = [_slope(off[both & (half != side)][:, [other, tier]]) for side in (0, 1)]
        found[:, tier] += np.take(slope, half) * off[:, other] * (share[alike] - paired)
    return found


def _slope(pairs: Floats) -> float:
    """Of the second column by the first, drawn towards 0 where there are few."""
    x, y = pairs.T
    square = float(x @ x)
    return float(x @ y) / square * len(pairs) / (len(pairs) + PRIOR) if square > 0 else 0.0


def _model(log: Log, values: Floats, cells: Ints, half: Bools) -> Floats:
    """By cell and lanes the mean of every tier in one half, drawn towards that of its cell, its task, and of all."""
    place, tier = np.nonzero(log.seen & half[:, None])
    value = values[place, tier]
    tiers = len(TIERS)
    of_all = _means(tier, value, tiers, np.full(tiers, value.mean() if value.size else 0.0))
    prior = np.tile(of_all, len(TASKS))
    of_task = _means(log.task[place] * tiers + tier, value, prior.size, prior).reshape(len(TASKS), tiers)
    near = np.repeat(of_task, BINS, axis=0).ravel()
    of_cell = _means(cells[place] * tiers + tier, value, near.size, near).reshape(-1, 1, tiers)
    kinds = 1 << tiers
    last = np.repeat(of_cell, kinds, axis=1).ravel()
    group = (cells[place] * kinds + log.lanes[place]) * tiers + tier
    return _means(group, value, last.size, last).reshape(-1, kinds, tiers)


def _means(group: Ints, value: Floats, groups: int, prior: Floats) -> Floats:
    count = np.bincount(group, minlength=groups)
    total = np.bincount(group, value, groups)
    found: Floats = (total + PRIOR * prior) / (count + PRIOR)
    return found


class Ladder:
    """Sums of per-tier values over the decisions of any table.

    `values`: for each decision, tier and measure, so of the shape (decisions, tiers, measures).
    """

    def __init__(self, task: Ints, gain: Floats, values: Floats) -> None:
        order = np.lexsort((gain, task))
        starts = np.searchsorted(task[order], np.arange(len(TASKS) + 1))
        self.gains: list[Floats] = []
        self._sums: list[Floats] = []
        for start, end in pairwise(starts.tolist()):
            mine = order[start:end]
            first = np.zeros((1, *values.shape[1:]))
            self.gains.append(gain[mine])
            self._sums.append(np.concatenate([first, np.cumsum(values[mine], axis=0)]))

    def of_task(self, task: int, tier: Ints, threshold: Floats) -> Floats:
        """Sums over the decisions of one task for many rows: (rows, measures)."""
        sums = self._sums[task]
        place = np.searchsorted(self.gains[task], threshold, side="left")
        higher = np.minimum(tier + 1, LAST)
        found: Floats = sums[place, tier] + sums[-1, higher] - sums[place, higher]
        return found

    def of_tables(self, tables: Tables) -> Floats:
        """Sums over all decisions for each table: (tables, measures)."""
        parts = [
            self.of_task(task, tables.tier[:, task], tables.threshold[:, task]) for task in range(len(TASKS))
        ]
        found: Floats = np.sum(parts, axis=0)
        return found


@dataclass(frozen=True, slots=True)
class Values:
    """Per table: mean success (0 to 1) and mean cost (micro-dollars), and how much better than the current table.

    better, error  mean of the difference in success - cost / worth, and its standard error
    """

    success: Floats
    cost: Floats
    better: Floats
    error: Floats


def measures(scored: Scores, current: Tables) -> Floats:
    """Differences to the current table's decisions as (decisions, tiers, measures): s, x, ss, xx, sx."""
    rows = np.arange(len(scored))
    chosen = current.chosen(0, scored.task, scored.gain)
    s = scored.success - scored.success[rows, chosen][:, None]
    x = scored.cost - scored.cost[rows, chosen][:, None]
    return np.stack([s, x, s * s, x * x, s * x], axis=2)


def advantage(sums: Floats, count: int, worth: float | Floats) -> tuple[Floats, Floats]:
    """Mean and standard error of the difference in success - cost / worth, from sums of `measures`."""
    s, x, ss, xx, sx = (sums[..., place] / count for place in range(5))
    mean = s - x / worth
    square = ss + xx / worth**2 - 2 * sx / worth
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0) / max(1, count - 1))


def evaluate(scored: Scores, tables: Tables, current: Tables, worth: float) -> Values:
    """What `tables` would have given. `worth`: micro-dollars that one more success may cost."""
    count = len(scored)
    sums = Ladder(scored.task, scored.gain, measures(scored, current)).of_tables(tables)
    rows, chosen = np.arange(count), current.chosen(0, scored.task, scored.gain)
    mean, error = advantage(sums, count, worth)
    success = scored.success[rows, chosen].mean() + sums[:, 0] / count
    cost = scored.cost[rows, chosen].mean() + sums[:, 1] / count
    return Values(success, cost, mean, error)
