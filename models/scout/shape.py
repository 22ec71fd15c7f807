"""The shape of a prompt: lengths, numbers, marks, options, how rare its words are. No word stands for itself.

Lower case only, so that capitals change nothing. Knows nothing about labels or weights; needs numpy only.
"""

import re
from collections.abc import Mapping
from itertools import repeat

import numpy as np
import numpy.typing as npt

from models.scout.features import capped
from models.scout.words import DIGITS, LETTERS, Words

Floats = npt.NDArray[np.float64]

SHAPE = (
    "log_characters",
    "log_question",
    "log_words",
    "log_lines",
    "word_length",
    "log_numbers",
    "numbers_per_word",
    "log_digits",
    "log_options",
    "log_option_length",
    "option_digits",
    "log_latex",
    "log_dollars",
    "log_maths_marks",
    "log_code_marks",
    "log_question_marks",
    "log_sentences",
    "words_per_sentence",
    "log_commas",
    "rarity",
    "rarest",
    "rarity_spread",
    "unknown_words",
    "distinct_words",
    "gaps",
    "log_non_ascii",
    "long_words",
    "log_quotes",
    "distinct_numbers",
)

_WORD = Words(r"[^\W\d_]+", LETTERS)
_FIGURES = Words(r"[\d.]+", DIGITS + ".")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OPTION = re.compile(r"(?m)^\(?[a-j][.)] ")
_LATEX = re.compile(r"\\[a-z]+")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_RAREST = 5
_LONG_WORD = 8


def words(text: str) -> list[str]:
    """The words of the head and tail of `text`, lower case."""
    return _WORD.of(capped(text).lower())


def shape(text: str, rarity: Mapping[str, float], unknown: float) -> Floats:
    """The measures named in SHAPE. `rarity` of a word it does not hold is `unknown`."""
    short = capped(text.strip()).lower()
    found = _WORD.of(short)
    numbers = _NUMBER.findall(" ".join(_FIGURES.of(short)))
    options = _OPTION.split(short)
    question, listed = options[0], short[len(options[0]) :]
    sentences = max(1, len(_SENTENCE.findall(short)))
    count, lengths = max(len(found), 1), list(map(len, found))
    offered = len(options) - 1
    raw = (
        min(len(text), 200_000),
        len(question),
        len(found),
        short.count("\n"),
        len(numbers),
        sum(map(len, numbers)),
        offered,
        len(listed) / offered if offered else 0.0,
        len(_LATEX.findall(short)) if "\\" in short else 0,
        short.count("$"),
        _marks(short, "=+*^<>/"),
        _marks(short, "{}[]();_"),
        short.count("?"),
        sentences,
        short.count(","),
        0 if short.isascii() else len(short) - len(short.encode("ascii", "ignore")),
        _marks(short, "\"'"),
    )
    logs = np.log1p(np.array(raw, dtype=np.float64))
    shares = (
        sum(lengths) / count,
        len(numbers) / count,
        sum(map(str.isdigit, listed)) / max(len(listed), 1),
        len(found) / sentences,
        len(set(found)) / count,
        float("___" in short),
        sum(map(_LONG_WORD.__lt__, lengths)) / count,
        len(set(numbers)) / max(len(numbers), 1),
    )
    return _laid_out(logs, shares, _rarities(found, rarity, unknown))


def _marks(text: str, members: str) -> int:
    return sum(map(text.count, members))


def _rarities(found: list[str], rarity: Mapping[str, float], unknown: float) -> tuple[float, ...]:
    """Mean, mean of the rarest, spread, share of unknown words."""
    if not found:
        return 0.0, 0.0, 0.0, 0.0
    values = np.array([*map(rarity.get, found, repeat(unknown))])
    size = len(found)
    mean = np.add.reduce(values) / size
    apart = values - mean
    spread = np.sqrt(np.add.reduce(apart * apart) / size)
    rarest = np.add.reduce(np.sort(values)[-_RAREST:]) / min(_RAREST, size)
    return float(mean), float(rarest), float(spread), int(np.count_nonzero(values == unknown)) / size


def _laid_out(logs: Floats, shares: tuple[float, ...], rare: tuple[float, ...]) -> Floats:
    """In the order of SHAPE."""
    length, density, digits, per_sentence, distinct, gaps, long_words, numbers = shares
    head, tail = logs[:4], logs[4:]
    return np.concatenate(
        (
            head,
            (length, tail[0], density, tail[1], tail[2], tail[3], digits),
            tail[4:10],
            (per_sentence, tail[10]),
            rare,
            (distinct, gaps, tail[11], long_words, tail[12], numbers),
        )
    )
