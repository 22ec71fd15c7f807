"""Names of persons in letters other than Latin: by lists, and by standing alone in a Latin text.

Knows how names are written in some twenty scripts. Does not know languages.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice, pairwise

from serve.signals.sensitivity.pattern import Pattern

_FOREIGN = r"[^\P{L}\p{Latin}]"
_PRESENT = Pattern(_FOREIGN)
_TOKEN = Pattern(
    rf"{_FOREIGN}[^\P{{L}}\p{{Latin}}\p{{M}}\x{{200c}}\x{{200d}}'\x{{2019}}\-]*(?:[\p{{M}}\x{{200c}}\x{{200d}}'\x{{2019}}\-]+{_FOREIGN}*)*"
)
_IDEOGRAPHS = Pattern(r"[\p{Han}\p{Hangul}]{3,}")
_OPENS = Pattern(r"^[^\p{L}]*\p{Latin}")
_PROSE = Pattern(r"\b[a-z]{2,}\b")
# A run in other letters inside a Latin text is a name, unless the text is about language.
_ALONE = Pattern(
    rf"(?:^|[ (\"',:])({_FOREIGN}{{1,20}}[\p{{M}}]*{_FOREIGN}*(?: {_FOREIGN}[^ \n]{{0,20}}){{0,2}})(?:$|[ )\"'.,!?:;])"
)
_ABOUT_LANGUAGE = Pattern(
    r"(?i)\b(?:translat\w*|languages?|words?|mean(?:s|ing)?|pronounc\w*|characters?|letters?|alphabets?|grammar\w*|phrases?|"
    r"sentences?|kanji|hiragana|unicode|script|symbols?|poem|song|lyrics|spell\w*|[a-z]+ese|arabic|hebrew|russian|greek|"
    r"hindi|korean|thai|cyrillic|print|return|def|function|equation|formula|alpha|beta|sigma|theta)\b"
)
_MOST_LETTERS, _MOST_ALONE, _MOST = 40, 2, 3000
_ONE_SIGN, _AT_LEAST = 1, 0.75


def find(data: bytes) -> bool:
    """Whether somebody is named in letters other than Latin."""
    if not _PRESENT.found(data):
        return False
    return _is_listed(data) or _stands_alone(data)


def _is_listed(data: bytes) -> bool:
    """A given beside a family name, in either order; written together where no blanks are."""
    given, family, east_given, east_family = _lists()
    tokens = [
        (start, end, data[start:end].decode("utf-8", "replace"))
        for start, end in islice(_TOKEN.spans(data), _MOST)
    ]
    for (_, end, one), (start, _, two) in pairwise(tokens):
        if data[end:start] not in (b" ", b"\xc2\xa0", b"\t", b", "):
            continue
        if (one in given and two in family) or (one in family and two in given):
            return True
        if (one in east_given and two in east_family) or (one in east_family and two in east_given):
            return True
    return any(_is_joined(run) for run in _runs(data))


def _runs(data: bytes) -> Iterator[str]:
    return (
        data[start:end].decode("utf-8", "replace") for start, end in islice(_IDEOGRAPHS.spans(data), _MOST)
    )


def _is_joined(run: str) -> bool:
    """A family name followed by a listed given name of two signs, at the start of a run: inside it signs are words."""
    _, _, given, family = _lists()
    return any(run[:size] in family and run[size : size + 2] in given for size in (1, 2)) and len(run) <= 8


def _stands_alone(data: bytes) -> bool:
    """One or two short runs in a text that is otherwise Latin prose and not about language."""
    runs = list(islice(_ALONE.spans(data), _MOST_ALONE + 1))
    if not 0 < len(runs) <= _MOST_ALONE or not _OPENS.found(data) or _ABOUT_LANGUAGE.found(data):
        return False
    foreign = len("".join(data[start:end].decode("utf-8", "replace") for start, end in runs))
    others = sum(_PRESENT.found(char) for char in data.decode("utf-8", "replace") if not char.isascii())
    prose = sum(end - start for start, end in islice(_PROSE.spans(data), _MOST))
    return _ONE_SIGN < foreign <= _MOST_LETTERS and others <= foreign and prose > _AT_LEAST * foreign


@cache
def _lists() -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
    """Given and family names; given and family names of Chinese, Japanese and Korean."""
    text = (files("serve.signals.sensitivity") / "names_scripts.txt").read_text(encoding="utf-8")
    _, given, family, east_given, east_family = (frozenset(part.split()) for part in text.split("\n\n"))
    return given, family, east_given, east_family
