"""Deterministic repair of JSON that a small model wrote: fences, tags, missing braces, quotes of any kind.

Only shapes are mended; no value is invented and nothing is evaluated. Knows no schema.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import json_repair
from pydantic import JsonValue

from serve import literal

# A model's answer is bounded by its token limit; what is longer is not a botched call.
MOST_CHARS = 200_000
# Mending takes quadratic time on the worst texts; what is longer is taken as it is or not at all.
MENDED_CHARS = 2_000
READ_CHARS = 20_000
# Validators recurse; nobody's arguments are nested like this.
MOST_DEPTH = 100
TAGS = ("tool_call", "tool_calls", "function_call", "tool", "tools")
_OPENERS = ("{", "[")


class Unreadable(ValueError):
    """There is no JSON value in a text."""


def parsed(text: str) -> JsonValue:
    """The JSON value in `text`, mended where the intent is plain. Raises Unreadable when there is none."""
    if len(text) > MOST_CHARS:
        raise Unreadable
    try:
        return strict(text)
    except Unreadable:
        pass
    for value in values_in(text):
        if isinstance(value, dict | list):
            return value
    raise Unreadable


def values_in(text: str) -> Iterator[JsonValue]:
    """What stands at each place where a value is likely, mended; None where there is none."""
    return (_loads(candidate) for candidate in _candidates(text))


def strict(text: str) -> JsonValue:
    """The JSON value that `text` is. Raises Unreadable, also for NaN, infinity and absurd depth."""
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Unreadable from None
    if text.count("{") + text.count("[") > MOST_DEPTH and _deeper_than(MOST_DEPTH, value):
        raise Unreadable
    return value


def _deeper_than(depth: int, value: JsonValue) -> bool:
    level: list[JsonValue] = [value]
    for _ in range(depth):
        level = [child for item in level for child in _children(item)]
    return bool(level)


def _children(item: JsonValue) -> Iterable[JsonValue]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def written(value: JsonValue) -> str:
    """`value` as JSON text that can be sent: readable, but lone surrogates stay escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _candidates(text: str) -> Iterator[str]:
    """Where a call may stand, the likeliest place first. Linear in the length of the text."""
    stripped = text.strip()
    if _is_whole(stripped):
        yield stripped
        return
    for tag in TAGS:
        yield from (part.partition(f"</{tag}>")[0].strip() for part in stripped.split(f"<{tag}>")[1:])
    yield from (_unlabelled(part) for part in stripped.split("```")[1::2])
    yield stripped
    start = min((i for i in (stripped.find(c) for c in _OPENERS) if i >= 0), default=-1)
    if start > 0:
        yield stripped[start : max(stripped.rfind("}"), stripped.rfind("]")) + 1]


def _is_whole(text: str) -> bool:
    try:
        return isinstance(strict(text), dict | list)
    except Unreadable:
        return False


def _unlabelled(fenced: str) -> str:
    """The inside of a fence without the language that its first line may name."""
    first, _, rest = fenced.partition("\n")
    return (rest if first.strip().isalpha() else fenced).strip()


def _loads(text: str) -> JsonValue:
    """A candidate's value, mended if need be; None where there is none."""
    if not text.startswith(_OPENERS):
        return None
    try:
        return strict(text)
    except Unreadable:
        pass
    try:
        return _sendable(literal.literal(text)) if len(text) <= READ_CHARS else None
    except (Unreadable, literal.Unreadable):
        return _mended(text) if len(text) <= MENDED_CHARS else None


def _sendable(value: JsonValue) -> JsonValue:
    return strict(json.dumps(value))


def _mended(text: str) -> JsonValue:
    try:
        value: Any = json_repair.loads(text, skip_json_loads=True)
        _sendable(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
