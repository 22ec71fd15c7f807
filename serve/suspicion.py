"""How much of a growing text is certainly prose: where a tool call could begin, the rest must wait.

Follows the places where `spoken.calls_in_text` looks: tags, fences, JSON, a call at the start.
Does not judge calls.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from serve import repair, spoken
from serve.wire.openai_chat import FunctionSpec

_OPENER = re.compile(r"```|`{1,2}\Z|[<{\[]")
_VISIBLE = re.compile(r"\S")
_BRACKETS = re.compile(r'[{}\[\]"\\]')
_LEAD = re.compile(r"\s*(?:```\w{0,16}\s{0,20})?\[?\s{0,20}['\"]?")
MOST_LABEL = 40  # characters of a line that may name a fence's language
MOST_NAME = 130
_TAGS = tuple(f"<{tag}>" for tag in repair.TAGS)


@dataclass(slots=True)
class _Value:
    """A JSON value that is still being written: where it starts and how far it was read."""

    start: int
    at: int
    depth: int = 0
    quoted: bool = False

    def read(self, text: str) -> int | None:
        """The index after the value's last bracket, None while it is open."""
        while (found := _BRACKETS.search(text, self.at)) is not None:
            self.at = found.end()
            mark = found[0]
            if mark == "\\":
                self.at += self.quoted  # what is escaped is no mark
            elif mark == '"':
                self.quoted = not self.quoted
            elif not self.quoted:
                self.depth += 1 if mark in "{[" else -1
                if self.depth <= 0:
                    return self.at
        self.at = max(self.at, len(text))
        return None


class Suspicion:
    """Reads one text as it grows. `certain` says how much of what was kept can go."""

    def __init__(self, specs: Mapping[str, FunctionSpec]) -> None:
        self._specs = specs
        self._value: _Value | None = None
        self._found = False
        self._begun = False

    def certain(self, text: str, *, begun: bool) -> int:
        """How many characters of `text`, from its start, are no part of a call whatever comes next.

        The caller takes that many away before it asks again with more text. `begun`: prose came before
        it, so a brace is taken for JSON only where a quote follows: code is full of braces.
        """
        self._begun = begun
        if len(text) > repair.MOST_CHARS:
            self._value, self._found = None, False
            return len(text)  # longer than any call that would be recognised
        if not begun and self._opens_call(text):
            return 0
        at = 0
        while not self._found and (opener := _OPENER.search(text, at)) is not None:
            resolved = self._resolved(text, opener.start())
            if resolved is None:
                return self._keep(opener.start())
            at = resolved
        return 0 if self._found else len(text)

    def _opens_call(self, text: str) -> bool:
        """The text begins, or may begin, with the call of a tool in the syntax of a language."""
        lead = _LEAD.match(text)
        word = text[lead.end() : lead.end() + MOST_NAME] if lead else ""
        self._found = self._found or any(word.startswith(f"{name}(") for name in self._specs)
        return self._found or (word != "" and any(f"{name}(".startswith(word) for name in self._specs))

    def _keep(self, start: int) -> int:
        """Everything before `start` goes, so what is known of the rest moves to the front."""
        if self._value is not None:
            self._value.start -= start
            self._value.at -= start
        return start

    def _resolved(self, text: str, start: int) -> int | None:
        """Where to read on after an opener that begins no call; None while it may."""
        if text[start] == "<":
            return self._after_tag(text, start)
        if text[start] == "`":
            return self._after_fence(text, start)
        return self._after_value(text, start, start)

    def _after_tag(self, text: str, start: int) -> int | None:
        rest = text[start : start + max(map(len, _TAGS))]
        if any(rest.startswith(tag) or tag.startswith(rest) for tag in _TAGS):
            return None
        return start + 1

    def _after_fence(self, text: str, start: int) -> int | None:
        inside = start + 3
        newline = text.find("\n", inside, inside + MOST_LABEL)
        label = text[inside : newline if newline >= 0 else inside + MOST_LABEL]
        if len(label) < MOST_LABEL and (not label.strip() or label.strip().isalpha()):
            if newline < 0:
                return None
            inside = newline + 1
        first = _VISIBLE.search(text, inside)
        if first is None:
            return None
        return self._after_value(text, first.start(), start) if first[0] in "{[" else start + 3

    def _after_value(self, text: str, at: int, start: int) -> int | None:
        """As `_resolved`, for JSON that begins at `at`, perhaps in a fence that begins at `start`."""
        following = text[at + 1 : at + 200].lstrip()
        if not following:
            return None
        if not self._plausible(text[at], following[0]):
            return at + 1
        if self._value is None or self._value.start != at:
            self._value = _Value(at, at)
        end = self._value.read(text)
        if end is None:
            return None
        self._value = None
        # What stands before it is prose that the reader has had.
        self._found = bool(spoken.calls_in_text(text[at:end], self._specs))
        return None if self._found else end

    def _plausible(self, bracket: str, following: str) -> bool:
        if bracket == "[":
            return following == "{"
        return following in "\"'" or (not self._begun and following.isalpha())
