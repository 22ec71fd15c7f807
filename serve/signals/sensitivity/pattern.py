"""Linear-time patterns over client text: a typed face of google-re2.

Knows how to search. Does not know what is searched for.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import re2  # type: ignore[import-untyped]

_MAX_MEM = 16 << 20
_REST_OF_TOKEN = re.compile(rb"[0-9A-Za-z]*")
_SHARD = 6


def _options(max_mem: int = _MAX_MEM) -> re2.Options:
    options = re2.Options()
    options.max_mem = max_mem
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

    A group costs a second, slower pass per hit: patterns that hit often have none. `max_mem`: bytes that the
    compiled pattern may take; one that takes more is refused with re2's own error.
    """

    __slots__ = ("_compiled", "_group", "source")

    def __init__(self, source: str, max_mem: int = _MAX_MEM) -> None:
        self.source = source
        self._compiled = re2.compile(source, _options(max_mem))
        self._group = min(1, self._compiled.groups)

    def found(self, text: str | bytes) -> bool:
        return self._compiled.search(text) is not None

    def covers(self, text: str) -> bool:
        """Whether the pattern matches the whole of `text`."""
        return self._compiled.fullmatch(text) is not None

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Byte offsets of the matches: no text is decoded, which is what makes this cheap."""
        return (match.span(self._group) for match in self._compiled.finditer(data))

    def overlapping(self, data: bytes, *, whole: bool) -> Iterator[tuple[int, int]]:
        """As `spans`, but each search goes on behind the first token of the match before it.

        A stray number in front of a value can then not swallow it. `whole`: a value never begins in the
        middle of a token, so the search goes on where the token ends, not where the match does.
        """
        search, token, group, start = self._compiled.search, _REST_OF_TOKEN.match, self._group, 0
        while (match := search(data, start)) is not None:
            first, last = span = match.span(group)
            yield span
            behind = token(data, first + 1) if whole else token(data, first + 1, last)
            start = behind.end() if behind else first + 1

    def hits(self, text: str) -> Iterator[Hit]:
        for match in self._compiled.finditer(text):
            start, end = match.span(self._group)
            yield Hit(match.group(self._group), start, end)

    def replace(self, text: str, change: Callable[[str], str]) -> str:
        """`text` with every match replaced by `change(match)`."""
        replaced: str = self._compiled.sub(lambda match: change(match.group(0)), text)
        return replaced


class Gate:
    """Few passes that say which of many patterns occur in a text.

    Patterns go in small sets: the automaton of one large set outgrows its memory on text full of
    digits. RE2 reports a set that ran out of memory as "nothing matched"; the empty pattern
    always matches, so a missing hit on it means the pass failed, and then every index counts.
    """

    __slots__ = ("_sets",)

    def __init__(self, sources: Sequence[str]) -> None:
        shards = [sources[start : start + _SHARD] for start in range(0, len(sources), _SHARD)]
        self._sets = [(index * _SHARD, len(shard), _compiled(shard)) for index, shard in enumerate(shards)]

    def open(self, text: bytes) -> list[int]:
        """The indices of the patterns that occur, in order."""
        return [first + index for first, size, one in self._sets for index in _matched(one, size, text)]


def _compiled(sources: Sequence[str]) -> re2.Set:
    one = re2.Set.SearchSet(_options())
    for source in (*sources, ""):
        one.Add(source)
    one.Compile()
    return one


def _matched(one: re2.Set, size: int, text: bytes) -> Sequence[int]:
    matched: list[int] = one.Match(text) or []
    return sorted(index for index in matched if index != size) if size in matched else range(size)
