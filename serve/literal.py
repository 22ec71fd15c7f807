"""One value, or the arguments of one call, as a model writes them: JSON, Python literals, and what lies between.

A tolerant reader in one pass: unclosed brackets are closed, bare words are text. It reads; it evaluates nothing.
"""

import json
import re
from itertools import islice

from pydantic import JsonValue

MOST_DEPTH = 40
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,4})?(?=[\s,)\]}]|\Z)")
_NAMED = re.compile(r"""(["']?)([A-Za-z_$][\w$-]{0,127})\1\s{0,20}(?:=(?!=)|:(?!:))""")
_MARK = re.compile(r"""[,()\[\]{}"'\n]""")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
# A line of code that gives a name to something: `x = `, `const x = `, `String x = `.
_ASSIGNED = re.compile(
    r"^[ \t]{0,16}(?:[A-Za-z_<>\[\], ]{1,40} )??([A-Za-z_]\w{0,63})[ \t]{0,4}=[ \t]{0,4}(?!=)", re.MULTILINE
)
_END_OF_LINE = re.compile(r"[ \t]{0,8};?[ \t]{0,8}(?:#|//|\n|\Z)")
MOST_ASSIGNED = 2_000
MOST_NAMES = 64
_NESTED = re.compile(r"[A-Za-z_][\w.]{0,127}\(")
_WORDS: dict[str, JsonValue] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None, "undefined": None,
}  # fmt: skip
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_CLOSERS = {"{": "}", "[": "]", "(": ")"}


class Unreadable(ValueError):
    """There is no value here."""


class Bare(str):
    """Text that stood there without quotes: a name, or code."""

    __slots__ = ()


class Reader:
    """Reads `text` from `at` on; `at` is where it stopped, also after Unreadable."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.text, self.at = text, at

    def value(self, depth: int = 0) -> JsonValue:
        """The value that begins here. Raises Unreadable."""
        if depth > MOST_DEPTH:
            raise Unreadable
        mark = self._next()
        if mark == "{":
            return self._object(depth)
        if mark in ("[", "("):
            return self._array(depth, _CLOSERS[mark])
        if mark in ("'", '"'):
            return self._string(mark)
        if (number := _NUMBER.match(self.text, self.at)) is not None:
            self.at = number.end()
            return _number(number[0])
        return self._bare()

    def arguments(self) -> tuple[list[JsonValue], dict[str, JsonValue]]:
        """What stands between the parentheses of a call, the first of which has been read. Raises Unreadable."""
        unnamed: list[JsonValue] = []
        named: dict[str, JsonValue] = {}
        last: str | None = None
        while (mark := self._next()) not in (")", ""):
            if mark == ",":
                self.at += 1
                continue
            if (key := _NAMED.match(self.text, self.at)) is not None:
                self.at, last = key.end(), key[2]
                named[last] = self.value(1)
                continue
            self.at += 2 * self.text.startswith("**", self.at)
            if (unnamed or named) and _NESTED.match(self.text, self.at):
                return unnamed, named  # the next call begins, so this one ended
            item = self.value(1)
            before = named.get(last) if last else None
            if last and isinstance(item, Bare) and isinstance(before, Bare):
                named[last] = Bare(f"{before}, {item}")  # `city=Boston, MA`: a comma inside unquoted text
            elif last:
                raise Unreadable
            else:
                unnamed.append(item)
        if not mark and not (unnamed or named):
            raise Unreadable
        self.at += len(mark)
        return unnamed, named

    def _next(self) -> str:
        """The next character that is no space; empty at the end."""
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.text[self.at : self.at + 1]

    def _object(self, depth: int) -> JsonValue:
        self.at += 1
        made: dict[str, JsonValue] = {}
        while (mark := self._next()) != "}":
            if mark in ("", "]", ")"):
                return made  # closed by what encloses it
            if mark == ",":
                self.at += 1
                continue
            key = self._key(mark)
            if self._next() not in (":", "="):
                raise Unreadable
            self.at += 1
            made[key] = self.value(depth + 1)
        self.at += 1
        return made

    def _key(self, mark: str) -> str:
        if mark in ("'", '"'):
            return self._string(mark)
        named = _NAMED.match(self.text, self.at)
        if named is None:
            raise Unreadable
        self.at = named.end() - 1
        return named[2]

    def _array(self, depth: int, closer: str) -> JsonValue:
        self.at += 1
        made: list[JsonValue] = []
        while (mark := self._next()) != closer:
            if mark in ("", "}", "]", ")"):
                return made
            if mark == ",":
                self.at += 1
                continue
            made.append(self.value(depth + 1))
        self.at += 1
        return made

    def _string(self, quote: str) -> str:
        quote = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        start = at = self.at + len(quote)
        while (end := self.text.find(quote, at)) >= 0:
            at = end + len(quote)
            if not self._escaped(start, end) and (len(quote) == 3 or self._may_follow(at)):
                self.at = at
                return _ESCAPE.sub(_unescaped, self.text[start:end])
        self.at = len(self.text)
        raise Unreadable

    def _escaped(self, start: int, end: int) -> bool:
        slashes = 0
        while end - slashes > start and self.text[end - slashes - 1] == "\\":
            slashes += 1
        return slashes % 2 == 1

    def _may_follow(self, at: int) -> bool:
        """A string ends where a value can end: the quote in `'Let's meet'` does not."""
        space = _SPACE.match(self.text, at)
        if space is None or "\n" in space[0]:
            return True
        return self.text[space.end() : space.end() + 1] in ("", *",:;=)]}")

    def _bare(self) -> JsonValue:
        start, at, open_ = self.at, self.at, 0
        while (found := _MARK.search(self.text, at)) is not None:
            mark, at = found[0], found.end()
            if mark in "([{":
                open_ += 1
            elif mark in ")]}" and open_:
                open_ -= 1
            elif mark in "\"'":
                closing = self.text.find(mark, at)
                at = closing + 1 if closing >= 0 else at
            elif not open_:
                at = found.start()
                break
        else:
            at = len(self.text)
        self.at = at
        text = self.text[start:at].strip()
        if not text or text[0] in ":=>`":
            raise Unreadable
        return _WORDS[text] if text in _WORDS else Bare(text)


def literal(text: str) -> JsonValue:
    """The list, object or tuple that `text` is from end to end. Raises Unreadable."""
    reader = Reader(text.strip())
    if not reader.text.startswith(("{", "[", "(")):
        raise Unreadable
    value = reader.value()
    if reader.at < len(reader.text):
        raise Unreadable
    return plain(value)


def plain(value: JsonValue) -> JsonValue:
    """The value as JSON has it, without what only this reader knows of it."""
    made: JsonValue = json.loads(json.dumps(value))
    return made


def assigned(text: str) -> dict[str, JsonValue]:
    """What a piece of code gives names to, once each, where it is a value and not an expression."""
    found: dict[str, JsonValue] = {}
    for place in islice(_ASSIGNED.finditer(text), MOST_NAMES):
        reader = Reader(text[place.end() : place.end() + MOST_ASSIGNED])
        try:
            value = reader.value()
        except Unreadable:
            continue
        if not isinstance(value, Bare) and _END_OF_LINE.match(reader.text, reader.at):
            found[place[1]] = value
    return found


def _number(text: str) -> JsonValue:
    if text.lstrip("+-").isdigit():
        return int(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Unreadable
    return value


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    if code in _LETTERS:
        return _LETTERS[code]
    return code if code in "\\\"'/`" else f"\\{code}"
