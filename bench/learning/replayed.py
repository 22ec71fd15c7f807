"""Prompts with the outcome and the cost of every tier, as the Router's pre-scout sees them.

Knows files and the pre-scout. Routes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.progress import track

from bench.quality.cases import DataUnreadable
from bench.quality.outcomes import ANSWER_TOKENS, CHARACTERS_PER_TOKEN, OutcomeRow, read_set
from bench.quality.routing import view
from models.scout.prescout import PreScout
from serve.learning.log import TASKS, Floats, Ints
from serve.routing_table import TIERS, Tier
from serve.signals import task
from serve.signals.scout import prejudge

POOLS = Path(__file__).with_name("pools.yaml")
DIFFICULTIES = ("trivial", "standard", "complex")
SURE_AT = 0.5


class Pool(BaseModel):
    """Who answers in one set, by tier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    set: str
    tiers: dict[Tier, str]


class Pools(BaseModel):
    """The pools file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prices: dict[Tier, tuple[float, float]]
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Columns, one row for each prompt; score and cost (USD) have a column for each tier.

    task        index in TASKS of the row that the table would take
    difficulty  index in DIFFICULTIES
    family      index in `families`
    """

    families: tuple[str, ...]
    family: Ints
    task: Ints
    gain: Floats
    difficulty: Ints
    score: Floats
    cost: Floats

    def taken(self, rows: Ints) -> "Replayed":
        """The same of these rows, in this order; a row may come more than once."""
        return Replayed(
            self.families,
            self.family[rows],
            self.task[rows],
            self.gain[rows],
            self.difficulty[rows],
            self.score[rows],
            self.cost[rows],
        )

    def __len__(self) -> int:
        return len(self.gain)


def read(data: Path, limit: int | None, console: Console, pools: Path = POOLS) -> Replayed:
    """Every prompt of the sets that are there, at most `limit` of each set, judged. Raises DataUnreadable."""
    rows = list(_rows(data, limit, _pools(pools)))
    if not rows:
        raise DataUnreadable(f"{data} holds no set that {pools.name} names.")
    families = tuple(sorted({name for name, _, _, _ in rows}))
    prescout = PreScout.load()
    seen = track(rows, "Judging prompts", console=console, disable=not console.is_terminal, total=len(rows))
    judged = [_judged(prescout, prompt) for _, prompt, _, _ in seen]
    return Replayed(
        families,
        np.array([families.index(name) for name, _, _, _ in rows]),
        np.array([one[0] for one in judged]),
        np.array([one[1] for one in judged]),
        np.array([one[2] for one in judged]),
        np.array([score for _, _, score, _ in rows]),
        np.array([cost for _, _, _, cost in rows]),
    )


def _pools(path: Path) -> Pools:
    try:
        return Pools.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise DataUnreadable(f"{path} is no file of pools: {error}") from error


def _judged(prescout: PreScout, prompt: str) -> tuple[int, float, int]:
    seen = view(prompt)
    scout, guess = prejudge(prescout, seen)
    reading = task.settle(seen, guess)
    name = reading.task if reading.confidence >= SURE_AT else "other"
    return TASKS.index(name), scout.gain, DIFFICULTIES.index(scout.difficulty)


Line = tuple[str, str, list[float], list[float]]


def _rows(data: Path, limit: int | None, pools: Pools) -> Iterator[Line]:
    for pool in pools.pools:
        if not (data / pool.set).is_dir():
            continue
        wanted = set(pool.tiers.values())
        rows = [(stem, row) for stem, row in read_set(data / pool.set) if wanted <= row.scores.keys()]
        step = max(1, len(rows) // limit) if limit else 1
        for stem, row in rows[::step][:limit]:
            # A tier without a model is answered by the next one above.
            models = {tier: _from(pool, tier) for tier in TIERS}
            yield (
                f"{pool.set}/{row.dataset if pool.set == 'llmrouter_ulab' else stem}",
                row.prompt,
                [row.scores[model] for _, model in models.values()],
                [_cost(row, model, pools.prices[paid]) for paid, model in models.values()],
            )


def _from(pool: Pool, tier: Tier) -> tuple[Tier, str]:
    """The first tier from here up that has a model, and the model."""
    return next((paid, pool.tiers[paid]) for paid in TIERS if paid >= tier and paid in pool.tiers)


def _cost(row: OutcomeRow, model: str, price: tuple[float, float]) -> float:
    out = (row.out_tokens_est or {}).get(model, ANSWER_TOKENS)
    return (len(row.prompt) / CHARACTERS_PER_TOKEN * price[0] + out * price[1]) / 1e6
