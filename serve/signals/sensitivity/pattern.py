"""Linear-time patterns over client text: a typed face of google-re2.

Knows how to search. Does not know what is searched for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import re2  # type: ignore[import-untyped]

_MAX_MEM = 16 << 20


def _options() -> re2.Options:
    options = re2.Options()
    options.max_mem = _MAX_MEM
    options.log_errors = False
    return options


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a pattern matched: the first group if there is one, else all of it."""

    value: str
    start: int
    end: int


class Pattern:
    """One compiled pattern. RE2 has no backtracking, so every search is linear.

    A group costs a second, slower pass per hit: patterns that hit often have none.
    """

    __slots__ = ("_compiled", "_group", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._compiled = re2.compile(source, _options())
        self._group = min(1, self._compiled.groups)

    def found(self, text: str | bytes) -> bool:
        return self._compiled.search(text) is not None

    def covers(self, text: str) -> bool:
        """Whether the pattern matches the whole of `text`."""
        return self._compiled.fullmatch(text) is not None

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Byte offsets of the matches: no text is decoded, which is what makes this cheap."""
        return (match.span(self._group) for match in self._compiled.finditer(data))

    def overlapping(self, data: bytes) -> Iterator[tuple[int, int]]:
        """As `spans`, but each search goes on behind the first token of the match before it.

        A stray number in front of a value can then not swallow it.
        """
        start = 0
        while (match := self._compiled.search(data, start)) is not None:
            yield match.span(self._group)
            start, end = match.start() + 1, match.end()
            while start < end and data[start : start + 1].isalnum():
                start += 1

    def hits(self, text: str) -> Iterator[Hit]:
        for match in self._compiled.finditer(text):
            start, end = match.span(self._group)
            yield Hit(match.group(self._group), start, end)

    def replace(self, text: str, change: Callable[[str], str]) -> str:
        """`text` with every match replaced by `change(match)`."""
        replaced: str = self._compiled.sub(lambda match: change(match.group(0)), text)
        return replaced


class Gate:
    """One pass that says which of many patterns occur in a text.

    RE2 reports a set that ran out of memory as "nothing matched". The empty pattern always
    matches, so a missing hit on it means the pass failed, and then every index is returned.
    """

    __slots__ = ("_set", "_size")

    def __init__(self, sources: Sequence[str]) -> None:
        self._size = len(sources)
        self._set = re2.Set.SearchSet(_options())
        for source in (*sources, ""):
            self._set.Add(source)
        self._set.Compile()

    def open(self, text: str | bytes) -> Sequence[int]:
        matched: list[int] = self._set.Match(text) or []
        if self._size not in matched:
            return range(self._size)
        return [index for index in matched if index != self._size]
