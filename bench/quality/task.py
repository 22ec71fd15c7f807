"""How often the pre-scout names the type of task that a person or a data set gave, per set and per language.

Rows of the test split of its own training sets: figures in family. Whole families held out are in the model card.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import report
from bench.quality.cases import DataUnreadable
from bench.quality.labelled import rows
from models.scout import sources
from models.scout.corpus import split_of
from models.scout.labels import UNCOMMON_TASKS
from models.scout.prescout import PreScout
from models.scout.row import Row, question_key
from serve.signals.readings import TaskType

SEED = 0  # of the split of the shipped weights
SURE_AT = 0.5
LANGUAGES = Path("complexity_uncommon") / "prompts.jsonl.gz"
Labelled = dict[str, list[tuple[str, TaskType]]]


def run(data: Path, out: Path | None, console: Console) -> int:
    """Measures every set and language, prints a table, writes `out`. Raises DataUnreadable."""
    found = labelled(data)
    if not found:
        raise DataUnreadable(f"{data} holds no training set with types of tasks (models/scout/sources.py).")
    prescout = PreScout.load()
    bar = track(found.items(), console=console, transient=True, disable=not console.is_terminal)
    results = [measure(name, texts, prescout) for name, texts in bar]
    report.save(out, {"results": results})
    table = Table("test split of", "n", "accuracy", f"{SURE_AT:.0%} sure", "accuracy of these",
                  title="Types of tasks", title_justify="left")  # fmt: skip
    for one in results:
        figures = (one["accuracy"], one["sure"], one["accuracy_sure"])
        table.add_row(one["name"], str(one["n"]), *(f"{figure:.3f}" for figure in figures))
    console.print(table)
    return 0


def labelled(data: Path) -> Labelled:
    """Texts of the test split with their types, by set, then by language. Raises DataUnreadable."""
    found: Labelled = {}
    try:
        for row in sources.read(data):
            if row.task and split_of(row, SEED) == "test":
                found.setdefault(row.family, []).append((row.text, row.task))
    except (OSError, KeyError, ValueError) as error:
        raise DataUnreadable(f"{data} lacks a training set, or one cannot be read: {error}") from error
    for name, text, task in _by_language(data / LANGUAGES):
        found.setdefault(f"{LANGUAGES.parent} in {name}", []).append((text, task))
    return found


def _by_language(path: Path) -> Iterator[tuple[str, str, TaskType]]:
    for line in rows(path):
        task, language = UNCOMMON_TASKS.get(line["task"]), line["lang"]
        row = Row("", line["prompt"], question_key(line["prompt"]), None, task)
        if task and language and split_of(row, SEED) == "test":
            yield language, row.text, task


def measure(name: str, texts: list[tuple[str, TaskType]], prescout: PreScout) -> dict[str, Any]:
    """The figures of one group."""
    said = [(prescout.score(text)[1], task) for text, task in texts]
    right = [reading.task == task for reading, task in said]
    sure = [reading.task == task for reading, task in said if reading.confidence >= SURE_AT]
    return {
        "name": name,
        "n": len(texts),
        "accuracy": round(sum(right) / len(right), 4),
        "sure": round(len(sure) / len(right), 4),
        "accuracy_sure": round(sum(sure) / len(sure), 4) if sure else 0.0,
    }
