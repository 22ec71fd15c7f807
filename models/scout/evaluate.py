"""Fits a model for each target and scores it per family: in-family test split and held out whole.

Knows nothing about texts, files or how the table was made.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.scout.fit import Array, Linear, Table, Target, fit
from models.scout.measure import Score, score
from models.scout.prepare import Prepared

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One family under one target; `held_out` was scored by a model that never saw the family."""

    family: str
    in_family: Score | None
    held_out: Score


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fitted model of one target and all its figures; `pooled` is the test split of all families."""

    target: Target
    linear: Linear
    pooled: Score
    lines: tuple[Line, ...]


def steps(prepared: Prepared) -> int:
    """How many fits `evaluate` makes over all targets."""
    return sum(1 + len(_families(prepared, target)) for target in prepared.targets)


def evaluate(table: Table, prepared: Prepared, target: Target, step: Step) -> Outcome:
    """Fits on everything, then once more without each family. Calls `step` before each fit."""
    step(f"{target.name}: all families")
    linear = fit(table.matrix, target, prepared.mask("train"), prepared.mask("calibration"))
    tested = prepared.mask("test")
    pooled = _scored(table, linear, target, tested)
    if pooled is None:
        raise ValueError(f"no {target.name} label in the test split")
    return Outcome(target, linear, pooled, tuple(_lines(table, prepared, target, linear, step)))


def _lines(table: Table, prepared: Prepared, target: Target, linear: Linear, step: Step) -> Iterator[Line]:
    for family in _families(prepared, target):
        step(f"{target.name}: without {family}")
        members = (prepared.families == family) & prepared.original
        train, calibrate = prepared.mask("train", family), prepared.mask("calibration", family)
        stranger = fit(table.matrix, target, train, calibrate)
        held_out = _scored(table, stranger, target, members)
        in_family = _scored(table, linear, target, members & prepared.mask("test"))
        if held_out:
            yield Line(family, in_family, held_out)


def _families(prepared: Prepared, target: Target) -> list[str]:
    return sorted(set(prepared.families[target.labels >= 0].tolist()))


def _scored(table: Table, linear: Linear, target: Target, rows: Array) -> Score | None:
    chosen = rows & (target.labels >= 0)
    if not chosen.any():
        return None
    return score(linear.probabilities(table.matrix[chosen]), target.labels[chosen])
