"""Is a model right where its log probabilities say that it is sure? And from which confidence on may it be believed?

Reads answers with the product's own measure (`serve.confidence`). Half of the questions choose the threshold, the
other half says what it is worth.
"""

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench import report
from bench.quality import live, short
from bench.quality.intervals import of_share, resampled
from bench.quality.labelled import auc
from bench.quality.live import Told
from bench.quality.short import Short
from models.scout.prescout import PreScout
from serve import confidence
from serve.confidence import Measure
from serve.wire.openai_answer import ChatCompletion

MEASURES: tuple[Measure, ...] = ("min", "mean")
SURE: dict[str, Any] = {"temperature": 0, "logprobs": True}


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: is it right, how sure was the model by each measure, how many tokens count in it."""

    task: Short
    said: str
    right: bool
    level: Mapping[Measure, float]
    tokens: int


def run(given: argparse.Namespace, console: Console) -> int:
    """Asks, prints the tables, writes the JSON. Raises DataUnreadable or live.Unanswered.

    `typed` is the share of prompts that the pre-scout takes for what they are: for others no threshold applies.
    """
    started, at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    tasks = short.read(given.data, given.sample)
    told = live.ask(live.asking(given), [task.body() | SURE for task in tasks], console)
    rows = [
        one for task, answer in zip(tasks, told, strict=True) if (one := answered(task, answer)) is not None
    ]
    prescout = PreScout.load()
    typed = {task.id: prescout.score(task.prompt)[1].task == task.kind for task in tasks}
    found = {
        name: figures(some, given.wanted) | {"typed": of_share([typed[row.task.id] for row in some])}
        for name, some in _groups(rows)
    }
    result = report.origin(["python", "-m", "bench.quality", *given.argv], at, time.perf_counter() - started)
    report.save(
        given.json,
        result
        | {
            "lane": given.lane,
            "wanted": given.wanted,
            "unanswered": (lost := sum(one.failed for one in told)),
            "results": found,
        },
    )
    show(console, found)
    live.mention(console, lost, len(told))
    return 0


def answered(task: Short, told: Told) -> Answered | None:
    """None where the request was refused or no answer came."""
    if told.status != 200:
        return None
    answer = ChatCompletion.model_validate(told.body)
    said = answer.choices[0].message.content or ""
    read = {measure: confidence.read(answer, measure) for measure in MEASURES}
    level = {measure: one[0] for measure, one in read.items() if one is not None}
    tokens = next((one[1] for one in read.values() if one is not None), 0)
    return Answered(task, said, task.right(said), level, tokens) if level else None


def figures(rows: Sequence[Answered], wanted: float) -> dict[str, Any]:
    """What confidence is worth for one kind of question.

    right       share of all answers that are right, with its 95% interval
    by_tokens   the same by the number of tokens that count: what the rule of too short answers could take out
    measures    per measure the AUC against being right with its 95% interval, and the threshold (`_threshold`)
    """
    lengths = {"1": range(1, 2), "2 to 3": range(2, 4), "4 to 8": range(4, 9), "more": range(9, 10_000)}
    by_tokens = {name: [r.right for r in rows if r.tokens in span] for name, span in lengths.items()}
    return {
        "n": len(rows),
        "right": of_share([row.right for row in rows]),
        "by_tokens": {name: of_share(some) for name, some in by_tokens.items() if some},
        "measures": {measure: _measured(rows, measure, wanted) for measure in MEASURES},
    }


def _measured(rows: Sequence[Answered], measure: Measure, wanted: float) -> dict[str, Any]:
    levels = np.array([row.level[measure] for row in rows])
    right = np.array([row.right for row in rows])
    tells = 0 < right.sum() < right.size
    found = resampled([levels, right], lambda level, hit: auc(level, hit)) if tells else None
    return {"auc": found, "threshold": _threshold(rows, measure, wanted)}


def _threshold(rows: Sequence[Answered], measure: Measure, wanted: float) -> dict[str, Any] | None:
    """The lowest confidence from which on a share of `wanted` of the calibrating half is right; on the other half:

    kept        share of answers that reach it
    kept_right  share of these that are right, with its interval
    rest_right  share of the others that are right: what is given away
    others      share of the others that recorded models have right, who would be asked next
    """
    at = lowest([(r.level[measure], r.right) for r in rows if r.task.calibrates], wanted)
    test = [row for row in rows if not row.task.calibrates]
    if at is None or not test:
        return None
    kept = [row for row in test if row.level[measure] >= at]
    rest = [row for row in test if row.level[measure] < at]
    return {
        "at_least": at,
        "n": len(test),
        "all_right": of_share([row.right for row in test]),
        "kept": round(len(kept) / len(test), 4),
        "kept_right": of_share([row.right for row in kept]),
        "rest_right": of_share([row.right for row in rest]),
        "others": recorded(rest),
    }


def lowest(pairs: Iterable[tuple[float, bool]], wanted: float) -> float | None:
    """The lowest level so that of all at or above it `wanted` are right; None where there is no such level.

    At least 20 answers have to stand above it: the best of a few is chance.
    """
    best, hits = None, 0
    ordered = sorted(pairs, reverse=True)
    for place, (level, right) in enumerate(ordered, 1):
        hits += right
        last = place == len(ordered) or ordered[place][0] < level
        if last and place >= 20 and hits / place >= wanted:
            best = round(level, 4)
    return best


def recorded(rows: Sequence[Answered]) -> dict[str, float]:
    """What recorded models made of the same questions: the share right, the best five."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        for model, score in row.task.scores.items():
            scores.setdefault(model, []).append(score)
    means = {model: round(sum(some) / len(some), 4) for model, some in scores.items()}
    return dict(sorted(means.items(), key=lambda one: -one[1])[:5])


def show(console: Console, found: Mapping[str, Mapping[str, Any]]) -> None:
    """One line per set and measure."""
    table = Table("questions", "n", "right", "measure", "AUC", "threshold", "kept", "kept right", "rest right", "typed",
                  title="Confidence against being right", title_justify="left")  # fmt: skip
    for name, one in found.items():
        for measure, told in one["measures"].items():
            at = told["threshold"]
            cells = (f"{at['at_least']:.3f}", f"{at['kept']:.3f}") if at else ("none", "-")
            ends = (_text(at["kept_right"]), _text(at["rest_right"])) if at else ("-", "-")
            shares = (_text(one["right"]), measure, _text(told["auc"]), *cells, *ends)
            table.add_row(name, str(one["n"]), *shares, f"{one['typed'][0]:.3f}")
    console.print(table)


def _groups(rows: Sequence[Answered]) -> Iterable[tuple[str, list[Answered]]]:
    """By set, then by type of task."""
    for name in sorted({row.task.set for row in rows}):
        yield name, [row for row in rows if row.task.set == name]
    for kind in ("classification", "extraction"):
        if some := [row for row in rows if row.task.kind == kind]:
            yield f"all {kind}", some


def _text(found: Sequence[float] | None) -> str:
    return "-" if found is None else f"{found[0]:.3f} [{found[1]:.3f}, {found[2]:.3f}]"
