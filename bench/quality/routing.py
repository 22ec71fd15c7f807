"""What routing by the pre-scout is worth on prompts whose outcomes are known, beside the rules it must beat.

Scores each prompt with the code of the Router: the request view, the pre-scout, the policy. Knows no model.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.curves import NAMES, Figures, Floats, Ints, Outcomes, figures, fixed
from bench.quality.disguise import CLOTHES
from bench.quality.outcomes import Duel, duels
from models.scout.prescout import PreScout
from serve.config import Config, load
from serve.decision import LaneState
from serve.policy import decide
from serve.request import RequestView, view_of
from serve.signals import constraints, context, sensitivity, task
from serve.signals.readings import Signals
from serve.signals.scout import prejudge
from serve.wire.openai_chat import ChatRequest
from serve.wish import Wish

Results = list[dict[str, Any]]
Interval = tuple[float, float] | None
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "laptop-ollama.yaml"
RESAMPLES = 300
FOLDS = 5
# Each prompt is decided once as it is and once in every disguise.
DISGUISED_PROMPTS = 250


@dataclass(frozen=True, slots=True)
class Ranked:
    """One router on one duel: a score per prompt, or `always` one side."""

    name: str
    score: Floats
    always: bool | None = None


def run(data: Path, pairs: Path | None, out: Path | None, config: Path | None, console: Console) -> int:
    """Measures every pair, prints the tables, writes `out`. Raises DataUnreadable."""
    found = duels(data, pairs)
    prescout, settings = PreScout.load(), load(config or CONFIG)
    results: Results = []
    for duel in found:
        rows, intervals = measure(duel, prescout, settings, console)
        results += rows
        _show(duel, rows, intervals, console)
    report.save(out, {"results": results})
    return 0


def measure(
    duel: Duel, prescout: PreScout, config: Config, console: Console
) -> tuple[Results, list[dict[str, Interval]]]:
    """One row per router, and the 95% interval of each of its figures."""
    outcomes = Outcomes(duel.weak, duel.strong, duel.weak_cost, duel.strong_cost)
    scored = _tracked(duel.prompts, duel.pair.name, console)
    ours = np.array([policy_score(prescout, view(prompt)) for prompt in scored])
    steady = robustness(duel, prescout, config, console)
    results, intervals = [], []
    for router in _routers(duel, ours):
        spread = _intervals(router, outcomes)
        values = _figures(router, outcomes)
        row = {name: _rounded(getattr(values, name)) for name in NAMES}
        apgr_ci = spread["apgr"]
        results.append(
            {
                "name": duel.pair.name,
                "set": duel.pair.set,
                "n": len(duel.prompts),
                "router": router.name,
                "apgr": row.pop("apgr"),
                "apgr_ci": None if apgr_ci is None else [_rounded(end) for end in apgr_ci],
                **row,
                "robustness": steady if router.name == "ours" else 0.5 if router.name == "random" else 1.0,
            }
        )
        intervals.append(spread)
    return results, intervals


def policy_score(prescout: PreScout, seen: RequestView) -> float:
    """What `gain_at_least` of a rule is compared with."""
    return prejudge(prescout, seen)[0].gain


def view(text: str) -> RequestView:
    """The prompt as the only message of a chat request."""
    body: dict[str, JsonValue] = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return view_of(ChatRequest.model_validate(body))


def first_lane(prescout: PreScout, seen: RequestView, config: Config) -> str:
    """The lane that the policy puts first when all are free; every signal is read."""
    scout, guess = prejudge(prescout, seen)
    signals = Signals(
        context.read(seen),
        constraints.read(seen),
        sensitivity.read(seen),
        scout,
        task.settle(seen, guess),
    )
    states = {lane.name: LaneState.READY for lane in config.lanes}
    return decide(signals, seen, Wish(), states, config).chain[0]


def robustness(duel: Duel, prescout: PreScout, config: Config, console: Console) -> float:
    """The share of disguised prompts, of a sample, whose first lane is that of the prompt itself."""
    source = random.Random(0)
    sample = source.sample(duel.prompts, min(DISGUISED_PROMPTS, len(duel.prompts)))
    same = []
    for prompt in _tracked(sample, f"{duel.pair.name} in disguise", console):
        plain = first_lane(prescout, view(prompt), config)
        for dress in CLOTHES.values():
            same.append(first_lane(prescout, view(dress(prompt, source)), config) == plain)
    return round(float(np.mean(same)), 4)


def _tracked(items: Sequence[str], name: str, console: Console) -> Iterator[str]:
    yield from track(
        items, description=name, console=console, transient=True, disable=not console.is_terminal
    )


def _routers(duel: Duel, ours: Floats) -> list[Ranked]:
    gain = duel.strong - duel.weak
    flat = np.zeros(gain.size)
    # Of two prompts that gain the same, the oracle sends the cheaper one.
    dearest = max(float(duel.strong_cost.max()), 1e-12)
    return [
        Ranked("ours", ours),
        Ranked("random", flat),
        Ranked("always-weak", flat, always=False),
        Ranked("always-strong", flat, always=True),
        Ranked("task-mean", _task_means(duel.tasks, gain)),
        Ranked("oracle", gain - 1e-6 * duel.strong_cost / dearest),
    ]


def _task_means(tasks: Sequence[str], gain: Floats) -> Floats:
    """The mean gain of each prompt's task among the prompts of the other folds."""
    _, number = np.unique(np.array(tasks), return_inverse=True)
    fold = np.random.default_rng(0).permutation(gain.size) % FOLDS
    score = np.zeros(gain.size)
    for held in range(FOLDS):
        known = fold != held
        counts = np.bincount(number[known], minlength=number.max() + 1)
        sums = np.bincount(number[known], gain[known], minlength=number.max() + 1)
        score[~known] = (sums / np.maximum(counts, 1))[number[~known]]
    # Equal but for the fold: within one task alone the rule has no opinion.
    return score if number.max() > 0 else np.zeros(gain.size)


def _figures(router: Ranked, outcomes: Outcomes) -> Figures:
    if router.always is None:
        return figures(router.score, outcomes)
    return replace(fixed(outcomes, strong=router.always), apgr=float(router.always))


def _intervals(router: Ranked, outcomes: Outcomes) -> dict[str, Interval]:
    """Percentile bootstrap over prompts; None for a figure that too few samples have."""
    generator = np.random.default_rng(0)
    size = router.score.size
    drawn: list[Figures] = []
    for _ in range(RESAMPLES):
        rows: Ints = generator.integers(0, size, size)
        drawn.append(_figures(replace(router, score=router.score[rows]), outcomes.taken(rows)))
    return {name: _interval([getattr(one, name) for one in drawn]) for name in NAMES}


def _interval(values: list[float | None]) -> Interval:
    known = [value for value in values if value is not None]
    if len(known) < RESAMPLES / 2:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


_HEADS: dict[str, Callable[[float], str]] = {
    "apgr": lambda value: f"{value:.3f}",
    "cpt50": lambda value: f"{value:.1%}",
    "cpt80": lambda value: f"{value:.1%}",
    "saved95": lambda value: f"{value:.1%}",
    "saved98": lambda value: f"{value:.1%}",
    "cpst": lambda value: f"{1e3 * value:.3f}",
}


def _show(duel: Duel, rows: Results, intervals: list[dict[str, Interval]], console: Console) -> None:
    pair = duel.pair
    title = (
        f"{pair.name}: {pair.weak} ({duel.weak.mean():.3f}) -> {pair.strong} ({duel.strong.mean():.3f}), "
        f"{len(duel.prompts):,} prompts"
    )
    table = Table("router", "APGR", "CPT50", "CPT80", "saved95", "saved98", "USD/1k right", "same lane",
                  title=title, title_justify="left")  # fmt: skip
    for row, spread in zip(rows, intervals, strict=True):
        cells = [_cell(name, row[name], spread[name]) for name in NAMES]
        table.add_row(row["router"], *cells, f"{row['robustness']:.1%}")
    console.print(table)


def _cell(name: str, value: float | None, interval: Interval) -> str:
    """The figure with its interval below it."""
    if value is None:
        return "-"
    show = _HEADS[name]
    return show(value) if interval is None else f"{show(value)}\n{show(interval[0])}..{show(interval[1])}"
