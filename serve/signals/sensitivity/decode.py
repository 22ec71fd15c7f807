"""Decoding: the text inside base64, base32, hex and gzip, and blobs that hide what they hold.

Knows encodings and entropy. Does not judge the text it uncovers.
"""

import base64
import binascii
import codecs
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import log2

from serve.signals.sensitivity.pattern import Hit, Pattern

_DEPTH = 3
_MOST_INFLATED = 1 << 20
_SHORTEST = 12
_SHORTEST_TEXT = 8
_PRINTABLE = 0.95

# Between two lines of one run: a break, in a quoted mail, or between strings of code that are put together.
_BREAK = r"""(?:["'][ \t]*[+.]?)?[ \t]*\\?(?:\r?\n|\\n)[ \t>]*["']?"""
_LETTER = r"[A-Za-z0-9+/_\-]"
_RUN = Pattern(rf"{_LETTER}{{12,}}(?:{_BREAK}{_LETTER}{{4,}})*(?:{_BREAK}{_LETTER}{{2,3}}=)?={{0,6}}")
_HEX = Pattern(
    r"[0-9A-Fa-f]{16,}|\b(?:[0-9A-Fa-f]{2}[ :,\-]){7,}[0-9A-Fa-f]{2}\b"
    r"|(?:0x[0-9A-Fa-f]{2}[ ,\t\r\n]+){7,}(?:0x[0-9A-Fa-f]{2}\b)?"
)
_BREAKS = Pattern(_BREAK)
_HEX_NOISE = str.maketrans("", "", " :,-\t\r\n")
_SEPARATORS = str.maketrans("-_/+", "    ")
_URL_SAFE = str.maketrans("-_", "+/")
_BASE32 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")

# A blob is opaque when it is announced as data, or when nothing but data is that long.
_ANNOUNCED = Pattern(
    r"(?i)(?:base64|b64|blob|encoded|encrypted|cipher(?:text)?|payload|hexdump|decode|bytes|data)"
    r"[\"'\]]{0,2}\s{0,2}(?:this|is)?[\s:=,(\"'`]{1,6}$"
)
_BLOB_ANNOUNCED = 64
_BLOB_BARE = 256
_BLOB_ENTROPY = 4.5
_HEX_BLOB_ENTROPY = 3.3
_HEX_BLOB_BARE = 384
# Behind what no other text has, NUL after NUL, less is enough: the public key of an elliptic curve has 140 letters.
_BINARY_BARE = 160
# What is left of zeroed placeholders without their NULs.
_LEAST_HELD = 12
# How files begin that are no text: pictures, archives, programs, documents, databases, keys in DER.
_MAGIC_WORDS = """
    89504e470d0a ffd8ffe000104a46 ffd8ffe1 474946383761 474946383961 52494646 4f67675300 4944330300 504b0304 1f8b08
    425a6839314159 fd377a585a00 377abcaf271c 526172211a07 28b52ffd 7f454c46 cffaedfe cafebabe000000 0061736d01
    255044462d d0cf11e0a1b1 53514c69746520666f726d61742033 30770201010420 302e0201003005 30818702010030
    """
_MAGIC = tuple(map(bytes.fromhex, _MAGIC_WORDS.split()))


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was found inside a text: readable texts, and whether anything stayed opaque."""

    texts: tuple[str, ...]
    opaque: bool


class _Budget:
    """How many more bytes one text may inflate to."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MOST_INFLATED


def decode(text: str) -> Decoded:
    """Every text encoded inside `text`, nested encodings included."""
    texts: list[str] = []
    budget = _Budget()
    opaque = _descend(text, _DEPTH, texts, budget)
    return Decoded(tuple(dict.fromkeys(texts)), opaque)


def _descend(text: str, depth: int, texts: list[str], budget: _Budget) -> bool:
    opaque = False
    for hit, readings in _candidates(text):
        inner = [found for raw in readings if (found := _text(raw, budget)) is not None]
        texts.extend(inner)
        if budget.left < 0 or (inner and depth == 0):
            return True
        nested = [_descend(found, depth - 1, texts, budget) for found in inner]
        read = sum(map(len, inner)) >= len(hit.value) // 4
        opaque = opaque or any(nested) or (not read and _is_blob(text, hit))
    return opaque


def _candidates(text: str) -> Iterator[tuple[Hit, Iterator[bytes]]]:
    for hit in _once(_RUN.hits(text)):
        if not _HEX.covers(hit.value):
            yield hit, _from_letters(hit.value)
    for hit in _once(_HEX.hits(text)):
        yield hit, _from_hex(hit.value)


def _once(hits: Iterable[Hit]) -> Iterator[Hit]:
    """Short runs once each; a long one every time, for its place decides whether it is a blob."""
    known: set[str] = set()
    for hit in hits:
        if hit.value not in known or len(hit.value) >= _BLOB_ANNOUNCED:
            known.add(hit.value)
            yield hit


def _from_letters(run: str) -> Iterator[bytes]:
    """The bytes that `run`, or a part of it between separators, may stand for."""
    if run == run.lower():  # words and snake_case; no encoding of letters does without capitals
        return
    lines = _BREAKS.replace(run, lambda _: "\n").split() if "\n" in run or "\\" in run else [run]
    parts = "\n".join(lines).translate(_SEPARATORS).split()
    for candidate in dict.fromkeys(("".join(lines), *_body(lines), *lines, *parts)):
        bare = candidate.rstrip("=")
        if len(bare) < _SHORTEST:
            continue
        yield from _base64(bare)
        if _BASE32.issuperset(bare.upper()):
            yield from _base32(bare.upper())


def _body(lines: Sequence[str]) -> Iterator[str]:
    """The lines of one width and the shorter one behind them: without the words before and after an attachment."""
    if len(lines) < 3:  # each is read alone
        return
    widths = Counter(map(len, lines))
    width = max(widths, key=lambda one: (widths[one], one))
    first = next(at for at, line in enumerate(lines) if len(line) == width)
    behind = next((at for at in range(first, len(lines)) if len(lines[at]) != width), len(lines))
    yield "".join(lines[first:behind])
    if behind < len(lines) and len(lines[behind]) < width:
        yield "".join(lines[first : behind + 1])


def _from_hex(run: str) -> Iterator[bytes]:
    """The bytes of `run`, also without the words such as "be" that may touch it at either end."""
    digits = run.replace("0x", "").translate(_HEX_NOISE)
    raw = bytes.fromhex(digits[: len(digits) & ~1])
    yield from (raw[start : len(raw) - end] for start in range(3) for end in range(2))


def _base64(bare: str) -> Iterator[bytes]:
    bare = bare.translate(_URL_SAFE)
    with suppress(binascii.Error, ValueError):
        yield binascii.a2b_base64(bare[: len(bare) - (len(bare) % 4 == 1)] + "==")


def _base32(bare: str) -> Iterator[bytes]:
    with suppress(binascii.Error, ValueError):
        yield base64.b32decode(bare + "=" * (-len(bare) % 8))


def _text(raw: bytes, budget: _Budget) -> str | None:
    if raw[:2] == b"\x1f\x8b" or (raw[:1] == b"\x78" and raw[1:2] in b"\x01\x5e\x9c\xda"):
        raw = _inflate(raw, budget)
    wide = _wide(raw)
    try:
        # Not `raw.decode()`: what is cut off may end inside of a character.
        text = raw.decode(wide, "replace") if wide else codecs.utf_8_decode(raw)[0]
    except UnicodeDecodeError:
        return None
    return text if _readable(text) else None


def _wide(raw: bytes) -> str:
    """The encoding of text with two bytes to a character, which says so or is mostly Latin; "" for other bytes."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for half, encoding in ((raw[1:64:2], "utf-16-le"), (raw[:64:2], "utf-16-be")):
        if len(raw) > 8 and half.count(0) * 4 >= len(half) * 3:
            return encoding
    return ""


def _inflate(raw: bytes, budget: _Budget) -> bytes:
    limit = max(1, budget.left)
    inflater = zlib.decompressobj(wbits=47)
    try:
        plain = inflater.decompress(raw, limit)
    except zlib.error:
        return raw
    budget.left -= len(plain) + (1 if inflater.unconsumed_tail else 0)
    return plain


def _readable(text: str) -> bool:
    if len(text) < _SHORTEST_TEXT:
        return False
    plain = sum(char.isprintable() or char in "\t\n\r" for char in text[:512])
    return plain >= _PRINTABLE * min(len(text), 512)


def _is_blob(text: str, hit: Hit) -> bool:
    """Whether an unreadable run stands where data stands and looks like data."""
    if len(hit.value) < _BLOB_ANNOUNCED:
        return False
    hexadecimal = _HEX.covers(hit.value)
    binary = _is_binary(hit.value, hexadecimal)
    if not binary and _entropy(hit.value) < (_HEX_BLOB_ENTROPY if hexadecimal else _BLOB_ENTROPY):
        return False
    alone = len(hit.value) >= len(text.strip()) - 2
    announced = _ANNOUNCED.found(text[max(0, hit.start - 32) : hit.start])
    if alone or announced or _is_file(hit.value, hexadecimal):
        return True
    bare = _HEX_BLOB_BARE if hexadecimal else _BINARY_BARE if binary else _BLOB_BARE
    return len(hit.value) >= bare and not _is_table(hit.value)


def _is_binary(run: str, hexadecimal: bool) -> bool:
    """Whether `run` is a file that is no text: nothing else has so much NUL, which keeps the entropy low."""
    if hexadecimal and len(run) < _HEX_BLOB_BARE:  # numbers of many digits have as much
        return False
    raw = next(_from_hex(run) if hexadecimal else _from_letters(run), b"")
    none = raw.count(0)
    return (b"\0\0" in raw or none * 4 >= len(raw)) and len(raw) - none >= _LEAST_HELD


def _is_file(run: str, hexadecimal: bool) -> bool:
    """Whether `run` begins as a file does, which no hash and no key does by chance."""
    return any(raw.startswith(_MAGIC) for raw in (_from_hex(run) if hexadecimal else _from_letters(run)))


def _is_table(run: str) -> bool:
    """Bytes in short lines are what source code is full of: tables of ciphers, of characters, of pictures."""
    lines = run.split("\n") if run.startswith("0x") else ()
    return len(lines) > 1 and max(map(len, lines)) < _HEX_BLOB_BARE


def _entropy(run: str) -> float:
    """Bits per character. Words and paths have no digits: they count as no entropy."""
    if not any(char.isdigit() for char in run):
        return 0.0
    counts = Counter(run)
    return -sum(n / len(run) * log2(n / len(run)) for n in counts.values())
