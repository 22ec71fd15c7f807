"""One training prompt, and the key that makes the same question the same in every set.

Knows nothing about where rows come from.
"""

import re
from dataclasses import dataclass

from serve.signals.readings import Difficulty, TaskType

_OPTIONS = re.compile(r"\n\(?A[.)] ")
_DECORATION = re.compile(r"\s*After careful thought, put you.*$", re.DOTALL)
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt. `family` is what is held out together, `key` what a split never separates."""

    family: str
    text: str
    key: str
    difficulty: Difficulty | None
    task: TaskType | None


def question_key(text: str) -> str:
    """The question without options, decoration, case and punctuation: the same in every set."""
    question = _DECORATION.sub("", _OPTIONS.split(text, maxsplit=1)[0])
    return _NOT_WORD.sub(" ", question).strip().casefold() or text
