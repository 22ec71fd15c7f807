"""The constraint-density signal: how many strict demands a prompt makes at the same time.

Knows the grammar of a demand (amounts, formats, musts, prohibitions, voices) in seven languages; a small trained
counter weighs what the grammar found. Does not know how hard a demand is to meet.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from models.scout import counter
from serve.request import RequestView
from serve.signals.cues import KINDS
from serve.signals.density import LEAD, SHAPE, Cue, Floats, Frame, frame_of, measures
from serve.signals.readings import ConstraintReading
from serve.signals.remember import Remember
from serve.signals.sensitivity.pattern import Hit, Pattern

# Demands stand at the ends of a prompt; what lies between is usually the material to work on.
_EDGE = 6_000
# System prompts come with every request.
REMEMBERED = 1_024

_CODE = Pattern(r"(?s)```.*?```")
# A sentence that only tells what to do is one demand, however many cue words it has.
_WEAK = frozenset(("demand", "inclusion", "addition", "style", "prohibition", "amount"))
# Each of these is a further wish, even within one sentence.
_EACH = frozenset(("style", "addition", "frequency", "length"))
# An answer has one of each of these, however often the prompt comes back to it.
_ONCE = frozenset(
    (
        *("title", "placeholder", "case", "language", "persona", "audience", "punctuation", "format"),
        *("order", "signature", "tense"),
    )
)


_NAMES = tuple(kind for kind, _ in KINDS)
# What the counter reads of a prompt, in order.
MEASURES = (*_NAMES, *SHAPE)


@dataclass(frozen=True, slots=True)
class Found:
    """What the grammar makes of one text: how many demands, of which kinds, and what the counter reads."""

    counted: int
    kinds: frozenset[str]
    measures: Floats


def read(view: RequestView) -> ConstraintReading:
    """How many demands the prompt and its instructions make, and their kinds; none where the grammar finds no cue."""
    texts = [_INSTRUCTIONS.of(view.instructions)] if view.instructions else []
    texts += [_demanded(view.prompt)] if view.prompt else []
    density = sum((text.density for text in texts), float(view.structured))
    kinds = frozenset(("structured",) if view.structured else ()).union(*(text.kinds for text in texts))
    return ConstraintReading(round(density), tuple(sorted(kinds)), density)


@dataclass(frozen=True, slots=True)
class _Demanded:
    """How many demands one text makes, not rounded, and their kinds."""

    density: float
    kinds: frozenset[str]


def _demanded(text: str) -> _Demanded:
    found = grammar(trimmed(text))
    return _Demanded(_density(found), found.kinds)


_INSTRUCTIONS = Remember(_demanded, REMEMBERED)


def grammar(text: str) -> Found:
    """The demands that the grammar sees in `text`, one without code blocks and of bounded length."""
    frame = frame_of(text)
    cues = list(_cues(text, frame))
    demands = set(_demands(cues))
    row = measures(text, cues, len(demands), frame, _NAMES)
    return Found(len(demands), frozenset(kind for kind, _ in demands), row)


def _density(found: Found) -> float:
    return max(1.0, _counter().estimate(found.measures, found.counted)) if found.counted else 0.0


@cache
def _counter() -> counter.DemandCounter:
    return counter.load(MEASURES)


def trimmed(text: str) -> str:
    """`text` without code blocks, and without its middle where it is long."""
    text = _CODE.replace(text.encode("utf-8", "replace").decode(), lambda _: " ")
    return text if len(text) <= 2 * _EDGE else f"{text[:_EDGE]}\n{text[-_EDGE:]}"


def _demands(cues: Iterable[Cue]) -> Iterator[tuple[str, str]]:
    """Every demand as its kind and its words: the same words twice are one demand."""
    sentences: dict[int, list[Cue]] = {}
    for cue in cues:
        sentences.setdefault(cue.sentence, []).append(cue)
    for members in sentences.values():
        strong = [cue for cue in members if cue.kind not in _WEAK]
        # In a list of demands each has its own clause, and the clause begins with it.
        said = {cue.clause for cue in strong or members[:1]}
        listed = (cue for cue in members if cue.leads and cue.clause not in said)
        for cue in (*(strong or members[:1]), *(cue for cue in members if cue.kind in _EACH), *listed):
            yield cue.kind, "" if cue.kind in _ONCE else cue.words


def _cues(text: str, frame: Frame) -> Iterator[Cue]:
    """The cues in the order of the table; words that an earlier kind took are gone."""
    taken = bytearray(len(text))
    for kind, pattern in KINDS:
        for hit in pattern.hits(text):
            if taken.find(1, hit.start, hit.end) < 0:
                taken[hit.start : hit.end] = b"\x01" * (hit.end - hit.start)
                yield _cue(kind, hit, frame)


def _cue(kind: str, hit: Hit, frame: Frame) -> Cue:
    clause = bisect_right(frame.clauses, hit.start) - 1
    return Cue(
        kind,
        " ".join(hit.value.lower().split()),
        hit.start,
        bisect_left(frame.sentence_ends, hit.start),
        clause,
        hit.start - frame.clauses[clause] <= LEAD,
    )
