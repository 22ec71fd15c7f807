"""Reads the openly licensed outcome sets: which prompts a strong model answers better than a weak one.

Knows file layouts and which models count as weak or strong; fits nothing.
"""

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.scout import augment
from models.scout.row import question_key

Weights = Mapping[str, float]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class NoOutcomes(ValueError):
    """The message names the folder and the sets of which it has none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prompt with what it gained.

    family  what is held out together: one benchmark, in whichever sets it occurs
    source  set and task, whose mean gain may be set apart from what prompts of it say
    gain    strong minus weak score, averaged over several models of each side
    won     the strong side was right and the weak side wrong
    """

    family: str
    source: str
    text: str
    key: str
    gain: float
    won: bool
    original: bool = True


@dataclass(frozen=True, slots=True)
class _Set:
    folder: str
    files: tuple[str, ...]
    weak: Weights
    strong: Weights


# The weighted means of both sides: one model's luck is noise, and the lanes of tomorrow are other models.
_SETS = (
    _Set("routellm_mmlu", ("mmlu",), {"mixtral-8x7b-instruct": 1}, {"gpt-4-1106-preview": 1}),
    _Set("routellm_gsm8k", ("gsm8k",), {"mixtral-8x7b-instruct": 1}, {"gpt-4-1106-preview": 1}),
    _Set(
        "mmlu_pro",
        ("mmlu_pro",),
        {
            "llama-3.1-8b-instruct": 2,
            "mistral-7b-instruct-v0.2": 0.5,
            "phi-3-mini-4k-instruct": 0.5,
            "mathstral-7b": 0.5,
            "mixtral-8x7b-instruct": 0.5,
        },
        {
            "gemini-1.5-pro-002": 2,
            "llama-3.1-70b-instruct": 1,
            "deepseek-coder-v2": 0.5,
            "gemini-1.5-flash-002": 0.5,
        },
    ),
    _Set(
        "zeroeval",
        ("gsm", "math-l5"),
        {
            "llama-3.1-8b-instruct": 2,
            "llama-3-8b-instruct": 1,
            "qwen2-7b-instruct": 1,
            "gemma-2-9b-it": 1,
            "phi-3.5-mini-instruct": 0.5,
            "mixtral-8x7b-instruct-v0.1": 0.5,
        },
        {
            "claude-3-5-sonnet-20240620": 1.5,
            "claude-3-5-sonnet-20241022": 1,
            "gpt-4o-2024-08-06": 1,
            "gpt-4o-mini-2024-07-18": 0.5,
            "mistral-large-2": 0.5,
        },
    ),
    _Set(
        "llmrouter_ulab",
        ("queries",),
        {"qwen2.5-7b-instruct": 2, "llama-3.1-8b-instruct": 1},
        {"llama-3.1-nemotron-51b-instruct": 2, "llama-3.3-nemotron-super-49b-v1": 0.7},
    ),
)
LICENSED = tuple(one.folder for one in _SETS)
_FAMILIES = {"gsm": "gsm8k", "agentverse-mgsm": "gsm8k", "math-l5": "math"}
# The same questions with other pairs of models have other mean gains. One score can have one only: these are
# set, so that hard maths stands above grade-school maths; what is learned within each is kept.
MEANS = {
    "routellm_gsm8k/gsm8k": 0.11,
    "zeroeval/gsm": 0.11,
    "llmrouter_ulab/gsm8k": 0.09,
    "llmrouter_ulab/math": 0.2,
    "zeroeval/math-l5": 0.3,
}
# From here on the two sides differ by more than half an answer.
WON = 0.5


def read(data: Path) -> list[Outcome]:
    """All rows of all sets that are there, in a stable order."""
    return [row for one in _SETS if (data / one.folder).is_dir() for row in _rows(data / one.folder, one)]


def _rows(folder: Path, one: _Set) -> Iterator[Outcome]:
    for file in one.files:
        with gzip.open(folder / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                weak, strong = _mean(row["scores"], one.weak), _mean(row["scores"], one.strong)
                if weak is None or strong is None:
                    continue
                task = row["dataset"] if one.folder == "llmrouter_ulab" else file
                family, text = _FAMILIES.get(task, task), row["prompt"]
                source = f"{one.folder}/{task}"
                yield Outcome(family, source, text, question_key(text), strong - weak, strong - weak > WON)


def _mean(scores: Weights, weights: Weights) -> float | None:
    known = [model for model in weights if model in scores]
    total = sum(weights[model] for model in known)
    return sum(weights[model] * scores[model] for model in known) / total if known else None


def disguised(rows: list[Outcome], seed: int) -> list[Outcome]:
    """One copy of each row with typos, kind words or its sentences in another order; the gain stays."""
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    return [replace(row, text=_disguised(row.text, source), original=False) for row in rows]


def _disguised(text: str, source: random.Random) -> str:
    kind = source.randrange(3)
    if kind == 0:
        return augment.dressed(text, source)
    if kind == 1:
        return augment.mistyped(text, source, max(1, min(len(text), 2_000) // 60))
    first, *rest = text.split("\n")
    sentences = _SENTENCE.split(first)
    place = source.randrange(len(sentences))
    return "\n".join([" ".join(sentences[place:] + sentences[:place]), *rest])
