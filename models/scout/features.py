"""Turns a text into hashed n-gram counts and a few dense measures, in bounded time.

Knows nothing about labels, weights or requests; needs numpy only.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.scout.words import LETTERS_AND_DIGITS, Words

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint32]
# All bucket numbers fit, and short numbers are sorted several times as fast.
Buckets = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]

HEAD_CHARACTERS = 1_600
TAIL_CHARACTERS = 600
LIMIT = HEAD_CHARACTERS + TAIL_CHARACTERS
CHARACTER_ORDERS = (2, 3, 4, 5)
CHARACTER_BUCKETS = 1 << 15
WORD_BUCKETS = 1 << 15
BUCKETS = CHARACTER_BUCKETS + WORD_BUCKETS

DENSE = (
    "log_characters",
    "log_lines",
    "log_words",
    "word_length",
    "digits",
    "code_marks",
    "maths_marks",
    "question_marks",
    "sentence_ends",
    "commas",
    "non_ascii",
    "fenced",
)

_ONE = np.array([True])
_BASE = np.uint32(0x01000193)
_MIX = np.uint32(0x9E3779B1)
_WORD = Words(r"\w+", LETTERS_AND_DIGITS + "_")
_DIGIT, _CODE, _MATHS, _QUESTION, _END, _COMMA, _LINE, _FOREIGN, _REST = range(9)


def _character_classes() -> npt.NDArray[np.uint8]:
    """Class of each ASCII code point; 128 stands for everything beyond."""
    classes = np.full(129, _REST, dtype=np.uint8)
    members = {
        _DIGIT: "0123456789",
        _CODE: "{}[]();<>_#`|&@/",
        _MATHS: "=+*^$\\%~-",
        _QUESTION: "?",
        _END: ".!",
        _COMMA: ",:",
        _LINE: "\n",
    }
    for number, characters in members.items():
        classes[[ord(character) for character in characters]] = number
    classes[128] = _FOREIGN
    return classes


_CLASSES = _character_classes()


@dataclass(frozen=True, slots=True)
class Features:
    """Distinct bucket numbers in ascending order, their weights (L2 norm 1 or 0), and DENSE."""

    buckets: Ints
    values: Floats
    dense: Floats


def capped(text: str) -> str:
    """The head and the tail of `text`, which is where the request usually stands."""
    if len(text) <= LIMIT:
        return text
    return text[:HEAD_CHARACTERS] + text[-TAIL_CHARACTERS:]


def extract(text: str) -> Features:
    """The features of one text. Costs the same for 2,200 characters and for 1 MB."""
    # Lower-casing can lengthen a text (U+0130 becomes two code points), hence the second cut.
    short = f" {capped(text.strip()).lower()[: LIMIT - 2]} "
    points = _code_points(short)
    words = _word_hashes(short)
    buckets, counts = _counted(ngram_buckets(points, words))
    values = np.log1p(counts).astype(np.float32)
    norm = np.sqrt(np.sum(values * values, dtype=np.float32))
    return Features(buckets, values / max(norm, np.float32(1e-9)), _dense(text, short, points, words.size))


def _counted(found: Buckets) -> tuple[Ints, Ints]:
    """The distinct numbers in `found`, ascending, and how often each occurs.

    Sorting a few thousand numbers is far cheaper than a histogram of all buckets.
    """
    ordered = np.sort(found)
    first = np.flatnonzero(np.concatenate((_ONE, ordered[1:] != ordered[:-1])))
    return ordered[first].astype(np.int64), np.diff(first, append=ordered.size)


def ngram_buckets(points: Hashes, words: Hashes) -> Buckets:
    """One bucket number per n-gram: character n-grams first, then words and pairs of words."""
    characters = [_spread(grams, CHARACTER_BUCKETS) for grams in _character_ngrams(points)]
    pairs = words[:-1] * _BASE + words[1:]
    spoken = [_spread(grams, WORD_BUCKETS) + np.uint16(CHARACTER_BUCKETS) for grams in (words, pairs)]
    return np.concatenate(characters + spoken)


def _character_ngrams(points: Hashes) -> list[Hashes]:
    """Polynomial hashes of all n-grams; each order extends the one before by one multiplication."""
    rolling = points + np.uint32(1)
    grams = []
    for order in range(2, CHARACTER_ORDERS[-1] + 1):
        rolling = rolling[:-1] * _BASE + points[order - 1 :]
        grams.append(rolling + np.uint32(order))
    return grams


def _spread(hashes: Hashes, buckets: int) -> Buckets:
    """Bucket numbers from the high half, because the low bits of a polynomial hash mix badly."""
    mixed = hashes * _MIX
    return ((mixed ^ (mixed >> np.uint32(15))) & np.uint32(buckets - 1)).astype(np.uint16)


def _code_points(text: str) -> Hashes:
    # Lone surrogates reach us through JSON escapes; they are hashed like any other character.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _word_hashes(text: str) -> Hashes:
    return np.array([*map(zlib.crc32, _WORD.encoded(text))], dtype=np.uint32)


def _dense(text: str, short: str, points: Hashes, words: int) -> Floats:
    found = np.bincount(_CLASSES[np.minimum(points, 128)], minlength=9)
    size = max(len(short), 1)
    share = found / size
    measures = (
        np.log1p(len(text)),
        np.log1p(found[_LINE]),
        np.log1p(words),
        min(size / max(words, 1), 20.0),
        share[_DIGIT],
        share[_CODE],
        share[_MATHS],
        min(found[_QUESTION], 5),
        np.log1p(found[_END]),
        np.log1p(found[_COMMA]),
        share[_FOREIGN],
        float("```" in short),
    )
    return np.array(measures, dtype=np.float32)
