"""Linear-time patterns over client text: a typed face of google-re2.

Knows how to search. Does not know what is searched for.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import re2  # type: ignore[import-untyped]

# Each automaton keeps what it has built of itself until this is full, and there are some 300. With 4 MiB many are
# thrown away and built anew on ordinary text. With 16 MiB some that never fit are built anew for every text, where with
# 8 MiB RE2 soon takes a way without one.
MAX_MEM = 8 << 20
WIDE_MEM = 16 << 20
"""For those that are built anew with less."""
_REST_OF_TOKEN = re.compile(rb"[0-9A-Za-z]*")
_SHARD = 6
_ANYWHERE = re2._Anchor.UNANCHORED
_WHOLE = re2._Anchor.ANCHOR_BOTH
_NOWHERE = (-1, -1)


def _options(max_mem: int) -> re2.Options:
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

    __slots__ = ("_compiled", "_group", "_match", "source")

    def __init__(self, source: str, max_mem: int = MAX_MEM) -> None:
        self.source = source
        self._compiled = re2.compile(source, _options(max_mem))
        self._group = min(1, self._compiled.groups)
        # The search itself, without the generator and the match object that the module wraps around each hit:
        # a request makes hundreds of searches, and those cost more than the automaton.
        self._match = self._compiled._regexp.Match

    def found(self, text: str | bytes) -> bool:
        data = text.encode() if isinstance(text, str) else text
        found: bool = self._match(_ANYWHERE, data, 0, len(data))[0] != _NOWHERE
        return found

    def covers(self, text: str) -> bool:
        """Whether the pattern matches the whole of `text`."""
        data = text.encode()
        covers: bool = self._match(_WHOLE, data, 0, len(data))[0] != _NOWHERE
        return covers

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Byte offsets of the matches: no text is decoded, which is what makes this cheap."""
        return self._matches(data, 1)

    def overlapping(self, data: bytes, *, whole: bool) -> Iterator[tuple[int, int]]:
        """As `spans`, but each search goes on behind the first token of the match before it.

        A stray number in front of a value can then not swallow it. `whole`: a value never begins in the
        middle of a token, so the search goes on where the token ends, not where the match does.
        """
        token, group, size, start = _REST_OF_TOKEN.match, self._group, len(data), 0
        while start <= size and (match := self._match(_ANYWHERE, data, start, size))[0] != _NOWHERE:
            first, last = span = match[group]
            yield span
            behind = token(data, first + 1) if whole else token(data, first + 1, last)
            start = behind.end() if behind else first + 1

    def hits(self, text: str) -> Iterator[Hit]:
        data = text.encode()
        if len(data) == len(text):
            for start, end in self._matches(data, 1):
                yield Hit(text[start:end], start, end)
            return
        at, characters = 0, 0
        for start, end in self._matches(data, 4):
            characters += len(data[at:start].decode())
            value = data[start:end].decode()
            yield Hit(value, characters, characters + len(value))
            at = start

    def replace(self, text: str, change: Callable[[str], str]) -> str:
        """`text` with every match replaced by `change(match)`."""
        if not self.found(text):
            return text
        replaced: str = self._compiled.sub(lambda match: change(match.group(0)), text)
        return replaced

    def _matches(self, data: bytes, widest: int) -> Iterator[tuple[int, int]]:
        """The spans one after another. Behind an empty one a character of up to `widest` bytes is passed over."""
        match, group, size, at = self._match, self._group, len(data), 0
        while (spans := match(_ANYWHERE, data, at, size))[0] != _NOWHERE:
            yield spans[group]
            if at == size:
                return
            if at != (at := spans[0][1]):
                continue
            at += 1
            while widest > 1 and at < size and data[at] & 0xC0 == 0x80:
                at += 1


class Gate:
    """Few passes that say which of many patterns occur in a text.

    Patterns go in small sets: the automaton of one large set outgrows its memory on text full of
    digits. RE2 reports a set that ran out of memory as "nothing matched"; the empty pattern
    always matches, so a missing hit on it means the pass failed, and then every index counts.
    `max_mem`: bytes for each set, compiled and at work.
    """

    __slots__ = ("_sets",)

    def __init__(self, sources: Sequence[str], max_mem: int = MAX_MEM) -> None:
        shards = [sources[start : start + _SHARD] for start in range(0, len(sources), _SHARD)]
        self._sets = [
            (index * _SHARD, len(shard), _compiled(shard, max_mem)) for index, shard in enumerate(shards)
        ]

    def open(self, text: bytes) -> list[int]:
        """The indices of the patterns that occur, in order."""
        return [first + index for first, size, one in self._sets for index in _matched(one, size, text)]


def _compiled(sources: Sequence[str], max_mem: int) -> re2.Set:
    one = re2.Set.SearchSet(_options(max_mem))
    for source in (*sources, ""):
        one.Add(source)
    one.Compile()
    return one


def _matched(one: re2.Set, size: int, text: bytes) -> Sequence[int]:
    matched: list[int] = one.Match(text) or []
    return sorted(index for index in matched if index != size) if size in matched else range(size)
