"""Folding: the same text without the disguises that fool a pattern.

Knows invisible characters, look-alike digits and dashes, character escapes and the blanks of forms. Does not
know encodings of whole values (that is `decode`) and does not judge text.
"""

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

from serve.signals.sensitivity.pattern import Pattern

_ROUNDS = 12
_FEW = 24
_TAGS = range(0xE0020, 0xE007F)
_SCANNED = (range(0x80, 0x3400), range(0xA000, 0xAC00), range(0xF900, 0x20000), range(0xE0000, 0xE01F0))
_KEPT_CONTROLS = "\t\n\r"
_DASHES = "\u2043\u02d7\u2212\u30fc\uff70\u2500\u2501\u00ac\u2027"
_DOTS = "\u3002\uff61\u2024\u00b7\u30fb\u2022"
_BLANKS = "\u115f\u1160\u3164\uffa0\u2800"
BACKWARDS, _FORWARDS_AGAIN = "\u202e", "\u202c"

# Zeros in front may be any number, and the standard decoder fails on a reference of thousands of digits.
_LONG = Pattern(r"&#[0-9]{8,}")
_LONG_REFERENCE = re.compile(r"&#([0-9]{8,}+)(;?)")
_MOST_DIGITS = 7
# Not RE2, which calls back five times as slowly, and a text can hold tens of thousands of these.
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][0-9A-Za-z]{1,31});")
# Names and values as browsers write them: what else there is in code and sums ends the run.
_FORM = Pattern(r"[A-Za-z0-9_.%~\-\[\]]+=[A-Za-z0-9*_.%~,@:/\-]*\+[A-Za-z0-9*_.%~,@:/+&=\-\[\]]*")
_FILLED = str.maketrans({"+": " ", "=": ": ", "&": "\n"})
_HEX = frozenset("0123456789abcdefABCDEF")
_ESCAPE_WIDTHS = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. `settled` is false where escapes were nested so deep that some are left."""

    text: str
    settled: bool


def fold(text: str) -> Folded:
    """`text` with escapes resolved, invisible characters gone and digits and dashes plain."""
    for _ in range(_ROUNDS):
        # Marks first: inside an escape they would break it.
        folded = _unescape(_plain(text))
        # Only when no escape is left: what is turned around would turn it around as well.
        folded = forwards(text) if folded == text else folded
        if folded == text:
            return Folded(text, True)
        text = folded
    return Folded(text, False)


def forwards(text: str) -> str:
    """`text` with what is shown from right to left by force in the order in which it is read."""
    if BACKWARDS not in text and _FORWARDS_AGAIN not in text:
        return text
    head, *pieces = text.split(BACKWARDS)
    return (head + "".join(map(_turned, pieces))).replace(_FORWARDS_AGAIN, "")


def filled(text: str) -> str:
    """The fields of forms in `text`, `name=one+two&name=...`, with their blanks, each on a line of its own."""
    if not 0 <= text.find("=") < text.rfind("+"):
        return ""
    return "\n\n".join(run.value.translate(_FILLED) for run in _FORM.hits(text))


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    # Marks go before NFKC, not after: CPython sorts runs of marks in quadratic time.
    text = _mapped(text)
    return text if unicodedata.is_normalized("NFKC", text) else _mapped(unicodedata.normalize("NFKC", text))


def _mapped(text: str) -> str:
    """`text` through the table. Few kinds of odd character, the usual case, go the fast way."""
    table = _table()
    odd = table.keys() & set(text)
    if len(odd) > _FEW:
        return text.translate({ord(char): table[char] for char in odd})
    for char in odd:
        text = text.replace(char, table[char])
    return text


def _turned(piece: str) -> str:
    end = min((at for at in (piece.find(_FORWARDS_AGAIN), piece.find("\n")) if at >= 0), default=len(piece))
    return piece[:end][::-1] + piece[end:]


def _unescape(text: str) -> str:
    """`text` with one layer of escapes resolved."""
    escaped = text
    if "\\" in text:
        head, *pieces = text.split("\\")
        text = head + "".join(map(_resolved, pieces))
    if "%" in text:
        text = unquote(text, errors="replace")
    if "&" not in text:
        return text
    if "&#" in text and _LONG.found(text):
        text = _LONG_REFERENCE.sub(_shortened, text)
    # A reference without its semicolon counts only when nothing else is left: its end may be escaped itself.
    text = _REFERENCE.sub(lambda found: html.unescape(found[0]), text)
    return html.unescape(text) if text == escaped else text


def _shortened(reference: re.Match[str]) -> str:
    """A reference without the zeros in front, and a blank for one that no character has."""
    digits = reference[1].lstrip("0") or "0"
    return f"&#{digits}{reference[2]}" if len(digits) <= _MOST_DIGITS else " "


def _resolved(piece: str) -> str:
    r"""`piece`, which stood behind a backslash, with a leading `x41`, `u0041` or `u{41}` resolved."""
    width = _ESCAPE_WIDTHS.get(piece[:1], 0)
    digits, rest = piece[1 : 1 + width], piece[1 + width :]
    whole = len(digits) == width > 0
    if piece[:2] == "u{" and "}" in piece[:9]:
        digits, rest = piece[2:].split("}", 1)
        whole = bool(digits)
    if not whole or not _HEX.issuperset(digits):
        return "\\" + piece
    code = int(digits, 16)
    return (chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else " ") + rest


@cache
def _table() -> dict[str, str]:
    """Every character that folds to something else."""
    controls = (chr(code) for code in (*range(0x20), 0x7F))
    table = {char: "" for char in controls if char not in _KEPT_CONTROLS}
    for char in (chr(code) for block in _SCANNED for code in block):
        if char not in (BACKWARDS, _FORWARDS_AGAIN) and (plain := _folded(char)) != char:
            table[char] = plain
    return table | {chr(code): chr(code - _TAGS.start + 0x20) for code in _TAGS}


def _folded(char: str) -> str:
    category = unicodedata.category(char)
    if char in _DOTS:
        return "."
    if category == "Pd" or char in _DASHES:
        return "-"
    if category in ("Zs", "Zl", "Zp"):
        return " " if category == "Zs" else "\n"
    if category in ("Cc", "Cf", "Mn", "Me") or unicodedata.combining(char) or char in _BLANKS:
        return ""
    digit = unicodedata.digit(char, None)
    return char if digit is None else str(digit)
