"""Trains the demand counter, measures it by folds and by held-out families, writes artefact and card.

Called by `models.scout.train`. Only Apache-2.0 sets and this project's own prompts train it.
"""

import gzip
import json
import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor  # type: ignore[import-untyped]

from models.scout import augment, counter, demands
from models.scout.counter import DemandCounter
from models.scout.grow import trees_of
from serve.signals import constraints

Array = npt.NDArray[Any]

NAME = "counter.safetensors"
CARD = "DENSITY_CARD.md"
NOTES = Path(__file__).with_name("density_notes.md")
FOLDS = 5
DENSE_LEVEL = 4
COPY_WEIGHT = 0.5
# Prompts of this project are many and alike; with more weight the public sets are counted worse.
OWN_WEIGHT = 0.25
# Measured only: its phrases are in no prompt that trains.
UNSEEN = "lists, unseen phrases"
OWN = ("lists", "written")
SETS = (
    ("followbench", "constraints_followbench/followbench.jsonl.gz", "level", "group"),
    ("ifeval", "constraints_ifeval/ifeval.jsonl.gz", "n_constraints", "id"),
)


@dataclass(frozen=True, slots=True)
class Rows:
    """All prompts as one table; a copy has the group of its original."""

    measures: Array
    counted: Array
    true: Array
    family: Array
    group: Array
    original: Array


def run(data: Path, out: Path, seed: int) -> DemandCounter:
    """Reads, fits, measures, writes. Raises FileNotFoundError where a set is missing."""
    rows = _rows(data, seed)
    fold = np.array([zlib.crc32(f"{seed}{group}".encode()) % FOLDS for group in rows.group])
    honest, strange = np.zeros(rows.true.size), np.zeros(rows.true.size)
    for number in range(FOLDS):
        honest[fold == number] = _estimates(_fit(rows, fold != number, seed), rows, fold == number)
    for name in sorted(set(rows.family.tolist())):
        members = rows.family == name
        strange[members] = _estimates(_fit(rows, ~members, seed), rows, members)
    model = _fit(rows, np.ones(rows.true.size, dtype=bool), seed)
    about = {"seed": str(seed), "training_sets": ",".join(name for name, *_ in SETS)}
    counter.save(model, out / NAME, about)
    (out / CARD).write_text(_card(rows, honest, strange, seed), "utf-8")
    return model


def _rows(data: Path, seed: int) -> Rows:
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    known = [
        (name, str(row[group]), str(row["prompt"]), float(row[true]))
        for name, path, true, group in SETS
        for row in _read(data / path)
    ]
    own = (
        ("written", demands.rows(seed)),
        ("lists", demands.lists(seed)),
        (UNSEEN, demands.lists(seed, held=True)),
    )
    known += [(name, group, text, float(true)) for name, prompts in own for group, text, true in prompts]
    copies = [(name, group, _disguised(text, source), true) for name, group, text, true in known]
    found = [constraints.grammar(constraints.trimmed(text)) for _, _, text, _ in known + copies]
    columns = list(zip(*(known + copies), strict=True))
    return Rows(
        np.stack([one.measures for one in found]),
        np.array([one.counted for one in found]),
        np.array(columns[3]),
        np.array(columns[0]),
        np.array(columns[1]),
        np.arange(len(found)) < len(known),
    )


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _disguised(text: str, source: random.Random) -> str:
    """The same demands in other clothes: the count stays."""
    kind = source.randrange(4)
    if kind == 0:
        return augment.dressed(text, source)
    if kind == 1:
        return augment.mistyped(text, source, max(1, min(len(text), 2_000) // 60))
    return text.lower() if kind == 2 else text.upper()


def _fit(rows: Rows, train: Array, seed: int) -> DemandCounter:
    forest = HistGradientBoostingRegressor(
        max_iter=300,
        learning_rate=0.04,
        max_leaf_nodes=12,
        max_depth=6,
        min_samples_leaf=12,
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    train = train & (rows.family != UNSEEN)
    weights = np.where(rows.original[train], 1.0, COPY_WEIGHT)
    weights = np.where(np.isin(rows.family[train], OWN), OWN_WEIGHT * weights, weights)
    forest.fit(rows.measures[train], rows.true[train], sample_weight=weights)
    return DemandCounter(trees_of(forest), constraints.MEASURES)


def _estimates(model: DemandCounter, rows: Rows, chosen: Array) -> Array:
    """As `constraints.read` does it: without a cue there is no demand."""
    pairs = zip(rows.measures[chosen], rows.counted[chosen].tolist(), strict=True)
    return np.array([max(1.0, model.estimate(row, counted)) if counted else 0.0 for row, counted in pairs])


def _card(rows: Rows, honest: Array, strange: Array, seed: int) -> str:
    lines = [
        f"| {name} | {int((rows.original & (rows.family == name)).sum())} | "
        + " | ".join(_cells(rows, values, name) for values in (rows.counted.astype(float), honest, strange))
        + " |"
        for name in sorted(set(rows.family.tolist()))
    ]
    parts = (
        "# Model card: demand counter",
        f"Written by the training run, seed {seed}. Do not edit by hand.",
        NOTES.read_text("utf-8").strip(),
        "## Figures\n\nCount within one (or AUC of level >= 4 by density; by whole counts). Folds: five, no group in "
        "two. Held out: the whole family was not trained on. Grammar: the count without the trees.\n\n"
        "| family | rows | grammar | folds | held out |\n|---|---|---|---|---|\n" + "\n".join(lines),
        f"## Reproduce\n\n```\npython -m models.scout.train --data DATA --only counter --seed {seed}\n```",
    )
    return "\n\n".join(parts) + "\n"


def _cells(rows: Rows, values: Array, name: str) -> str:
    chosen = rows.original & (rows.family == name)
    true, found = rows.true[chosen], values[chosen]
    within = float((np.abs(np.round(found) - true) <= 1).mean())
    if name != "followbench":
        return f"{within:.3f}"
    dense = true >= DENSE_LEVEL
    return f"{within:.3f} ({_auc(found, dense):.3f}; {_auc(np.round(found), dense):.3f})"


def _auc(values: Array, positive: Array) -> float:
    """The chance that a dense prompt has the higher value; equal values count half."""
    higher = values[positive][:, None] - values[~positive][None, :]
    return float((higher > 0).mean() + (higher == 0).mean() / 2)
