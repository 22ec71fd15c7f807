"""How well the constraint signal counts: IFEval within one, FollowBench levels 4 and 5 against the others.

Reads each text as a chat request, with the code of the Router. Knows no cue.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.cases import DataUnreadable
from bench.quality.labelled import auc, folders, rows
from bench.quality.routing import view
from serve.signals import constraints

DENSE_LEVEL = 4
RESAMPLES = 300
Results = list[dict[str, Any]]


def run(data: Path, out: Path | None, console: Console) -> int:
    """Measures every set under `data` that has counts or levels, prints a table, writes `out`.

    Raises DataUnreadable.
    """
    results = [found for path in folders(data) if (found := measure(path, console))]
    if not results:
        raise DataUnreadable(f"{data} holds no rows with `n_constraints` or `n_added_constraints`.")
    report.save(out, {"results": results})
    table = Table(
        "set",
        "n",
        "within 1",
        "exact",
        "AUC level >= 4 (95%)",
        "AUC of whole counts",
        title="Constraints",
        title_justify="left",
    )
    for one in results:
        ends = one["auc_ci"]
        area = "-" if one["auc"] is None else f"{one['auc']:.3f} ({ends[0]:.3f}..{ends[1]:.3f})"
        shares = (_cell(one[name]) for name in ("within1", "exact"))
        table.add_row(one["set"], str(one["n"]), *shares, area, _cell(one["auc_of_counts"]))
    console.print(table)
    return 0


def measure(path: Path, console: Console) -> dict[str, Any] | None:
    """The figures of one file; None where its rows say nothing about constraints."""
    found = rows(path)
    if not found or not {"n_constraints", "n_added_constraints", "level"} & found[0].keys():
        return None
    true = _numbers(found, path, "n_constraints")
    level = _numbers(found, path, "level", "n_added_constraints")
    readings = [constraints.read(view(str(row["prompt"]))) for row in _tracked(found, path, console)]
    counts = np.array([reading.count for reading in readings])
    density = np.array([reading.density for reading in readings])
    exact = bool((true >= 0).all())
    dense = level >= DENSE_LEVEL
    has_levels = not exact and 0 < dense.sum() < dense.size
    return {
        "set": path.parent.name,
        "file": path.name.partition(".")[0],
        "n": len(found),
        "within1": round(float((np.abs(counts - true) <= 1).mean()), 4) if exact else None,
        "exact": round(float((counts == true).mean()), 4) if exact else None,
        "auc": round(auc(density, dense), 4) if has_levels else None,
        "auc_ci": _interval(density, dense) if has_levels else None,
        "auc_of_counts": round(auc(counts, dense), 4) if has_levels else None,
    }


def _numbers(found: list[Mapping[str, Any]], path: Path, *names: str) -> npt.NDArray[np.int64]:
    """Of each row the first of these fields that it has, -1 where it has none. Raises DataUnreadable."""
    values = [next((row[name] for name in names if name in row), -1) for row in found]
    for value in values:
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise DataUnreadable(
                f"{path}: `{'` or `'.join(names)}` must be a number in every row that has it."
            )
    return np.array(values, dtype=np.int64)


def _tracked(found: list[Mapping[str, Any]], path: Path, console: Console) -> Any:
    return track(
        found, description=path.name, console=console, transient=True, disable=not console.is_terminal
    )


def _interval(density: npt.NDArray[Any], dense: npt.NDArray[np.bool_]) -> list[float]:
    generator = np.random.default_rng(0)
    areas = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, density.size, density.size)
        if 0 < dense[drawn].sum() < drawn.size:
            areas.append(auc(density[drawn], dense[drawn]))
    return [round(float(end), 4) for end in np.percentile(areas, [2.5, 97.5])]


def _cell(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
