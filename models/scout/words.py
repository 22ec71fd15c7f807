"""Splits a text into words, several times as fast as a pattern where the text is ASCII.

Knows nothing about what words are for.
"""

import re
import string

LETTERS = string.ascii_letters
DIGITS = string.digits
LETTERS_AND_DIGITS = LETTERS + DIGITS


class Words:
    """The runs of what `pattern` matches; `kept` are the ASCII characters that it may match."""

    __slots__ = ("_pattern", "_table")

    def __init__(self, pattern: str, kept: str) -> None:
        self._pattern = re.compile(pattern)
        self._table = bytes(code if chr(code) in kept else 32 for code in range(256))

    def of(self, text: str) -> list[str]:
        """All words of `text`, in order."""
        if not text.isascii():
            return self._pattern.findall(text)
        return text.encode().translate(self._table).decode().split()

    def encoded(self, text: str) -> list[bytes]:
        """All words of `text` in UTF-8; half characters are kept as they are."""
        if not text.isascii():
            return [word.encode("utf-8", "surrogatepass") for word in self._pattern.findall(text)]
        return text.encode().translate(self._table).split()
