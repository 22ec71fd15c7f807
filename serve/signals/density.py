"""Measures of a prompt for the demand counter: its cues and the frame in which they stand.

Cues by kind, cues per sentence and line, how much of the text is instruction, its marks and lists. Counts nothing
itself and knows no word but the ones that join clauses.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")
_ITEM = re.compile(r"(?m)^[ \t]*(?:\d+[.)]|[-*•]|\(?[a-zA-Z][.)])[ \t]")
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_JOINT_WORDS = """
    and or then also but while where which who that if as by with using including ensuring followed
    und oder dann auch aber wobei wenn mit et ou puis aussi mais si avec y o luego también pero con
    och eller sedan också men om med
    """
_JOINTS = frozenset(_JOINT_WORDS.split())
_EACH_WORDS = "each every all any both jede jeder jedes alle chaque tous cada todos varje alla"
_EACH = frozenset(_EACH_WORDS.split())
_QUOTES = "'\u201c\u2018\u00ab"
_MARKS = '",;:?()\n'
SHAPE = (
    "counted",
    "cues",
    "kinds",
    "cued_sentences",
    "sentences_with_two",
    "sentences_with_three",
    "most_in_a_sentence",
    "cued_lines",
    "cues_at_the_end",
    "instruction_words",
    "instruction_share",
    "instruction_commas",
    "longest_plain_line",
    "lines",
    "sentences",
    "words",
    "words_per_sentence",
    "word_length",
    "distinct_words",
    "capitals",
    "joints",
    "each",
    "numbers",
    "items",
    "quotes",
    *(f"mark {mark!r}" for mark in _MARKS),
)


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that demand something: their kind, where they start in the text, and in which sentence."""

    kind: str
    words: str
    start: int
    sentence: int


def measures(text: str, cues: Sequence[Cue], counted: int, sentences: int, kinds: Sequence[str]) -> Floats:
    """One number per kind of cue, then the numbers named in SHAPE. `counted` is what the grammar alone says."""
    by_kind = Counter(cue.kind for cue in cues)
    by_sentence = Counter(cue.sentence for cue in cues).values()
    words = _WORD.findall(text.lower())
    known = Counter(words)
    size = max(1, len(words))
    data = text.encode()
    return np.array(
        (
            *(by_kind[kind] for kind in kinds),
            counted,
            len(cues),
            len(by_kind),
            len(by_sentence),
            sum(found > 1 for found in by_sentence),
            sum(found > 2 for found in by_sentence),
            max(by_sentence, default=0),
            *_lines(text, cues, size),
            sentences,
            size,
            size / sentences,
            sum(map(len, words)) / size,
            len(known) / size,
            (len(data) - len(data.translate(None, _CAPITALS))) / size,
            sum(known[word] for word in _JOINTS & known.keys()),
            sum(known[word] for word in _EACH & known.keys()),
            len(_NUMBER.findall(text)),
            len(_ITEM.findall(text)),
            sum(map(text.count, _QUOTES)),
            *map(text.count, _MARKS),
        ),
        dtype=np.float64,
    )


def _lines(text: str, cues: Sequence[Cue], size: int) -> tuple[float, ...]:
    """Of the lines with a cue: how many, cues in the last two, words, share of all words, commas. Then the most
    words of a line without one, and how many lines there are."""
    lines = text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines[:-1]), initial=0))
    cued = Counter(bisect_right(starts, cue.start) - 1 for cue in cues)
    words = [len(line.split()) for line in lines]
    written = [number for number, count in enumerate(words) if count]
    instruction = sum(words[number] for number in cued)
    return (
        len(cued),
        sum(cued[number] for number in written[-2:]),
        instruction,
        min(1.0, instruction / size),
        sum(lines[number].count(",") for number in cued),
        max((words[number] for number in written if cued[number] < 2), default=0),
        len(written),
    )
