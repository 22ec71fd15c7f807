"""A rule: a pattern, a check of the value, and perhaps a cue nearby.

Knows how to try rules on one text. Does not know what any rule means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from serve.signals.sensitivity.pattern import MAX_MEM, Gate, Pattern

_VETO_REACH = 32
_TOKEN = 40
# No value is longer than this, except those of rules without a cue.
_LONGEST = 96
_ALNUM = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Edge = Literal["open", "word", "digits"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` finds candidates, `accepts` judges them.

    `cue`     must occur up to `reach` bytes before the value, in it, or an eighth of that behind it, for shapes
              that are common in ordinary text
    `veto`    must not end right before the value
    `edge`    what must not touch the value: `word` a letter or digit, `digits` a token with digits
              (letters alone may touch), `open` nothing in particular
    `grouped` the value has gaps inside, so a match may begin in a number before it
    `most_checked`  how many distinct look-alikes are cleared one by one; beyond that the rule counts as
              found, so that no client can buy checking time
    """

    name: str
    pattern: Pattern
    accepts: Callable[[str], bool] = bool
    cue: Pattern | None = None
    reach: int = 64
    veto: Pattern | None = None
    edge: Edge = "open"
    grouped: bool = False
    most_checked: int = 500

    def fires(self, data: bytes) -> bool:
        """Whether the rule is true of `data`, a text in UTF-8."""
        checked: set[bytes] = set()
        stands = _EDGES[self.edge]
        for left, right in self._fields(data):
            field = data[left:right]
            for start, end in self._spans(field):
                value = field[start:end]
                if value in checked or not (
                    stands(field, start, end) and self._is_cued(data, left + start, left + end)
                ):
                    continue
                if len(checked) == self.most_checked or self.accepts(value.decode("utf-8", "replace")):
                    return True
                checked.add(value)
        return False

    def _spans(self, field: bytes) -> Iterator[tuple[int, int]]:
        if not self.grouped:
            return self.pattern.spans(field)
        return (
            (start, _last_whole(field, start, end))
            for start, end in self.pattern.overlapping(field, whole=self.edge == "digits")
        )

    def _fields(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where values can be: everywhere, or near the cues; fields that touch are one."""
        if self.cue is None:
            yield 0, len(data)
            return
        left, right = 0, -1
        for start, end in self.cue.spans(data):
            opens = _outside(data, start - self.reach // 8 - _LONGEST, -1)
            if right >= 0 and opens > right:
                yield left, right
                right = -1
            left = opens if right < 0 else left
            right = _outside(data, end + self.reach + _LONGEST, 1)
        if right >= 0:
            yield left, right

    def _is_cued(self, data: bytes, start: int, end: int) -> bool:
        """Whether the surroundings allow a value here."""
        before = data[max(0, start - _VETO_REACH) : start]
        if self.veto is not None and self.veto.found(before):
            return False
        return self.cue is None or self.cue.found(data[max(0, start - self.reach) : end + self.reach // 8])


class RuleSet:
    """Rules of one detector behind one gate."""

    __slots__ = ("_gate", "_hint", "rules")

    def __init__(
        self, rules: Iterable[Rule], hint: Pattern | None = None, *, gate_mem: int = MAX_MEM
    ) -> None:
        """`hint` occurs in every text in which a rule can fire; it takes the place of a gate for patterns
        that count, whose joint automaton would grow with every digit of a long row. `gate_mem`: the gate's `max_mem`.
        """
        self.rules = tuple(rules)
        self._hint = hint
        self._gate = Gate([] if hint else [rule.pattern.source for rule in self.rules], gate_mem)

    def suspects(self, data: bytes) -> bool:
        """Whether any rule could fire. One linear pass, no false negatives."""
        return self._hint.found(data) if self._hint else bool(self._gate.open(data))

    def _possible(self, data: bytes) -> Sequence[int]:
        if self._hint is None:
            return self._gate.open(data)
        return range(len(self.rules)) if self._hint.found(data) else ()

    def find(self, data: bytes) -> list[str]:
        """The names of the rules that fire, each once, in table order."""
        found: list[str] = []
        for rule in map(self.rules.__getitem__, self._possible(data)):
            if rule.name not in found and rule.fires(data):
                found.append(rule.name)
        return found


def prefixes(value: str) -> Iterator[str]:
    """`value` and every shorter front of it that ends where a group of letters or digits ends."""
    ends = [
        index for index in range(1, len(value)) if value[index - 1].isalnum() and not value[index].isalnum()
    ]
    yield value
    yield from (value[:end] for end in reversed(ends))


def _outside(data: bytes, at: int, step: int) -> int:
    """`at`, moved by at most a token so that it cuts none."""
    at = min(max(at, 0), len(data))
    for _ in range(_TOKEN):
        if not 0 < at < len(data) or not data[at - 1 : at + 1].isalnum():
            break
        at += step
    return at


def _last_whole(data: bytes, start: int, end: int) -> int:
    """`end`, or the end of the group before it when the match stopped in the middle of a number."""
    if data[end : end + 1].isdigit():
        while end > start and data[end - 1 : end].isdigit():
            end -= 1
        while end > start and not data[end - 1 : end].isalnum():
            end -= 1
    return end


def _isolated(data: bytes, start: int, end: int) -> bool:
    """A value glued to letters stands alone; one inside a longer digit or hex token does not."""
    if _is_word(data, start, end):
        return True
    left, right = data[max(0, start - _TOKEN) : start], data[end : end + _TOKEN]
    touching = left[len(left.rstrip(_ALNUM)) :] + right[: len(right) - len(right.lstrip(_ALNUM))]
    return touching.isalpha()


def _is_word(data: bytes, start: int, end: int) -> bool:
    return not (data[end : end + 1].isalnum() or (start and data[start - 1 : start].isalnum()))


_EDGES: Mapping[Edge, Callable[[bytes, int, int], bool]] = {
    "open": lambda data, start, end: True,
    "word": _is_word,
    "digits": _isolated,
}
