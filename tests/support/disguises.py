"""Ways to write a value so that people still read it and naive patterns do not: disguises and encodings.

Knows strings. Does not know what a value is nor where in a request it stands.
"""

import base64
import gzip
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

Disguise = Callable[[Random, str], str]
Encoding = Callable[[str], str]

DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"
GAPS = "\u00a0\u2002\u2003\u2009\u200a\u202f\u205f\u3000"


def between(marks: str, random: Random, text: str) -> str:
    """Marks that do not show after some characters, and after the first in any case."""
    chosen = [char + random.choice(marks) if random.random() < 0.5 else char for char in text[1:]]
    return text[:1] + random.choice(marks) + "".join(chosen)


def shifted(first: str, last: str, target: int, random: Random, text: str) -> str:
    """Every character of a range as its twin in the range that starts at `target`."""
    return "".join(chr(target + ord(char) - ord(first)) if first <= char <= last else char for char in text)


def escaped(form: str, random: Random, text: str) -> str:
    """ASCII characters as escapes: all of them, or only some."""
    share = random.choice((0.4, 1.0))
    return "".join(form % ord(char) if char.isascii() and random.random() < share else char for char in text)


def _tags(random: Random, text: str) -> str:
    return "".join(chr(0xE0000 + ord(char)) if " " <= char <= "~" else char for char in text)


def _bold(random: Random, text: str) -> str:
    text = shifted("0", "9", 0x1D7CE, random, text)
    text = shifted("A", "Z", 0x1D400, random, text)
    return shifted("a", "z", 0x1D41A, random, text)


def _circled(random: Random, text: str) -> str:
    return shifted("1", "9", 0x2460, random, text).replace("0", "\u24ea")


def _swapped(target: str, replacements: str, random: Random, text: str) -> str:
    return "".join(random.choice(replacements) if char == target else char for char in text)


def _backwards(random: Random, text: str) -> str:
    return "\n".join(f"\u202e{line[::-1]}\u202c" for line in text.split("\n"))


def _isolates(random: Random, text: str) -> str:
    return f"\u2067\u2066{text}\u2069\u2069"


# For every kind of value.
DISGUISES: Mapping[str, Disguise] = {
    "zero-width": partial(between, "\u200b\u200c\u200d\u2060\ufeff"),
    "invisible-operators": partial(between, "\u2061\u2062\u2063\u2064\u180e"),
    "soft-hyphen": partial(between, "\u00ad"),
    "direction-marks": partial(between, "\u200e\u200f\u061c"),
    "variation-selectors": partial(between, "\ufe00\ufe0f\ufe01"),
    "combining": partial(between, "\u0301\u0332\u034f\u0336"),
    "tags": _tags,
    "full-width": partial(shifted, "!", "~", 0xFF01),
    "math": _bold,
    "isolates": _isolates,
    "right-to-left": _backwards,
    "wide-gaps": partial(_swapped, " ", GAPS),
    "html-decimal": partial(escaped, "&#%d;"),
    "html-hex": partial(escaped, "&#x%x;"),
    "url": partial(escaped, "%%%02X"),
    "backslash-u": partial(escaped, "\\u%04x"),
    "backslash-x": partial(escaped, "\\x%02x"),
    "backslash-braces": partial(escaped, "\\u{%x}"),
    "percent-25": lambda random, text: escaped("%%%02x", random, text).replace("%", "%25"),
    "html-in-url": lambda random, text: escaped("%%26%%23%d%%3B", random, text),
}

# For values that are numbers: what stands between and which digits are used does not change them.
NUMBER_DISGUISES: Mapping[str, Disguise] = {
    "arabic-digits": partial(shifted, "0", "9", 0x660),
    "persian-digits": partial(shifted, "0", "9", 0x6F0),
    "devanagari-digits": partial(shifted, "0", "9", 0x966),
    "monospace-digits": partial(shifted, "0", "9", 0x1D7F6),
    "superscripts-and-circles": _circled,
    "dashes": partial(_swapped, "-", DASHES),
    "dashes-for-gaps": lambda random, text: text.replace(" ", "-"),
    "dots-for-gaps": lambda random, text: text.replace(" ", "."),
    "lower-case": lambda random, text: text.lower(),
    "no-gaps": lambda random, text: text.replace(" ", ""),
}

ENCODINGS: Mapping[str, Encoding] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64-url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64-lines": lambda text: base64.encodebytes((text + " " * 80).encode()).decode().strip(),
    "base64-utf16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex-upper": lambda text: text.encode().hex().upper(),
    "hex-gaps": lambda text: text.encode().hex(" "),
    "gzip-base64": lambda text: base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode(),
    "zlib-base64": lambda text: base64.b64encode(zlib.compress(text.encode())).decode(),
    "data-url": lambda text: "data:text/plain;base64," + base64.b64encode(text.encode()).decode(),
    "url-all": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
}


def disguises(number: bool) -> Mapping[str, Disguise]:
    """The disguises of a value; when it is a number, more of them, and those first."""
    return {**NUMBER_DISGUISES, **DISGUISES} if number else DISGUISES
