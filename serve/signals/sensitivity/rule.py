"""A rule: a pattern, a check of the value, and perhaps a cue nearby.

Knows how to try rules on one text. Does not know what any rule means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from serve.signals.sensitivity.pattern import Gate, Pattern

_VETO_REACH = 32
_TOKEN = 40
_ALNUM = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

Edge = Literal["open", "word", "digits"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern` finds candidates, `accepts` judges them.

    `cue`     must occur up to `reach` bytes before the value, in it, or an eighth of that behind it, for shapes
              that are common in ordinary text
    `veto`    must not end right before the value
    `lead`    must end right before the value
    `edge`    what must not touch the value: `word` a letter or digit, `digits` a token with digits
              (letters alone may touch), `open` nothing in particular
    `grouped` the value has gaps inside, so a match may begin in a number before it
    `most_checked`  where a check is dear, how many distinct look-alikes are cleared one by one;
              beyond that the rule counts as found, so that no client can buy checking time
    """

    name: str
    pattern: Pattern
    accepts: Callable[[str], bool] = bool
    cue: Pattern | None = None
    reach: int = 64
    veto: Pattern | None = None
    lead: Pattern | None = None
    edge: Edge = "open"
    grouped: bool = False
    most_checked: int | None = None

    def fires(self, data: bytes) -> bool:
        """Whether the rule is true of `data`, a text in UTF-8."""
        if self.cue is not None and not self.cue.found(data):
            return False
        checked: set[bytes] = set()
        for start, end in self._candidates(data):
            value = data[start:end]
            if value in checked or not self._stands(data, start, end):
                continue
            if len(checked) == self.most_checked or self.accepts(value.decode("utf-8", "replace")):
                return True
            checked.add(value)
        return False

    def _candidates(self, data: bytes) -> Iterable[tuple[int, int]]:
        if not self.grouped:
            return self.pattern.spans(data)
        return ((start, _last_whole(data, start, end)) for start, end in self.pattern.overlapping(data))

    def _stands(self, data: bytes, start: int, end: int) -> bool:
        if not _EDGES[self.edge](data, start, end):
            return False
        before = data[max(0, start - _VETO_REACH) : start]
        if (self.veto is not None and self.veto.found(before)) or (
            self.lead is not None and not self.lead.found(before)
        ):
            return False
        return self.cue is None or self.cue.found(data[max(0, start - self.reach) : end + self.reach // 8])


class RuleSet:
    """Rules of one detector behind one gate."""

    __slots__ = ("_gate", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._gate = Gate([rule.pattern.source for rule in self.rules])

    def suspects(self, data: bytes) -> bool:
        """Whether any rule could fire. One linear pass, no false negatives."""
        return bool(self._gate.open(data))

    def find(self, data: bytes) -> list[str]:
        """The names of the rules that fire, each once, in table order."""
        found: list[str] = []
        for rule in map(self.rules.__getitem__, self._gate.open(data)):
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
    if not (data[max(0, start - 1) : start].isalnum() or data[end : end + 1].isalnum()):
        return True
    left = _run(reversed(data[max(0, start - _TOKEN) : start]))
    right = _run(data[end : end + _TOKEN])
    return not any(0x30 <= byte <= 0x39 for byte in left + right)


def _run(data: Iterable[int]) -> list[int]:
    """The ASCII letters and digits at the front of `data`."""
    return list(takewhile(_ALNUM.__contains__, data))


def _is_word(data: bytes, start: int, end: int) -> bool:
    return not (data[max(0, start - 1) : start].isalnum() or data[end : end + 1].isalnum())


_EDGES: Mapping[Edge, Callable[[bytes, int, int], bool]] = {
    "open": lambda data, start, end: True,
    "word": _is_word,
    "digits": _isolated,
}
