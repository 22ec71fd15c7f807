"""A better routing table, looked for in the whole log; the same search in each half is proven on the other half.

Among all tables whose rows have a tier and a threshold, the one with the most success - cost / worth is found row by
row. `worth`, what one more success may cost, is the least at which the share of always-highest's successes is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from serve.learning.estimate import NEVER, Ladder, Scores, Tables, advantage, columns, measures, scores
from serve.learning.log import TASKS, Floats, Log
from serve.routing_table import TIERS, RoutingTable, Row, flat

THRESHOLDS = 24
WORTHS = np.geomspace(10.0, 1e6, 61)
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Goal:
    """When a table may be proposed.

    kept    share of the successes of always-highest that must be kept by the estimate
    surely  the same by the lower bound
    alpha   how often, at most, a proposed table may be no better
    least   decisions without which nothing is said
    seen    decisions that must have tried a tier on a task before a row may choose it
    doubt   standard errors by which a row must look better before it changes
    spares  standard errors by which tables must look better than the proof asks for: each gives a candidate, the
            bold ones cost least and the careful ones are proven first
    """

    kept: float = 0.98
    surely: float = 0.96
    alpha: float = 0.05
    least: int = 200
    seen: int = 8
    doubt: float = 0.25
    spares: tuple[float, ...] = (1.0, 2.0, 3.0)


USUAL = Goal()
LOOKS = 6 / 9.8696
"""The k-th search for a better table may be wrong with alpha * LOOKS / k² at most: all of them with alpha."""


def careful(goal: Goal, looks: int) -> Goal:
    """The goal of a search after `looks` - 1 trials."""
    return replace(goal, alpha=goal.alpha * LOOKS / looks**2)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of one table: mean success, 0 to 1, and mean cost in micro-dollars."""

    success: float
    cost: float

    @property
    def per_success(self) -> float | None:
        """Micro-dollars."""
        return self.cost / self.success if self.success > 0 else None


@dataclass(frozen=True, slots=True)
class Proof:
    """What the halves of the log say of what was found in the other half. Bounds are one-sided and hold together.

    kept      its success less the share of always-highest's that must be kept: by estimate or bound, what is less
    gained    lower bound of its success less the current table's
    saved     lower bound of what it saves: micro-dollars of a decision, at the current table's cost per success
    held      the same for the current table by estimate: below 0 it does not keep enough
    """

    current: Estimate
    candidate: Estimate
    highest: Estimate
    kept: float
    gained: float
    saved: float
    held: float

    @property
    def verdict(self) -> tuple[bool, str]:
        """Whether the candidate may be tried, and why or why not."""
        if self.held < 0 and self.gained > 0:
            return True, "the current table loses too many successes, and it surely loses fewer"
        if self.kept < 0:
            return False, "that it keeps enough successes is not proven"
        if self.saved <= 0:
            return False, "that a success costs less with it is not proven"
        return True, "it surely keeps enough successes, and one surely costs less"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was found. `table` None: nothing that is proven better. `worth`: micro-dollars that a success may cost."""

    table: RoutingTable | None
    why: str
    decisions: int
    worth: float = 0.0
    proof: Proof | None = None


def propose(log: Log, current: RoutingTable, version: str, goal: Goal = USUAL) -> Proposal:
    """The best table called `version`, if its bounds beat `current`."""
    if len(log) < goal.least:
        return Proposal(None, f"{len(log):,} outcomes are too few: {goal.least:,} are needed", len(log))
    first = np.arange(len(log)) // 2 % 2 == 0
    halves = log.part(first), log.part(~first)
    unseen = [scores(half) for half in reversed(halves)]
    now = columns([current])
    tried: list[tuple[RoutingTable, float, Proof]] = []
    for (found, worth), *of_halves in zip(
        *(_best(part, current, goal) for part in (log, *halves)), strict=True
    ):
        table = _named(found, current, version, log)
        # What one half alone would change, the other has not confirmed: its proof would be half that of no change.
        alone = any(_same(half, now) for half, _ in of_halves)
        if alone or table.tasks == current.tasks or any(table.tasks == one.tasks for one, _, _ in tried):
            continue
        given = [_given(scored, current, half) for scored, (half, _) in zip(unseen, of_halves, strict=True)]
        tried.append((table, worth, _proof(np.concatenate(given, axis=2), goal)))
    if not tried:
        return Proposal(None, "no row has a better tier or threshold", len(log))
    good = [one for one in tried if one[2].verdict[0]]
    # Of what is proven the cheapest; of what is not the one that came nearest.
    table, worth, proof = min(good, key=_cost_of) if good else max(tried, key=lambda one: one[2].kept)
    return Proposal(table if good else None, proof.verdict[1], len(log), worth, proof)


def _cost_of(one: tuple[RoutingTable, float, Proof]) -> float:
    return one[2].candidate.per_success or np.inf


def _same(one: Tables, other: Tables) -> bool:
    return bool((one.tier == other.tier).all() and (one.threshold == other.threshold).all())


def _given(scored: Scores, current: RoutingTable, candidate: Tables) -> Floats:
    """Success and cost of each decision by the current table, the candidate and always-highest: (2, 3, decisions)."""
    rows = np.arange(len(scored))
    tables = columns([current]), candidate, columns([flat(TIERS[-1], current)])
    chosen = [one.chosen(0, scored.task, scored.gain) for one in tables]
    return np.array([[values[rows, tier] for tier in chosen] for values in (scored.success, scored.cost)])


def _proof(given: Floats, goal: Goal) -> Proof:
    """What decisions say of a candidate that they had no part in choosing; `given` as by `_given`."""
    s, x = given
    now, then, highest = (Estimate(float(s[i].mean()), float(x[i].mean())) for i in range(3))
    per_success = now.per_success or float(WORTHS[-1])
    z = _z(goal)
    return Proof(
        now,
        then,
        highest,
        kept=min(_bound(s[1] - goal.surely * s[2], -z), _bound(s[1] - goal.kept * s[2], 0)),
        gained=_bound(s[1] - s[0], -z),
        saved=_bound(per_success * (s[1] - s[0]) - (x[1] - x[0]), -z),
        held=_bound(s[0] - goal.kept * s[2], 0),
    )


def _bound(values: Floats, z: float) -> float:
    return float(values.mean() + z * values.std(ddof=1) / np.sqrt(values.size))


def _best(log: Log, current: RoutingTable, goal: Goal) -> Iterator[tuple[Tables, float]]:
    """A candidate for each of `goal.spares`, and what one more success may cost with it."""
    scored, now = scores(log), columns([current])
    ladder = Ladder(scored.task, scored.gain, measures(scored, now))
    choices = [_rows_of(task, ladder, log, now, goal) for task in range(len(TASKS))]
    gained = [ladder.of_task(task, *choice) for task, choice in enumerate(choices)]
    whole = Ladder(scored.task, scored.gain, _keeping(scored, goal))
    parts = [whole.of_task(task, *choice) for task, choice in enumerate(choices)]
    starts = [[_pick(sums, len(log), one, goal.doubt) for sums in gained] for one in WORTHS.tolist()]
    for spare in goal.spares:
        found, least, worth = [0] * len(TASKS), np.inf, float(WORTHS[-1])
        for start, one in zip(starts, WORTHS.tolist(), strict=True):
            picked, costs = _cheapest(parts, start, len(log), goal, spare)
            if costs < least:
                found, least, worth = picked, costs, one
        rows = list(zip(choices, found, strict=True))
        tiers = np.array([[tiers[place] for (tiers, _), place in rows]])
        yield Tables(tiers, np.array([[levels[place] for (_, levels), place in rows]])), worth


def _keeping(scored: Scores, goal: Goal) -> Floats:
    """What sums say of a table: success, cost, and for both shares of always-highest the difference and its square."""
    s, highest = scored.success, scored.success[:, -1:]
    kept, surely = s - goal.kept * highest, s - goal.surely * highest
    return np.stack([s, scored.cost, kept, kept * kept, surely, surely * surely], axis=2)


def _cheapest(
    parts: list[Floats], start: list[int], count: int, goal: Goal, spare: float
) -> tuple[list[int], float]:
    """Row by row that with which a success costs least while the whole table keeps enough; and what it costs then.

    `parts`: for each task the sums of `_keeping` for each of its rows. Infinite where `start` does not keep enough.
    """
    picked = list(start)
    total = np.sum([part[place] for part, place in zip(parts, picked, strict=True)], axis=0)
    least = float(_per_success(total[None], count, goal, spare)[0])
    for _ in range(ROUNDS if least < np.inf else 0):
        before = least
        for task, part in enumerate(parts):
            offered = total - part[picked[task]] + part
            costs = _per_success(offered, count, goal, spare)
            place = int(costs.argmin())
            if costs[place] < least:
                picked[task], total, least = place, offered[place], float(costs[place])
        if least == before:
            break
    return picked, least


def _per_success(sums: Floats, count: int, goal: Goal, spare: float) -> Floats:
    """Cost per success of each line; infinite where it is not clear that enough is kept for the proof to succeed."""
    success, cost, kept, kept_squares, surely, surely_squares = sums.T
    clear = _lower(kept, kept_squares, count, spare) >= 0
    clear &= _lower(surely, surely_squares, count, _z(goal) + spare) >= 0
    return np.where(clear & (success > 0), cost / np.maximum(success, 1e-9), np.inf)


def _lower(total: Floats, squares: Floats, count: int, errors: float) -> Floats:
    """The mean less so many standard errors."""
    mean = total / count
    found: Floats = mean - errors * np.sqrt(np.maximum(squares / count - mean**2, 0.0) / max(1, count - 1))
    return found


def _z(goal: Goal) -> float:
    """Two bounds of each candidate decide, so each takes its part of what may go wrong."""
    return NormalDist().inv_cdf(1 - goal.alpha / 2 / len(goal.spares))


def _rows_of(task: int, ladder: Ladder, log: Log, now: Tables, goal: Goal) -> tuple[np.ndarray, Floats]:
    """Every row that the log says something of, as (tiers, thresholds); the current one first."""
    mine = log.task == task
    known = log.seen[mine].sum(axis=0) >= goal.seen
    gains = ladder.gains[task]
    cuts = np.unique(np.quantile(gains, np.linspace(0, 1, THRESHOLDS + 2)[1:-1])) if gains.size else gains
    tiers, thresholds = [int(now.tier[0, task])], [float(now.threshold[0, task])]
    for tier in np.flatnonzero(known):
        raised = tier + 1 < len(TIERS) and known[tier + 1]
        levels = [NEVER, *(cuts.tolist() if raised else ())]
        tiers += [int(tier)] * len(levels)
        thresholds += levels
    return np.array(tiers), np.array(thresholds)


def _pick(sums: Floats, count: int, worth: float, doubt: float) -> int:
    """The row that looks best when it is `doubt` standard errors worse than it looks; the current one is certain."""
    mean, error = advantage(sums, count, worth)
    return int(np.argmax(mean - doubt * error))


def _named(found: Tables, current: RoutingTable, version: str, log: Log) -> RoutingTable:
    counts = np.bincount(log.task, minlength=len(TASKS))
    rows = dict(current.tasks)
    for place, name in enumerate(TASKS):
        level = float(found.threshold[0, place])
        row = Row(
            tier=TIERS[int(found.tier[0, place])],
            threshold=None if level == NEVER else min(1.0, max(0.0, round(level, 4))),
            evidence=int(counts[place]),
        )
        if (row.tier, row.threshold) != (rows[name].tier, rows[name].threshold):
            rows[name] = row
    return RoutingTable(version=version, sure_at=current.sure_at, tasks=rows)
