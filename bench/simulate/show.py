"""Simulated points as tables and a picture. Does not simulate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.simulate.point import Point

INK, FAINT = "#24292f", "#8c959f"
PALETTE = ("#2a7f62", "#d98a29", "#3b6ea5", "#8e5ea2", "#b05d6b", "#4b8b9b")


def table(console: Console, title: str, points: Sequence[Point]) -> None:
    """One line per point."""
    columns = ("requests/s", "load", "replicas", "Routers", "cells", "first token p50 s", "p99", "whole p50 s", "p99",
               "spilled", "cloud $/h", "engines $/h")  # fmt: skip
    found = Table(*columns, title=title, title_justify="left")
    for column in found.columns:
        column.justify = "right"
    for point in points:
        made = point.shape
        whole = (
            f"{made.rate:,.1f}",
            f"{made.load:g}",
            f"{made.replicas:,}",
            f"{made.routers:,}",
            str(made.cells),
        )
        times = (point.first_token_p50_s, point.first_token_p99_s, point.latency_p50_s, point.latency_p99_s)
        money = (f"{point.cloud_usd_per_hour:,.0f}", f"{point.engine_usd_per_hour:,.0f}")
        found.add_row(*whole, *(f"{value:.3g}" for value in times), f"{point.spill_share:.1%}", *money)
    console.print(found)


def plot(path: Path, found: dict[str, list[Point]]) -> None:
    """Latency and spill over load, and how busy one of each single point would be, to an .svg or .png file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "pointsman"}):
        figure = Figure(figsize=(10, 3.6 * len(found)), layout="constrained")
        grid = figure.subplots(len(found), 3, squeeze=False)
        for row, (name, points) in zip(grid, found.items(), strict=True):
            _latency(row[0], points, name)
            _spill(row[1], points)
            _single(row[2], points)
            for axes in row:
                axes.spines[["top", "right"]].set_visible(False)
                axes.grid(color=FAINT, alpha=0.25, linewidth=0.6)
                axes.legend(frameon=False, fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _by_size(points: Sequence[Point]) -> dict[int, list[Point]]:
    sizes: dict[int, list[Point]] = {}
    for point in points:
        sizes.setdefault(point.shape.replicas, []).append(point)
    return sizes


def _latency(axes: Any, points: Sequence[Point], name: str) -> None:
    for color, (size, own) in zip(PALETTE, _by_size(points).items(), strict=False):
        loads = [point.shape.load for point in own]
        axes.plot(
            loads, [point.first_token_p99_s for point in own], color=color, label=f"p99, {size:,} replicas"
        )
        axes.plot(loads, [point.first_token_p50_s for point in own], "--", color=color, linewidth=0.9)
    axes.set_title(name, loc="left", fontsize=9)
    axes.set_xlabel("load (1: all slots taken)")
    axes.set_ylabel("first token, s (dashed: p50)")
    axes.set_ylim(bottom=0)


def _spill(axes: Any, points: Sequence[Point]) -> None:
    for color, (size, own) in zip(PALETTE, _by_size(points).items(), strict=False):
        shares = [point.spill_share * 100 for point in own]
        axes.plot([point.shape.load for point in own], shares, color=color, label=f"{size:,} replicas")
    axes.set_xlabel("load (1: all slots taken)")
    axes.set_ylabel("spilled to the cloud, %")
    axes.set_ylim(bottom=0)


def _single(axes: Any, points: Sequence[Point]) -> None:
    near = [min(own, key=lambda point: abs(point.shape.load - 0.8)) for own in _by_size(points).values()]
    rates = [point.shape.rate for point in near]
    for color, name in zip(PALETTE, near[0].one_of_each, strict=False):
        axes.loglog(
            rates, [point.one_of_each[name] for point in near], "o-", color=color, markersize=3, label=name
        )
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set_xlabel("requests a second")
    axes.set_ylabel("busy share, were there only one (above 1: cells)")
