"""Outcomes: how well each model answered each prompt of a set, and the pairs of models to route between.

Knows file layouts and the pairs file. Scores and measures nothing.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from bench.quality.cases import DataUnreadable

Floats = npt.NDArray[np.float64]

PAIRS = Path(__file__).with_name("routing_pairs.yaml")
CHARACTERS_PER_TOKEN = 4
# What an answer is taken to cost where a row does not say how long it was.
ANSWER_TOKENS = 300.0

Price = Annotated[
    tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]],
    Field(description="USD per million tokens: in, out"),
]


def _known(values: object) -> object:
    """Without the models of which nothing is known: their value is null."""
    if not isinstance(values, dict):
        return values
    return {name: value for name, value in values.items() if value is not None}


ByModel = Annotated[dict[str, float], BeforeValidator(_known)]


class Prices(BaseModel):
    """What a call of each side costs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weak: Price = (0.1, 0.1)
    strong: Price = (2.5, 10.0)


class Pair(BaseModel):
    """One choice to measure: the cheap model `weak` or the dear one `strong`, on one file of a set.

    `file` may be left out: then all files of the set count together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    set: str
    file: str | None = None
    weak: str
    strong: str
    price: Prices = Prices()


class OutcomeRow(BaseModel):
    """One line of a file; fields that do not matter here are left alone, a number may name a task."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)

    prompt: str
    scores: ByModel
    dataset: str | None = None
    subject: str | None = None
    category: str | None = None
    out_tokens_est: ByModel | None = None
    cost_usd: ByModel | None = None


@dataclass(frozen=True, slots=True)
class Duel:
    """The prompts of one pair with both scores (0 to 1), both costs (USD) and the task each belongs to."""

    pair: Pair
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    weak: Floats
    strong: Floats
    weak_cost: Floats
    strong_cost: Floats


def duels(data: Path, pairs: Path | None) -> list[Duel]:
    """The duels of the pairs file; without one, those of the shipped file, or one for each unknown set.

    Raises DataUnreadable.
    """
    if not data.is_dir():
        raise DataUnreadable(
            f"{data} is not a folder. Give --data a folder that holds sets of *.jsonl.gz files."
        )
    folders = _folders(data)
    wanted = read_pairs(pairs or PAIRS)
    if pairs is None:
        wanted = [pair for pair in wanted if pair.set in folders]
        known = {pair.set for pair in wanted}
        wanted += [pair for name in sorted(set(folders) - known) for pair in _guessed(name, folders[name])]
    found = [_duel(pair, folders) for pair in wanted]
    if not found:
        raise DataUnreadable(f"{data} holds no rows with `prompt` and `scores` of two models.")
    return found


def read_set(folder: Path) -> Iterator[tuple[str, OutcomeRow]]:
    """Every row of a set, with the name of its file without endings. Raises DataUnreadable."""
    for path in _files(folder):
        for row in _rows(path):
            yield _stem(path), row


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a YAML file. Raises DataUnreadable with the place of the fault."""
    try:
        return TypeAdapter(list[Pair]).validate_python(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise DataUnreadable(f"{path} is no list of pairs: {error}") from error


def _folders(data: Path) -> dict[str, Path]:
    """Sets by name: the folders of `data`, and `data` itself where it holds files."""
    folders = {entry.name: entry for entry in sorted(data.iterdir()) if entry.is_dir() and _files(entry)}
    return folders | ({data.resolve().name: data} if _files(data) else {})


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith((".jsonl", ".jsonl.gz")))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _duel(pair: Pair, folders: dict[str, Path]) -> Duel:
    if pair.set not in folders:
        raise DataUnreadable(
            f"pair {pair.name}: there is no set {pair.set} among {', '.join(sorted(folders))}"
        )
    files = [path for path in _files(folders[pair.set]) if pair.file in (None, _stem(path))]
    if not files:
        raise DataUnreadable(f"pair {pair.name}: {folders[pair.set]} has no file {pair.file}.jsonl[.gz]")
    both = {pair.weak, pair.strong}
    rows = [row for path in files for row in _rows(path) if both <= row.scores.keys()]
    if not rows:
        raise DataUnreadable(f"pair {pair.name}: no row has scores of both {pair.weak} and {pair.strong}")
    return Duel(
        pair,
        tuple(row.prompt for row in rows),
        tuple(row.subject or row.category or row.dataset or pair.set for row in rows),
        np.array([row.scores[pair.weak] for row in rows]),
        np.array([row.scores[pair.strong] for row in rows]),
        np.array([_cost(row, pair.weak, pair.price.weak) for row in rows]),
        np.array([_cost(row, pair.strong, pair.price.strong) for row in rows]),
    )


def _cost(row: OutcomeRow, model: str, price: Price) -> float:
    """The measured cost where there is one, else tokens times price."""
    if row.cost_usd and model in row.cost_usd:
        return row.cost_usd[model]
    out = (row.out_tokens_est or {}).get(model, ANSWER_TOKENS)
    return (len(row.prompt) / CHARACTERS_PER_TOKEN * price[0] + out * price[1]) / 1e6


def _guessed(name: str, folder: Path) -> Iterator[Pair]:
    """Of an unknown set: its worst against its best model, per file, among those in at least 90% of the rows."""
    for path in _files(folder):
        scores: dict[str, list[float]] = {}
        rows = 0
        for row in _rows(path, strict=False):
            rows += 1
            for model, value in row.scores.items():
                scores.setdefault(model, []).append(value)
        means = {model: float(np.mean(found)) for model, found in scores.items() if len(found) >= 0.9 * rows}
        if len(means) > 1:
            weak, strong = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            yield Pair(name=f"{name}/{_stem(path)}", set=name, file=_stem(path), weak=weak, strong=strong)


def _rows(path: Path, *, strict: bool = True) -> Iterator[OutcomeRow]:
    """The rows of one file. Not `strict`: nothing where the first row has no `prompt` or no `scores`."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataUnreadable(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not strict and not (isinstance(row, dict) and {"prompt", "scores"} <= row.keys()):
                return
            yield OutcomeRow.model_validate(row)
        except ValueError as error:
            raise DataUnreadable(f"{path}, line {number}: {error}") from error
