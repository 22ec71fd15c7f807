"""Training prompts written for this project: small asks in heavy words, and hard asks in light ones.

They exist because no open set has them, and without them verbs such as "compare" or "prove" decide.
Knows nothing about the other data. Rows of one template form a group that no split may separate.
"""

import random
import string
from collections.abc import Iterator
from pathlib import Path

from serve.signals.readings import DIFFICULTIES, Difficulty, TaskType

Row = tuple[str, str, Difficulty, TaskType]

TEMPLATES = Path(__file__).with_name("written.txt")
ROWS_PER_TEMPLATE = 12

WORDS: dict[str, str] = {
    "heavy": "Compare,Analyse,Evaluate,Contrast,Assess,Examine,Verify,Investigate,Review,Benchmark",
    "ask": "What is,Calculate,Compute,Work out,Tell me,How much is,Evaluate,Solve",
    "op": "+,-,*,plus,minus,times,x",
    "country": "France,Kenya,Peru,Japan,Canada,Norway,Egypt,Chile,Poland,Vietnam,Greece,Cuba",
    "noun": "cat,chair,river,bread,window,garden,bicycle,cloud,shoe,letter,apple,house",
    "adjective": "big,cold,fast,happy,early,light,open,rich,soft,tall,young,empty",
    "colour": "red,blue,yellow,black,white,purple",
    "language": "French,German,Italian,Dutch,Polish,Japanese,Turkish,Swedish",
    "phrase": "thank you,see you soon,where is the station,I am hungry,happy birthday,one coffee please",
    "name": "Tom,Aisha,Marta,Jun,Olu,Priya,Sven,Ivan",
    "unit": "metres,feet,miles,grams,pounds,litres,hours,seconds,inches,kilograms",
    "month": "January,March,April,June,August,October,December",
}


def rows(seed: int) -> Iterator[Row]:
    """Yields (group, text, difficulty, task), the same for the same seed."""
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    for difficulty, task, template in _templates():
        wanted = ROWS_PER_TEMPLATE if "{" in template else 1
        for text in sorted({_fill(template, source) for _ in range(wanted)}):
            yield template, text, difficulty, task


def _templates() -> Iterator[tuple[Difficulty, TaskType, str]]:
    """The lines of the template file under their `[difficulty task]` headings."""
    difficulty: Difficulty = "trivial"
    task: TaskType = "other"
    for line in TEMPLATES.read_text("utf-8").splitlines():
        if line.startswith("["):
            label, kind = line.strip("[]").split()
            difficulty = next(name for name in DIFFICULTIES if name == label)
            task = kind  # type: ignore[assignment]
        elif line:
            yield difficulty, task, line


def _fill(template: str, source: random.Random) -> str:
    parts = []
    for text, field, _, _ in string.Formatter().parse(template):
        parts.append(text + (_choice(field, source) if field else ""))
    return "".join(parts)


def _choice(field: str, source: random.Random) -> str:
    """A word from the list called `field`; `n` is a small number."""
    return str(source.randint(1, 99)) if field == "n" else source.choice(WORDS[field].split(","))
