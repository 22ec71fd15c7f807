"""What is measured on a replay: cost per success, time to learn an unseen family, failures of a bad table, speed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.learning.replayed import Replayed
from bench.learning.stream import Habits, Learner, costs
from serve.learning.estimate import Tables, columns, evaluate, scores
from serve.learning.log import TASKS, Floats, Ints, answered
from serve.routing_table import TIERS, RoutingTable, flat

Ticked = Callable[[int], None]
DRIFT = 0.5
PIECES = 100
ADAPT = 4_000
SOON = 1_000
BAD_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """One router on the whole stream, beside always-highest: shares of its quality and of its cost per success.

    regret  successes per 1,000 requests fewer than the oracle's
    """

    router: str
    quality: float
    cpst: float
    usd: float
    regret: float
    late_quality: float
    late_cpst: float


def drifting(data: Replayed, count: int, seed: int = 0) -> Replayed:
    """`count` prompts, with repetition, whose mix of families changes from the first to the last."""
    source = np.random.default_rng(seed)
    drift = source.normal(0, DRIFT, len(data.families))
    parts = []
    for piece in range(PIECES):
        weight = np.exp(drift * (2 * piece / PIECES - 1))[data.family]
        parts.append(source.choice(len(data), count // PIECES, p=weight / weight.sum()))
    return data.taken(np.concatenate(parts))


def compare(
    data: Replayed, configured: RoutingTable, habits: dict[str, Habits], seeds: int, ticked: Ticked
) -> list[Result]:
    """Every router on the stream; each learner once per seed, from always-highest."""
    count, best = len(data), oracle(data)
    fixed: dict[str, Ints] = {
        f"always tier {tier}": np.full(count, place) for place, tier in enumerate(TIERS)
    }
    fixed["complexity rule"] = data.difficulty
    fixed["the shipped table"] = columns([configured]).chosen(0, data.task, data.gain)
    fixed["oracle"] = best
    found = [result(name, data, tier, np.zeros(count)) for name, tier in fixed.items()]
    for name, one in habits.items():
        for seed in range(seeds):
            learner = Learner(flat(3, configured), one, seed)
            learner.answer(data, ticked)
            found.append(result(f"{name}, seed {seed}", data, learner.run.tier, learner.run.swept))
            share = found[-1].usd / found[2].usd
            found.append(
                result(
                    f"random, cost of {name}, seed {seed}", data, random(count, share, seed), np.zeros(count)
                )
            )
    return found


def random(count: int, share: float, seed: int) -> Ints:
    """Tier 3 for about this share of the requests, else tier 1."""
    drawn: Ints = np.where(np.random.default_rng(seed).random(count) < share, 2, 0)
    return drawn


def oracle(data: Replayed) -> Ints:
    """For each prompt the cheapest of the tiers that answer it best."""
    best = data.score >= data.score.max(axis=1, keepdims=True)
    found: Ints = np.argmin(np.where(best, data.cost, np.inf), axis=1)
    return found


def result(router: str, data: Replayed, tier: Ints, swept: Floats) -> Result:
    """The figures of one router; `swept`: USD of answers that nobody waited for."""
    half = np.arange(len(data)) >= len(data) // 2
    quality, cpst, usd = _shares(data, tier, swept)
    late = _shares(data.taken(np.flatnonzero(half)), tier[half], swept[half])
    regret = 1000 * (costs(data, oracle(data))[0].mean() - costs(data, tier)[0].mean())
    return Result(router, quality, cpst, usd, float(regret), late[0], late[1])


def _shares(data: Replayed, tier: Ints, swept: Floats) -> tuple[float, float, float]:
    score, cost = costs(data, tier)
    most, dear = costs(data, np.full(len(data), 2))
    usd = float(cost.sum() + swept.sum())
    quality = float(score.sum() / most.sum())
    return quality, usd / float(dear.sum()) / quality, usd


def unseen(data: Replayed, configured: RoutingTable, habits: Habits, ticked: Ticked) -> list[dict[str, Any]]:
    """Each family alone, from the shipped table: when a learned table came into force, and what it was worth.

    at_1000  quality and cost per success of the table that was in force after 1,000 outcomes
    """
    found = []
    for place, family in enumerate(data.families):
        rows = np.flatnonzero(data.family == place)
        if len(rows) < 100:
            continue
        part = data.taken(np.random.default_rng(place).choice(rows, ADAPT))
        learner = Learner(configured, habits, place)
        learner.answer(part, ticked)
        early = [table for at, table in learner.run.tables if at <= SOON][-1]
        before, soon, after = (_figures(part, one) for one in (configured, early, learner.current))
        taken = [event.at for event in learner.run.events if event.what == "promoted"]
        found.append(
            {
                "family": family,
                "promoted_at": taken[0] if taken else None,
                "before": before,
                "at_1000": soon,
                "after": after,
            }
        )
    return found


def _figures(data: Replayed, table: RoutingTable) -> tuple[float, float]:
    """(quality, cost per success) of a table beside always-highest."""
    tier = columns([table]).chosen(0, data.task, data.gain)
    return _shares(data, tier, np.zeros(len(data)))[:2]


def rollbacks(data: Replayed, configured: RoutingTable, trials: int, ticked: Ticked) -> list[dict[str, Any]]:
    """Everything to tier 1, on trial against always-highest: what it failed before it was taken back."""
    found = []
    never = replace(Habits(), share=BAD_SHARE, every=10**9)
    for seed in range(trials):
        part = drifting(data, 20_000, seed)
        learner = Learner(flat(3, configured), never, seed, canary=(flat(1, configured), 1e6))
        learner.answer(part, ticked)
        end = next((event for event in learner.run.events if event.what != "canary"), None)
        until = end.at if end else len(part)
        mine = np.flatnonzero(learner.run.canary[:until])
        score = part.score[mine]
        found.append(
            {
                "seed": seed,
                "ended": end.what if end else "going",
                "requests": until,
                "failed": int((score[:, 0] < 0.5).sum()),
                "would_not_have_failed": int(((score[:, 0] < 0.5) & (score[:, 2] >= 0.5)).sum()),
            }
        )
    return found


def speed(tables: int, decisions: int) -> dict[str, float]:
    """Seconds to estimate many random tables, with their errors, on made-up decisions."""
    source = np.random.default_rng(0)
    task, gain = source.integers(0, len(TASKS), decisions), source.random(decisions)
    tier = source.integers(0, len(TIERS), decisions)
    chance = np.full((decisions, len(TIERS)), 1 / len(TIERS))
    success = (source.random(decisions) < 0.7).astype(float)
    log = answered(task, gain, tier, chance, success, source.random(decisions) * 1e3)
    size = (tables, len(TASKS))
    candidates = Tables(source.integers(0, len(TIERS), size), source.random(size))
    began, worked = time.perf_counter(), time.process_time()
    scored = scores(log)
    evaluate(scored, candidates, Tables(candidates.tier[:1], candidates.threshold[:1]), worth=1e5)
    return {
        "tables": tables,
        "decisions": decisions,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - worked,
    }
