"""Training prompts with a known number of demands, written for this project in five languages.

An ask and up to six demands, as sentences, as a list, or joined by "and". The two public sets are English, and in
theirs nearly every prompt demands something.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

TEMPLATES = Path(__file__).with_name("demands.txt")
ROWS = 1_000
MOST = 6
BARE = 0.15
AND = {"en": " and ", "de": " und ", "fr": " et ", "es": " y ", "sv": " och "}
# As much English as everything else together.
LANGUAGES = ("en", "en", "en", "en", "de", "fr", "es", "sv")
_HEADING = re.compile(r"\[(\w+) (\w+)\]")


def rows(seed: int) -> Iterator[tuple[str, str, int]]:
    """Yields (group, text, demands), the same for the same seed. Texts of one ask form a group."""
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    lines = _lines()
    for _ in range(ROWS):
        language = source.choice(LANGUAGES)
        demands = source.sample(lines[language, "demand"], source.randrange(MOST + 1))
        ask = source.choice(lines[language, "ask"])
        # A system prompt has demands and no ask.
        spoken = "" if demands and source.random() < BARE else ask
        yield ask, _text(spoken, demands, AND[language], source).strip(), len(demands)


def _lines() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for line in TEMPLATES.read_text("utf-8").splitlines():
        if heading := _HEADING.fullmatch(line):
            members = found.setdefault((heading[1], heading[2]), [])
        else:
            members.append(line)
    return found


def _text(ask: str, demands: list[str], joint: str, source: random.Random) -> str:
    kind = source.randrange(4)
    if kind == 0:
        return " ".join((ask, *(f"{one}." for one in demands)))
    if kind == 1:
        return "\n".join((ask, *(f"{number}. {one}" for number, one in enumerate(demands, 1))))
    if kind == 2:
        return " ".join((ask, *_joined(demands, joint, source)))
    cut = len(demands) // 2
    return " ".join((*(f"{one}." for one in demands[:cut]), ask, *(f"{one}." for one in demands[cut:])))


def _joined(demands: list[str], joint: str, source: random.Random) -> Iterator[str]:
    """Sentences of one to three demands each."""
    while demands:
        size = source.choice((1, 2, 2, 3))
        (first, *rest), demands = demands[:size], demands[size:]
        small = [one[0].lower() + one[1:] for one in rest]
        yield ", ".join((first, *small[:-1])) + (joint + small[-1] if small else "") + "."
