"""How often the pre-scout gives the three-way difficulty and the task type that a person gave.

Its training data holds `complexity_uncommon`: on that set these are no test figures (see the model card).
"""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.cases import DataUnreadable
from bench.quality.labelled import folders, rows
from bench.quality.routing import view
from models.scout.prescout import PreScout
from serve.signals.readings import DIFFICULTIES
from serve.signals.scout import prejudge


def run(data: Path, out: Path | None, console: Console) -> int:
    """Measures every file with difficulty labels, prints a table, writes `out`. Raises DataUnreadable."""
    prescout = PreScout.load()
    results = [found for path in folders(data) if (found := measure(path, prescout, console))]
    if not results:
        raise DataUnreadable(f"{data} holds no rows whose `label` is one of {', '.join(DIFFICULTIES)}.")
    report.save(out, {"results": results})
    table = Table("set", "n", "accuracy", "majority", "trivial taken for complex or back", title="Complexity",
                  title_justify="left")  # fmt: skip
    for one in results:
        figures = (one["accuracy"], one["majority"], one["swapped"])
        table.add_row(one["set"], str(one["n"]), *(f"{figure:.3f}" for figure in figures))
    console.print(table)
    return 0


def measure(path: Path, prescout: PreScout, console: Console) -> dict[str, Any] | None:
    """The figures of one file; None where no row has a difficulty label."""
    found = [row for row in rows(path) if row.get("label") in DIFFICULTIES]
    if not found:
        return None
    bar = track(
        found, description=path.name, console=console, transient=True, disable=not console.is_terminal
    )
    said = np.array(
        [DIFFICULTIES.index(prejudge(prescout, view(row["prompt"]))[0].difficulty) for row in bar]
    )
    true = np.array([DIFFICULTIES.index(row["label"]) for row in found])
    return {
        "set": path.parent.name,
        "file": path.name.partition(".")[0],
        "n": len(found),
        "accuracy": round(float((said == true).mean()), 4),
        "majority": round(float(np.bincount(true).max() / true.size), 4),
        "swapped": round(float((np.abs(said - true) == 2).mean()), 4),
    }
