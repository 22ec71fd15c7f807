"""JSON inside a text, as its reader will see it: tool arguments, tool results, documents that are quoted.

Knows string literals. Does not know requests, and does not judge text.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

# JSON within JSON marks its quotes anew at each layer: nothing honest is this deep.
_DEPTH = 8
# What looks like JSON and is none may cost so many passes over the text, and over one of `_SMALL` characters.
_MOST_PASSES = 16
_SMALL = 4096
# How much of a document is read at first: most of what is no JSON shows it by then.
_FIRST_PIECE = 64
# Where a text is cut off, the decoder complains at most so far before its end.
_LONGEST_WORD = 12
# Every text costs many searches, and a document can hold thousands of short strings: those are read in one.
_LONG = 500
# No pattern reads across two blank lines.
_APART = "\n\n\n\n"

# Possessive, and the end of the text ends a literal: one that never ends is read once.
_LITERAL = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)', re.DOTALL)
_ESCAPE = re.compile(r'\\(u[0-9A-Fa-f]{4}|[bfnrt"/\\])')
_PLAIN = {"b": " ", "f": "\n", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"\s*")
_CUT_OFF = re.compile(r'\s*[{\[][\s{}\[\],]*"')
_WITHIN = re.compile(r'[{\[]\s*"')

# Numbers stay as they are written: one of thousands of digits is refused by `int`.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)


@dataclass(frozen=True, slots=True)
class Unquoted:
    """One reading of a text.

    whole    all of it, strings resolved where they stand: a value keeps the key before it
    strings  the strings of more than one word apart from what is around them, each on lines of its own
    settled  False where JSON was nested so deep that some is left
    """

    whole: str
    strings: tuple[str, ...] = ()
    settled: bool = True


def unquote(text: str) -> tuple[Unquoted, ...]:
    """What `text` says. JSON has one reading, which stands for the text; other text is kept as it is, and what
    it holds of JSON comes behind it."""
    if _may_be_json(text) and _is_json(text):
        return (_read(text),)
    if "\\" not in text:
        return (Unquoted(text),)
    # Cut off, or deeper than the decoder goes.
    return Unquoted(text), *([_of_lines(text)] if _CUT_OFF.match(text) else _within(text))


def _may_be_json(text: str) -> bool:
    first = text.lstrip()[:1]
    return first in ("{", "[") or (first == '"' and "\\" in text)


def _is_json(text: str) -> bool:
    """Whether `text` is JSON, or several documents of it behind each other."""
    at = 0
    while (at := _blanks(text, at)) < len(text):
        if not (at := _end(text, at)):
            return False
    return True


def _blanks(text: str, start: int) -> int:
    found = _BLANKS.match(text, start)
    return found.end() if found else start


def _end(text: str, start: int) -> int:
    """Where the document that begins at `start` ends, 0 where none does."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return 0


def _within(text: str) -> Iterator[Unquoted]:
    """The documents that stand in prose or code."""
    at, left, cut_off = 0, _MOST_PASSES * (len(text) + _SMALL), len(text)
    while left > 0 and (found := _WITHIN.search(text, at)):
        start = found.start()
        end, cost, open_ended = _document(text, start)
        left -= 0 if end else cost
        at = end or found.end()
        cut_off = min(cut_off, start) if open_ended else cut_off
        if "\\" in text[start:end]:
            yield _of_lines(text[start:end])
    if "\\" in text[cut_off:]:
        yield _of_lines(text[cut_off:])
    if left <= 0 and "\\" in text[at:]:
        yield Unquoted(text, settled=False)


def _document(text: str, start: int) -> tuple[int, int, bool]:
    """Where the document that begins at `start` ends, 0 where none does, how many characters show it, and whether
    it would be one if the text went on.

    Piece by piece: the decoder counts the lines before its place in what it is given when it complains.
    """
    size = _FIRST_PIECE
    while True:
        piece = text[start : start + size]
        try:
            return start + _DECODER.raw_decode(piece)[1], len(piece), False
        except RecursionError:
            return 0, len(piece), False
        except json.JSONDecodeError as error:
            open_ended = error.pos > len(piece) - _LONGEST_WORD or error.msg.startswith("Unterminated")
            if start + size >= len(text) or not open_ended:
                return 0, len(piece), open_ended
        size *= 4


def _of_lines(text: str) -> Unquoted:
    """`text` read as JSON where that is not sure: short strings stay in their place, for code is full of them."""
    return _read(text, lambda string: "\n" in string.strip())


def _of_words(string: str) -> bool:
    return len(string.split(None, 1)) > 1 or string != string.strip()


def _read(text: str, apart: Callable[[str], bool] = _of_words) -> Unquoted:
    strings: dict[str, None] = {}
    settled = True

    def rendered(part: str, depth: int) -> str:
        nonlocal settled
        settled = settled and depth <= _DEPTH
        return _LITERAL.sub(lambda found: resolved(found, depth), part) if settled else part

    def resolved(found: re.Match[str], depth: int) -> str:
        literal = found[1]
        value = _value(literal) if "\\" in literal else literal
        cut_off = not found.string.startswith('"', found.end(1))
        if _may_be_json(value) and (_is_json(value) or (cut_off and _CUT_OFF.match(value))):
            return f'"{rendered(value, depth + 1)}"'
        if apart(value):
            strings[value] = None
        # A quote stays marked: it ends no value. Blanks at the ends would part a value from its key.
        return '"' + value.strip().replace('"', '\\"') + '"'

    whole = rendered(text, 0)
    return Unquoted(whole, tuple(_gathered(strings)), settled)


def _gathered(strings: Iterable[str]) -> Iterator[str]:
    short = []
    for string in strings:
        if len(string) < _LONG:
            short.append(string)
        else:
            yield string
    if short:
        yield _APART.join(short)


def _value(literal: str) -> str:
    """What a literal stands for, also one that is cut off or badly written."""
    try:
        value: str = json.loads(f'"{literal}"', strict=False)
    except ValueError:
        value = _ESCAPE.sub(lambda found: _character(found[1]), literal)
    if not _SURROGATE.search(value):
        return value
    # Halves that were escaped one by one belong together; a lone one is nothing.
    return _SURROGATE.sub(" ", value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))


def _character(escape: str) -> str:
    return chr(int(escape[1:], 16)) if len(escape) > 1 else _PLAIN.get(escape, escape)
