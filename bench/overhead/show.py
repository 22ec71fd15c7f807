"""Bursts to figures, tables and a plot. Does not measure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.overhead.shots import Burst, Cell
from bench.overhead.slope import Slope

DIRECT, FLOOR, PEER = "direct", "bare-serve", "litellm"


def figures(found: dict[Cell, dict[str, Burst]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By cell and router; times are milliseconds, `added` is above the same percentile of `direct`."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for cell, bursts in found.items():
        base = _points(bursts[DIRECT])
        rows[cell.name] = {name: _row(burst, base) for name, burst in bursts.items()}
    return rows


def _row(burst: Burst, base: dict[str, float]) -> dict[str, Any]:
    answered = len(burst.seconds)
    points = _points(burst)
    return {
        "requests": answered,
        "failed": burst.failed,
        "fault": burst.fault,
        "cpu_ms_per_request": round(burst.cpu_ms / answered, 3) if answered else None,
        "added_ms": {name: round(ms - base[name], 3) for name, ms in points.items()}
        if points and base
        else None,
        "ms": points,
        "requests_per_s": round(answered / burst.wall_s, 1) if burst.wall_s else None,
        "rss_mib": round(burst.rss_mib, 1),
    }


def _points(burst: Burst) -> dict[str, float]:
    if not burst.seconds:
        return {}
    values = np.percentile(burst.seconds, [50, 95, 99])
    return {name: round(float(v) * 1000, 3) for name, v in zip(("p50", "p95", "p99"), values, strict=True)}


def tables(console: Console, result: dict[str, Any]) -> None:
    """One table per cell, cheapest first."""
    columns = (
        "CPU-ms/request",
        f"of {PEER}'s",
        "of the floor's",
        "added p50 ms",
        "p95",
        "p99",
        "requests/s",
        "RSS MiB",
    )
    for cell, rows in result["cells"].items():
        table = Table("router", *columns, "failed", title=cell, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        costs = {name: row["cpu_ms_per_request"] for name, row in rows.items()}
        for name in sorted((n for n in rows if n != DIRECT), key=lambda n: _last_if_none(costs[n])):
            row, added = rows[name], rows[name]["added_ms"] or {}
            times = [_text(added.get(point)) for point in ("p50", "p95", "p99")]
            ratios = [_ratio(costs[name], costs.get(other)) for other in (PEER, FLOOR)]
            rest = (_text(row["requests_per_s"]), f"{row['rss_mib']:.0f}", row["fault"] or str(row["failed"]))
            table.add_row(name, _text(costs[name]), *ratios, *times, *rest)
        console.print(table)


def slopes(console: Console, found: Mapping[str, Slope]) -> None:
    """What each router's memory did, least growth first; whoever has no slope is last, with the reason."""
    if not found:
        return
    columns = ("KiB/1,000 requests", "first RSS MiB", "last", "answered", "failed")
    table = Table("router", *columns, title="memory", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in sorted(found, key=lambda n: _last_if_none(found[n].kib_per_1000)):
        one = found[name]
        failed = f"{one.failed} ({one.fault})" if one.failed else "0"
        sizes = f"{one.first_mib:.0f}", f"{one.last_mib:.0f}"
        table.add_row(name, _text(one.kib_per_1000), *sizes, str(one.answered), failed)
    console.print(table)


def _last_if_none(value: float | None) -> float:
    return float("inf") if value is None else value


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ratio(cost: float | None, other: float | None) -> str:
    return f"{cost / other:.2f}" if cost and other else "-"


def plot(result: dict[str, Any], path: Path) -> None:
    """CPU-ms per request of every router in every cell."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    cells = result["cells"]
    names = [name for name in result["versions"] if name != DIRECT]
    figure, axes = plt.subplots(figsize=(10, 0.55 * len(cells) * max(3, len(names)) / 3 + 1.5))
    height = 0.8 / max(1, len(names))
    for place, name in enumerate(names):
        told = [rows[name]["cpu_ms_per_request"] for rows in cells.values()]
        costs = [max(0.0, cost or 0.0) for cost in told]
        where = [row + place * height for row in range(len(cells))]
        bars = axes.barh(where, costs, height, label=f"{name} {result['versions'][name]}")
        words = ["failed" if cost is None else f"{max(0.0, cost):.1f}" for cost in told]
        axes.bar_label(bars, words, fontsize=7, padding=2)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(cells))], list(cells))
    axes.set_ylim(len(cells), -0.5)
    axes.set_xlabel("CPU-ms per request over the whole process tree (without what it spends idle)")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
