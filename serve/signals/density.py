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

from models.scout.words import DIGITS, LETTERS_AND_DIGITS, Words

Floats = npt.NDArray[np.float64]

_WORD = Words(r"[^\W_]+", LETTERS_AND_DIGITS)
_NUMBER = Words(r"\d+", DIGITS)
_ITEM = re.compile(r"(?m)^[ \t]*(?:\d+[.)]|[-*•]|\(?[a-zA-Z][.)])[ \t]")
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_JOINT = r"\b(?:and|und|et|y|och|e|en)"
_SENTENCE_END = re.compile(r"[.!?;]\s|\n")
_CLAUSE_END = re.compile(rf"[,;:.!?\n]\s*|{_JOINT}\s")
# The same for ASCII: bytes are searched faster, and by a space Python then means a few less.
_SPACE = r"[\t-\r\x1c-\x1f ]"
_ASCII_SENTENCE_END = re.compile(rf"[.!?;]{_SPACE}|\n".encode())
_ASCII_CLAUSE_END = re.compile(rf"[,;:.!?\n]{_SPACE}*|{_JOINT}{_SPACE}".encode())
_HARD = ".!?\n"
# Characters of a clause before its first cue, where the clause is nothing else than a demand.
LEAD = 3
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
    "cued_clauses",
    "led_clauses",
    "led_by_list",
    "longest_list",
    "clauses",
    "words_per_cued_clause",
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
    """Words that demand something: their kind, where they start in the text, in which sentence and clause; `leads`
    where the clause begins with them."""

    kind: str
    words: str
    start: int
    sentence: int
    clause: int
    leads: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the sentences of a text end and its clauses start."""

    sentence_ends: Sequence[int]
    clauses: Sequence[int]


def frame_of(text: str) -> Frame:
    """The frame of `text`."""
    if text.isascii():
        data = text.encode()
        ends = [match.start() for match in _ASCII_SENTENCE_END.finditer(data)]
        return Frame(ends, [0, *(match.end() for match in _ASCII_CLAUSE_END.finditer(data))])
    ends = [match.start() for match in _SENTENCE_END.finditer(text)]
    return Frame(ends, [0, *(match.end() for match in _CLAUSE_END.finditer(text))])


def measures(text: str, cues: Sequence[Cue], counted: int, frame: Frame, kinds: Sequence[str]) -> Floats:
    """One number per kind of cue, then the numbers named in SHAPE. `counted` is what the grammar alone says."""
    sentences = len(frame.sentence_ends) + 1
    by_kind = Counter(cue.kind for cue in cues)
    by_sentence = Counter(cue.sentence for cue in cues).values()
    words = _WORD.of(text.lower())
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
            *_clauses(text, cues, frame.clauses),
            *_lines(text, cues, size),
            sentences,
            size,
            size / sentences,
            sum(map(len, words)) / size,
            len(known) / size,
            (len(data) - len(data.translate(None, _CAPITALS))) / size,
            sum(known[word] for word in _JOINTS & known.keys()),
            sum(known[word] for word in _EACH & known.keys()),
            len(_NUMBER.of(text)),
            len(_ITEM.findall(text)),
            sum(map(text.count, _QUOTES)),
            *map(text.count, _MARKS),
        ),
        dtype=np.float64,
    )


def _clauses(text: str, cues: Sequence[Cue], starts: Sequence[int]) -> tuple[float, ...]:
    """Clauses with a cue; those that begin with one; of these, those behind a comma or a joint; the most of them in
    one sentence. Then all clauses, and the words of a clause with a cue."""
    cued = {cue.clause for cue in cues}
    led = {cue.clause: cue.sentence for cue in cues if cue.leads}
    listed = Counter(led[number] for number in led if number and text[starts[number] - 1] not in _HARD)
    ends = (*starts[1:], len(text))
    spoken = sum(text.count(" ", starts[number], ends[number]) + 1 for number in cued)
    return (
        len(cued),
        len(led),
        sum(listed.values()),
        max(listed.values(), default=0),
        len(starts),
        spoken / max(1, len(cued)),
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
