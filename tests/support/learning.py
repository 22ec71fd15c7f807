"""A made-up world for learning: two types of task whose tiers succeed with known probabilities."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from serve.learning.estimate import columns
from serve.learning.log import TASKS, Floats, Ints, Log, answered
from serve.outcomes.row import Row as OutcomeRow
from serve.routing_table import TIERS, RoutingTable, Row
from serve.signals.readings import TaskType

EASY: TaskType = "translation"
HARD: TaskType = "reasoning"
# Success of each tier; of the hard task tier 1 succeeds the less, the higher the likely gain.
TRUTH: dict[TaskType, tuple[float, float, float]] = {EASY: (0.9, 0.9, 0.9), HARD: (0.8, 0.85, 0.9)}
COSTS = (50.0, 500.0, 5_000.0)
NOW = 1_780_000_000_000
ROW = OutcomeRow(
    decision_id="dec_0", at=NOW, key="ann", team=None, session=None, data_class="public", task=EASY, tier=1,
    location="device", lane="local-general", policy_version="0" * 64, reason="by_task", difficulty="standard",
    judge="pre-scout", constraint_count=0, input_tokens=10, output_tokens=5, cost=0, billed=0, baseline=100,
    latency_ms=20, first_ms=10, overhead_ms=1.5, attempts=1, fallbacks=0, escalations=0, spilled=False,
    verdict="valid", error=None, stream=False, reviewed=False,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """Requests with the outcome of every tier: success 0 or 1, cost in micro-dollars."""

    task: Ints
    gain: Floats
    success: Floats
    cost: Floats


def table(**rows: Any) -> RoutingTable:
    """Tier 2 for everything, but for `rows`: (tier, threshold) by task."""
    usual = dict.fromkeys(TASKS, Row(tier=2, threshold=None))
    given = {name: Row(tier=tier, threshold=level) for name, (tier, level) in rows.items()}
    return RoutingTable(version="made-up", tasks=usual | given)


def world(count: int, seed: int, *, together: bool = False) -> World:
    """`count` requests, half of each type. `together`: what a weaker tier can do a stronger one can too."""
    source = np.random.default_rng(seed)
    hard = source.random(count) < 0.5
    gain = source.random(count)
    likely = np.where(hard[:, None], TRUTH[HARD], TRUTH[EASY])
    likely[:, 0] -= np.where(hard, 0.7 * gain, 0.0)
    task = np.where(hard, TASKS.index(HARD), TASKS.index(EASY))
    success = (source.random((count, 1 if together else len(TIERS))) < likely).astype(np.float64)
    return World(task, gain, success, np.tile(COSTS, (count, 1)))


def logged(known: World, by: RoutingTable, explore: float, seed: int) -> Log:
    """What is logged when `by` decides, but for the share `explore`, which is drawn."""
    source, count = np.random.default_rng(seed), len(known.gain)
    usual = columns([by]).chosen(0, known.task, known.gain)
    drawn = source.random(count) < explore
    tier = np.where(drawn, source.integers(0, len(TIERS), count), usual)
    chance = np.full((count, len(TIERS)), explore / len(TIERS))
    rows = np.arange(count)
    chance[rows, usual] += 1 - explore
    return answered(known.task, known.gain, tier, chance, known.success[rows, tier], known.cost[rows, tier])
