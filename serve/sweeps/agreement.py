"""How far two answers to one question agree, 0 to 1. Pure: nothing here asks a model.

Calls and JSON are compared by value, short answers as they are, prose by its words: two good texts may use other
words, so for prose this is a lower bound on what a person would say.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

SHORT = 5
"""Words up to which an answer is right or wrong as a whole."""
MOST_LEAVES = 5_000
_WORD = re.compile(r"\w+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an answer says: its text, and the name and arguments of each call."""

    text: str
    calls: tuple[tuple[str, str], ...] = ()


def agreement(accepted: Spoken, other: Spoken) -> float:
    """Of `other` with the answer that the client got."""
    if accepted.calls or other.calls:
        return _calls(accepted, other)
    one, two = _json(accepted.text), _json(other.text)
    if isinstance(one, dict | list):
        return _overlap(Counter(_leaves(one)), Counter(_leaves(two)))
    mine, theirs = _words(accepted.text), _words(other.text)
    if len(mine) <= SHORT:
        return float(mine == theirs)
    return _overlap(Counter(mine), Counter(theirs))


def _calls(accepted: Spoken, other: Spoken) -> float:
    """The same calls with the same arguments; half of it for the right functions."""
    mine = Counter((name, "\n".join(sorted(_leaves(_json(text))))) for name, text in accepted.calls)
    theirs = Counter((name, "\n".join(sorted(_leaves(_json(text))))) for name, text in other.calls)
    if mine == theirs:
        return 1.0
    names = Counter(name for name, _ in accepted.calls), Counter(name for name, _ in other.calls)
    return 0.5 * float(names[0] == names[1])


def _overlap(one: Counter[str], two: Counter[str]) -> float:
    """F1 of two bags."""
    both = sum((one & two).values())
    return 2 * both / (one.total() + two.total()) if both else float(not one and not two)


def _json(text: str) -> JsonValue:
    """None for what is none, or too deep to look at."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _leaves(value: JsonValue) -> Iterator[str]:
    """Path and value of each leaf, at most so many. Iterative: the depth is a model's choice."""
    stack: list[tuple[str, JsonValue]] = [("", value)]
    seen = 0
    while stack and seen < MOST_LEAVES:
        path, item = stack.pop()
        if isinstance(item, dict) and item:
            stack.extend((f"{path}.{key}", inner) for key, inner in item.items())
        elif isinstance(item, list) and item:
            stack.extend((f"{path}[]", inner) for inner in item)
        else:
            seen += 1
            yield f"{path}={_plain(item)}"


def _plain(item: JsonValue) -> str:
    if isinstance(item, str):
        return " ".join(_words(item)) or item
    if isinstance(item, float) and item.is_integer():
        return str(int(item))
    return json.dumps(item)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
