"""The tables and the plot of `bench.learning`. Measures nothing."""

from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Column, Table

RULE = "complexity rule"
KEPT = 0.98


def tables(found: dict[str, Any], console: Console) -> None:
    """Print what was measured."""
    speed = found["speed"]
    console.print(
        f"{speed['tables']:,} tables over {speed['decisions']:,} decisions: {speed['seconds']:.1f} s "
        f"({speed['cpu_seconds']:.1f} s of CPU)"
    )
    if "routers" not in found:
        return
    console.print(f"{found['prompts']:,} prompts, a stream of {found['requests']:,} requests. ", end="")
    console.print("Quality and cost per success (CPST) beside always tier 3; late: the second half.")
    console.print(_routers(found["routers"]))
    console.print(_unseen(found["unseen"]))
    kept = {
        when: sum(one[when][0] >= KEPT for one in found["unseen"]) for when in ("before", "at_1000", "after")
    }
    console.print(
        f"Families of {len(found['unseen'])} that keep 98 %: {kept['before']} with the shipped table, "
        f"{kept['at_1000']} after 1,000 outcomes, {kept['after']} in the end"
    )
    failed = [one["failed"] for one in found["rollbacks"]]
    back = sum(one["ended"] == "rolled back" for one in found["rollbacks"])
    console.print(
        f"A bad table on trial: rolled back in {back} of {len(failed)}; requests of it that failed before: "
        f"median {median(failed):g}, most {max(failed)}"
    )


def _routers(rows: list[dict[str, Any]]) -> Table:
    rule = next(row["cpst"] for row in rows if row["router"] == RULE)
    table = Table(
        "router", "quality", "CPST", "CPST / rule", "USD", "regret per 1,000", "late quality", "late CPST"
    )
    for row in rows:
        table.add_row(
            row["router"],
            f"{row['quality']:.4f}",
            f"{row['cpst']:.3f}",
            f"{row['cpst'] / rule:.3f}",
            f"{row['usd']:.2f}",
            f"{row['regret']:.0f}",
            f"{row['late_quality']:.4f}",
            f"{row['late_cpst']:.3f}",
        )
    return table


def _unseen(rows: list[dict[str, Any]]) -> Table:
    table = Table(
        Column("family, alone", no_wrap=True), "learned table after", "quality", "then", "CPST", "then"
    )
    for row in rows:
        after = row["promoted_at"]
        (quality, cpst), (then, less) = row["before"], row["after"]
        table.add_row(
            row["family"],
            "-" if after is None else f"{after:,}",
            f"{quality:.3f}",
            f"{then:.3f}",
            f"{cpst:.3f}",
            f"{less:.3f}",
        )
    return table


def plot(found: dict[str, Any], path: Path) -> None:
    """Quality against cost per success, a point for each router."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    for row in found["routers"]:
        learned = row["router"].startswith("learned")
        colour = "tab:blue" if learned else "tab:gray" if row["router"].startswith("random") else "black"
        axes.plot(row["cpst"], row["quality"], "o" if learned else "s", color=colour)
        if learned:
            axes.plot(row["late_cpst"], row["late_quality"], "o", color=colour, fillstyle="none")
        elif not row["router"].startswith("random"):
            axes.annotate(
                row["router"],
                (row["cpst"], row["quality"]),
                xytext=(6, 6 if row["router"] == RULE else -12),
                textcoords="offset points",
            )
    axes.margins(x=0.15)
    axes.axhline(0.98, linestyle=":", color="tab:green")
    axes.axvline(0.5, linestyle=":", color="tab:green")
    axes.set_xlabel("cost per success, always tier 3 = 1")
    axes.set_ylabel("quality, always tier 3 = 1")
    axes.set_title("Filled blue: learned, whole stream; open: its second half; gray: random at the same cost")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
