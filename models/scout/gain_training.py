"""Trains the gain model, prints its figures and writes artefact and card.

Called by `models.scout.train`; knows no file layout of the data sets.
"""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from models.scout import gain, grow, outcomes
from models.scout.gain import GainModel

NAME = "gain.safetensors"
CARD = "GAIN_CARD.md"
# Families of fewer rows say too little to be held out.
LEAST_FAMILY = 100
NOTES = Path(__file__).with_name("gain_notes.md")


def run(data: Path, out: Path, seed: int) -> GainModel:
    """Reads, fits, measures, writes. Raises NoOutcomes where `data` has no outcome set."""
    known = outcomes.read(data)
    if not known:
        raise outcomes.NoOutcomes(f"{data} has none of the outcome sets: {', '.join(outcomes.LICENSED)}")
    rows = known + outcomes.disguised(known, seed)
    with Progress() as progress:
        grounds = grow.ground(rows, lambda each: list(progress.track(each, description="shapes")))
        families = _families(grounds)
        bar = progress.add_task("gain", total=grow.FOLDS + len(families) + 1)

        def step(doing: str) -> None:
            progress.update(bar, advance=1, description=f"gain: {doing}")

        honest = grow.out_of_fold(grounds, seed, step)
        strange = grow.held_out(grounds, families, seed, step)
        step("all rows")
        model = grow.assemble(grounds, grow.fit(grounds, np.ones(len(rows), dtype=bool), seed), honest)
    gain.save(model, out / NAME, {"seed": str(seed), "training_sets": ",".join(outcomes.LICENSED)})
    card = render(grounds, honest, strange, model, seed)
    (out / CARD).write_text(card, "utf-8")
    _show(grounds, honest, strange)
    return model


def _families(grounds: grow.Grounds) -> list[str]:
    names, counts = np.unique(grounds.family[grounds.original], return_counts=True)
    return [str(name) for name, count in zip(names, counts, strict=True) if count >= LEAST_FAMILY]


def _reliability(grounds: grow.Grounds, honest: grow.Array) -> tuple[float, list[tuple[float, float, int]]]:
    known = grounds.original
    slope, offset = grow.calibration(honest[known], grounds.won[known])
    shares = 1 / (1 + np.exp(-(slope * honest[known] + offset)))
    return grow.reliability(shares, grounds.won[known])


def _show(grounds: grow.Grounds, honest: grow.Array, strange: grow.Array) -> None:
    console = Console()
    table = Table("family", "rows", "APGR, folds", "APGR, family held out", "ECE, held out")
    found = list(grow.lines(grounds, honest, strange))
    for line in found:
        figures = (_cell(line.folds), _cell(line.held_out), _cell(line.ece))
        table.add_row(line.family, str(line.rows), *figures)
    console.print(table)
    worst = min(
        (line for line in found if line.held_out is not None),
        key=lambda one: one.held_out or 0.0,
        default=None,
    )
    if worst is not None:
        console.print(f"worst held-out family: {worst.family}, APGR {_cell(worst.held_out)}")
    error, bins = _reliability(grounds, honest)
    console.print(f"calibration error (folds): {error:.3f}; said -> was: {_curve(bins)}")


def _curve(bins: list[tuple[float, float, int]]) -> str:
    return ", ".join(f"{said:.2f} -> {was:.2f}" for said, was, _ in bins)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def render(
    grounds: grow.Grounds, honest: grow.Array, strange: grow.Array, model: GainModel, seed: int
) -> str:
    """The model card."""
    found = list(grow.lines(grounds, honest, strange))
    error, bins = _reliability(grounds, honest)
    counts = {
        name: sum(row.original and row.source.startswith(name) for row in grounds.rows)
        for name in outcomes.LICENSED
    }
    parts = [
        "# Model card: gain model of the pre-scout",
        f"Written by the training run, seed {seed}, version {model.version}. Do not edit by hand.",
        NOTES.read_text("utf-8").strip(),
        "## Data\n\n"
        + "\n".join(f"- `{name}`: {count:,} prompts" for name, count in counts.items() if count),
        "## Figures per family\n\nAPGR of random is 0.500; `-`: the strong side is not better by 2 points. "
        "Folds: five, no question in two. Held out: the family and all its questions were not trained on.\n\n"
        "| family | rows | APGR, folds | APGR, held out | ECE, held out |\n|---|---|---|---|---|\n"
        + "\n".join(
            f"| {line.family} | {line.rows} | {_cell(line.folds)} | {_cell(line.held_out)} | {line.ece:.3f} |"
            for line in found
        ),
        f"## Calibration\n\nPrior {model.prior:.3f}, calibration error over the folds {error:.3f}. "
        f"Said -> was, in tenths of the rows: {_curve(bins)}.",
        f"## Reproduce\n\n```\npython -m models.scout.train --data DATA --only gain --seed {seed}\n```",
    ]
    return "\n\n".join(parts) + "\n"
