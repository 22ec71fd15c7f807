"""What the sensitivity signal finds in labelled texts: recall, precision, false alarms, time.

Reads each text as a chat request, with the very code of the ingress. Knows no detector.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.cases import Case, Part, Source, cases, sources
from serve.request import view_of
from serve.signals import sensitivity
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import ChatRequest

Results = list[dict[str, Any]]
_FIGURES = ("recall_confidential", "recall_internal", "precision", "f1", "f2")
_ALARMS = ("false_alarms_confidential", "false_alarms_internal")


@dataclass(frozen=True, slots=True)
class Judged:
    """One case, the class the signal gave it, and the milliseconds it took."""

    case: Case
    level: Sensitivity
    ms: float


def run(data: Path, out: Path | None, part: Part, console: Console) -> int:
    """Measures every file under `data`, prints the tables, writes `out`. Raises DataUnreadable."""
    found = sources(data)
    results = [measure(source, part, console) for source in found]
    report.save(out, {"results": results})
    _show(results, console)
    return 0


def measure(source: Source, part: Part, console: Console) -> dict[str, Any]:
    """The figures of one file."""
    todo = cases(source, part)
    _read("warm up: tables are built at the first request")
    name = f"{source.set}/{source.file}"
    progress = track(todo, description=name, console=console, transient=True, disable=not console.is_terminal)
    return {"set": source.set, "file": source.file} | figures([_judge(case) for case in progress])


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """Shares of cases; null where no case can say."""
    confidential = [j for j in judged if j.case.confidential is not None]
    counted = _counts(confidential) if any(j.case.confidential for j in judged) else None
    public = [j for j in judged if j.case.public]
    times = sorted(j.ms for j in judged)
    return {
        "n": len(judged),
        "recall_confidential": _share((j for j in judged if j.case.confidential), _is_confidential),
        "recall_internal": _share((j for j in judged if j.case.internal), _is_internal),
        "precision": _precision(counted),
        "f1": _f(counted, 1),
        "f2": _f(counted, 2),
        "by_type": _by_type(judged),
        "false_alarms_confidential": _share(public, _is_confidential),
        "false_alarms_internal": _share(public, _is_internal),
        "p50_ms": _percentile(times, 50),
        "p95_ms": _percentile(times, 95),
    }


def _judge(case: Case) -> Judged:
    level, ms = _read(case.text)
    return Judged(case, level, ms)


def _read(text: str) -> tuple[Sensitivity, float]:
    body: dict[str, JsonValue] = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    view = view_of(ChatRequest.model_validate(body))
    started = time.perf_counter()
    level = sensitivity.read(view).level
    return level, (time.perf_counter() - started) * 1000


def _is_confidential(judged: Judged) -> bool:
    return judged.level >= Sensitivity.CONFIDENTIAL


def _is_internal(judged: Judged) -> bool:
    return judged.level >= Sensitivity.INTERNAL


def _share(judged: Iterable[Judged], test: Callable[[Judged], bool]) -> float | None:
    verdicts = [test(one) for one in judged]
    return round(sum(verdicts) / len(verdicts), 4) if verdicts else None


def _by_type(judged: Sequence[Judged]) -> dict[str, float]:
    """The share of the cases of each type that reached the class they had to reach."""
    found: dict[str, list[bool]] = {}
    for one in judged:
        if one.case.confidential or one.case.internal:
            reached = _is_confidential(one) if one.case.confidential else _is_internal(one)
            for name in one.case.types:
                found.setdefault(name, []).append(reached)
    return {name: round(sum(hits) / len(hits), 4) for name, hits in sorted(found.items())}


def _counts(judged: Iterable[Judged]) -> tuple[int, int, int]:
    """True positives, false positives, false negatives of the class confidential."""
    pairs = [(_is_confidential(one), bool(one.case.confidential)) for one in judged]
    return pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True))


def _precision(counts: tuple[int, int, int] | None) -> float | None:
    return round(counts[0] / (counts[0] + counts[1]), 4) if counts and counts[0] + counts[1] else None


def _f(counts: tuple[int, int, int] | None, beta: int) -> float | None:
    """F-beta: recall counts `beta` times as much as precision."""
    if counts is None:
        return None
    right, alarms, missed = counts
    weight = beta * beta
    return round((1 + weight) * right / ((1 + weight) * right + weight * missed + alarms), 4)


def _percentile(times: Sequence[float], share: int) -> float | None:
    return round(times[math.ceil(share / 100 * len(times)) - 1], 3) if times else None


def _show(results: Results, console: Console) -> None:
    heads = (
        "set",
        "file",
        "n",
        "recall conf.",
        "recall int.",
        "precision",
        "F1",
        "F2",
        "alarms conf.",
        "alarms int.",
    )
    table = Table(*heads, "p50 ms", "p95 ms", title="Sensitivity", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in results:
        shares = [_cell(one[name]) for name in (*_FIGURES, *_ALARMS)]
        times = ["-" if one[name] is None else f"{one[name]:.2f}" for name in ("p50_ms", "p95_ms")]
        table.add_row(one["set"], one["file"], str(one["n"]), *shares, *times)
    console.print(table)
    for one in results:
        if one["by_type"]:
            parts = ", ".join(f"{name} {share:.3f}" for name, share in one["by_type"].items())
            console.print(f"{one['set']}/{one['file']} by type: {parts}", markup=False, highlight=False)


def _cell(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
