"""Training prompts with a known number of demands, written for this project in seven languages.

An ask and up to six demands, as sentences, as a list, or run together in one sentence. The two public sets are
English, and in theirs nearly every prompt demands something.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

TEMPLATES = Path(__file__).with_name("demands.txt")
ROWS = 1_000
LISTS = 1_000
HELD_LISTS = 400
STORIES = 0.2
MOST = 6
BARE = 0.15
AND = {"en": " and ", "de": " und ", "fr": " et ", "es": " y ", "sv": " och ", "it": " e ", "nl": " en "}
# As much English as everything else together.
LANGUAGES = ("en",) * 6 + ("de", "fr", "es", "sv", "it", "nl")
_HEADING = re.compile(r"\[(\w+) (\w+)\]")


def rows(seed: int) -> Iterator[tuple[str, str, int]]:
    """Yields (group, text, demands), the same for the same seed. Texts of one ask form a group."""
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    lines = templates()
    for _ in range(ROWS):
        language = source.choice(LANGUAGES)
        demands = source.sample(lines[language, "demand"], source.randrange(MOST + 1))
        ask = source.choice(lines[language, "ask"])
        # A system prompt has demands and no ask.
        spoken = "" if demands and source.random() < BARE else ask
        yield ask, _text(spoken, demands, AND[language], source).strip(), len(demands)


def lists(seed: int, held: bool = False) -> Iterator[tuple[str, str, int]]:
    """As `rows`: an ask with its demands run together in one sentence, and stories that demand nothing.

    `held`: from phrases that no training prompt has.
    """
    source = random.Random(seed + held)  # noqa: S311 - meant to repeat
    lines, prefix = templates(), "held_" * held
    languages = tuple(one for one in LANGUAGES if (one, f"{prefix}opener") in lines)
    for _ in range(HELD_LISTS if held else LISTS):
        language = source.choice(languages)
        if (stories := lines.get((language, f"{prefix}story"))) and source.random() < STORIES:
            story = source.choice(stories)
            demands = source.sample(lines[language, f"{prefix}order"], source.choice((0, 0, 1, 2)))
            yield story, " ".join((story, *(f"{_raised(one)}." for one in demands))), len(demands)
            continue
        opener = source.choice(lines[language, f"{prefix}opener"])
        parts = _parts(lines[language, f"{prefix}phrase"], lines[language, f"{prefix}order"], source)
        yield opener, opener + _run_together(parts, AND[language], source), len(parts)


def _parts(phrases: list[str], orders: list[str], source: random.Random) -> list[str]:
    size = source.randrange(1, MOST + 1)
    asked = min(source.randrange(size + 1), len(orders))
    return source.sample(phrases, size - asked) + source.sample(orders, asked)


def _run_together(parts: list[str], joint: str, source: random.Random) -> str:
    """The end of a sentence that has all of `parts`, as people write it."""
    first = source.choice((" ", " ", ", ", ": "))
    comma = source.choice((", ", ", ", ", ", "; "))
    last = source.choice((joint, f",{joint}", comma)) if len(parts) > 1 else ""
    return first + comma.join(parts[:-1]) + last + parts[-1] + source.choice((".", ".", ""))


def _raised(line: str) -> str:
    return line[0].upper() + line[1:]


def templates() -> dict[tuple[str, str], list[str]]:
    """The lines of `demands.txt` by language and kind; kinds that begin with `held_` are measured only."""
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
