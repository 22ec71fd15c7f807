"""Adds copies of training prompts in other clothes: politeness, small talk, typos.

Knows nothing about labels: a copy keeps those of its original. Used on training rows only.
"""

import random

OPENERS = (
    "",
    "please ",
    "Please, ",
    "hi, ",
    "Hello! ",
    "Can you help me? ",
    "I have a question. ",
    "Would you be so kind: ",
    "quick one: ",
    "I need this for work. ",
    "could you tell me, ",
    "Sorry to bother you. ",
    "My boss asks: ",
    "Good afternoon, I am stuck here: ",
    "If you have a minute: ",
    "A friend wants to know. ",
)
CLOSERS = (
    "",
    " please",
    " Thanks!",
    " Thank you.",
    " Many thanks in advance.",
    " I appreciate it.",
    " It is for a friend.",
    " Cheers",
)
TYPO_SHARE = 0.4
LONGEST = 400


def dressed(text: str, source: random.Random) -> str:
    """A copy of `text` with a random opening and ending, sometimes with one typo."""
    worn = source.choice(OPENERS) + text + source.choice(CLOSERS)
    return _mistyped(worn, source) if source.random() < TYPO_SHARE or worn == text else worn


def mistyped(text: str, source: random.Random, typos: int) -> str:
    """A copy of `text` with this many typos."""
    for _ in range(typos):
        text = _mistyped(text, source)
    return text


def _mistyped(text: str, source: random.Random) -> str:
    """Swaps two neighbours, or drops or doubles one character."""
    if len(text) < 4:
        return text
    place = source.randrange(1, len(text) - 1)
    pair = text[place : place + 2]
    return text[:place] + source.choice((pair[::-1], pair[1:], pair[0] + pair)) + text[place + 2 :]
