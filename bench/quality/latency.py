"""CPU time of one whole decision without the Scout hop, at 512 tokens: all signals and the policy.

CPU time of this thread, not time on the wall: what the machine does besides does not count.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.cases import DataUnreadable
from bench.quality.labelled import folders, rows
from bench.quality.routing import CONFIG, first_lane, view
from models.scout.prescout import PreScout
from serve.config import load
from serve.signals import constraints, context, sensitivity
from serve.signals.scout import prejudge

TOKENS = 512
PROMPTS = 200
ROUNDS = 3
WARM_UP = 20


def run(data: Path, out: Path | None, console: Console) -> int:
    """Measures prompts of `data` brought to 512 tokens; prints a table, writes `out`. Raises DataUnreadable."""
    texts = _texts(data)
    results = measure(texts, console)
    report.save(out, {"results": results})
    table = Table(
        "part", "n", "p50 ms", "p95 ms", "p99 ms", title=f"CPU time at {TOKENS} tokens", title_justify="left"
    )
    for one in results:
        times = (f"{one[name]:.3f}" for name in ("p50_ms", "p95_ms", "p99_ms"))
        table.add_row(one["part"], str(one["n"]), *times)
    console.print(table)
    return 0


def measure(texts: list[str], console: Console) -> list[dict[str, Any]]:
    """The percentiles of each part and of the whole decision."""
    prescout, config = PreScout.load(), load(CONFIG)
    parts: dict[str, Callable[[Any], object]] = {
        "pre-scout": lambda seen: prejudge(prescout, seen),
        "context": context.read,
        "constraints": constraints.read,
        "sensitivity": sensitivity.read,
        "decision": lambda seen: first_lane(prescout, seen, config),
    }
    results = []
    for name, part in parts.items():
        # No text twice: what is remembered of texts that come again would flatter.
        views = [view(f"{text} {name} {number}") for number, text in enumerate(texts * ROUNDS)]
        for text in texts[:WARM_UP]:
            part(view(text))
        bar = track(views, description=name, console=console, transient=True, disable=not console.is_terminal)
        spent = [_spent(part, seen) for seen in bar]
        points = np.percentile(spent, [50, 95, 99])
        results.append(
            {"part": name, "n": len(spent)}
            | {
                f"p{share}_ms": round(float(value), 4)
                for share, value in zip((50, 95, 99), points, strict=True)
            }
        )
    return results


def _spent(part: Callable[[Any], object], seen: object) -> float:
    started = time.thread_time()
    part(seen)
    return (time.thread_time() - started) * 1000


def _texts(data: Path) -> list[str]:
    """Prompts joined until they have 512 tokens, and cut there by characters."""
    prompts = [row["prompt"] for path in folders(data) for row in rows(path)[:PROMPTS]]
    if not prompts:
        raise DataUnreadable(f"{data} holds no rows with a `prompt`.")
    texts: list[str] = []
    text = ""
    for number in range(50 * PROMPTS):
        text += prompts[(number * 7_919) % len(prompts)] + "\n\n"
        if (tokens := context.count(text)) >= TOKENS:
            texts.append(text[: len(text) * TOKENS // tokens])
            text = ""
        if len(texts) == PROMPTS:
            break
    return texts or [text]
