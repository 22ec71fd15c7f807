"""The same prompt in other clothes: typos, case, order, politeness. What is asked stays the same.

Knows nothing about scores or decisions.
"""

import random
import re
from collections.abc import Callable

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_OPENERS = ("Please ", "Hello! ", "Could you help me with this? ", "Hi there, I have a question: ")
_CLOSERS = (" Thank you!", " Thanks in advance.", " I really appreciate it.", " please")
# One letter in fifty is a careless writer.
_TYPO_EVERY = 50


def typos(text: str, source: random.Random) -> str:
    """Swaps neighbouring letters, about one pair in fifty letters, at least one."""
    places = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    letters = list(text)
    for place in source.sample(places, min(len(places), max(1, len(text) // _TYPO_EVERY))):
        letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def case(text: str, source: random.Random) -> str:
    """All lower, all upper, or every word with a capital."""
    return source.choice((str.lower, str.upper, str.title))(text)


def reorder(text: str, source: random.Random) -> str:
    """The sentences of the first paragraph that has several, in another order; else the text itself."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        sentences = _SENTENCE.split(line)
        if len(sentences) > 1:
            place = source.randrange(1, len(sentences))
            lines[number] = " ".join(sentences[place:] + sentences[:place])
            break
    return "\n".join(lines)


def politeness(text: str, source: random.Random) -> str:
    """A kind word before, after, or both."""
    return source.choice((*_OPENERS, "")) + text + source.choice(_CLOSERS)


CLOTHES: dict[str, Callable[[str, random.Random], str]] = {
    "typos": typos,
    "case": case,
    "reorder": reorder,
    "politeness": politeness,
}
