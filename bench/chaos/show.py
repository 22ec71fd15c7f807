"""The suite's result as a table and as a plot. Measures nothing."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.chaos.figures import Row, visible_share
from bench.chaos.soak import Soak

HEADS = ("requests", "lost", "errors", "fell back", "retried", "p50 s", "p99 s", "recovery s", "back s")


def line(console: Console, row: Row) -> None:
    """One finished fault, while the others still run."""
    state = "[red]BROKEN" if row.broken else "[green]held"
    console.print(f"{row.fault}: {state}[/] ({row.requests} requests, {row.lost} lost, {row.errors} errors)")


def table(console: Console, rows: Sequence[Row], memory: Sequence[Soak]) -> None:
    """Everything on one page."""
    found = Table("fault", *HEADS, "promise", title="What the clients of a broken Pointsman notice")
    for column in found.columns[1:-1]:
        column.justify = "right"
    for row in rows:
        counts = (row.requests, row.lost, row.errors, row.fell_back, row.retried)
        times = (row.p50, row.p99, row.recovery_s, row.back_s)
        held = "[green]held" if not row.broken else "[red]" + "; ".join(row.broken)
        found.add_row(row.fault, *map(str, counts), *map(_text, times), held)
    if rows:
        console.print(found)
        seen, asked = visible_share(rows)
        console.print(f"Of the faults no client should notice: {seen} of {asked} requests noticed one.")
    for run in memory:
        slopes = ", ".join(f"{part} {kib:+.0f} KiB" for part, kib in run.kib_per_1000.items())
        console.print(f"Memory over {run.requests} requests ({run.lost} not answered), per 1,000: {slopes}")


def plot(path: Path, rows: Sequence[Row], memory: Sequence[Soak]) -> None:
    """Requests over the faults' latencies, and memory over requests."""
    import matplotlib  # slow to import, and only a plot wants it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 6), layout="constrained")
    names = [f"{row.fault}  {row.lost} lost, {row.errors} errors of {row.requests}" for row in rows]
    left.barh(names, [row.p99 for row in rows], color="#c9d8ec", label="p99")
    left.barh(names, [row.p50 for row in rows], color="#3b6ea5", label="p50")
    left.plot([row.recovery_s for row in rows], names, "k|", markersize=12, label="recovery")
    left.invert_yaxis()
    left.set_xlabel("seconds")
    left.set_title("Under each fault")
    left.legend()
    for run in memory:
        for part, points in run.rss_mib.items():
            label = f"{part}: {run.kib_per_1000[part]:+.0f} KiB per 1,000 requests"
            right.plot([x for x, _ in points], [y for _, y in points], label=label)
    right.set_ylim(bottom=0)
    right.set_xlabel("requests")
    right.set_ylabel("RSS, MiB, all replicas of the part")
    right.set_title("Memory")
    if memory:
        right.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
