"""Deterministic repair of what a small model wrote: fences, tags, bare calls, missing braces, wrong types.

Only shapes are mended, guided by the schema; no value is invented and nothing is evaluated.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import json_repair
from pydantic import JsonValue

from serve.wire.openai_chat import FunctionCall, FunctionSpec, ToolCall

# A model's answer is bounded by its token limit; what is longer is not a botched call.
MOST_CHARS = 200_000
# Mending takes quadratic time on the worst texts; what is longer is taken as it is or not at all.
MENDED_CHARS = 2_000
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
    for candidate in _candidates(text):
        value = _loads(candidate)
        if isinstance(value, dict | list):
            return value
    raise Unreadable


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


def calls_in_text(text: str, specs: Mapping[str, FunctionSpec]) -> list[ToolCall]:
    """Tool calls that a model wrote as text; empty when it wrote anything else.

    A JSON object counts only if it names an offered tool, so an answer that merely shows JSON stays text.
    """
    if len(text) > MOST_CHARS:
        return []
    for candidate in _candidates(text):
        value = _loads(candidate)
        calls = [_call(item, specs) for item in (value if isinstance(value, list) else [value])]
        found = [call for call in calls if call is not None]
        if found and len(found) == len(calls):
            return found
    return []


def known_name(name: str, specs: Mapping[str, FunctionSpec]) -> str | None:
    """The offered tool that `name` means: itself, or the only one that shares its last part."""
    if name in specs:
        return name
    last = re.split(r"[./:]", name)[-1].lower()
    matches = [known for known in specs if re.split(r"[./:]", known)[-1].lower() == last]
    return matches[0] if len(matches) == 1 else None


def coerced(value: JsonValue, schema: JsonValue) -> JsonValue:
    """`value` with types bent towards `schema` where nothing is lost, and unknown arguments dropped."""
    if not isinstance(schema, dict):
        return value
    kind = schema.get("type")
    if isinstance(value, dict) and isinstance(schema.get("properties"), dict):
        return _coerced_object(value, schema)
    if isinstance(value, list):
        return [coerced(item, schema.get("items")) for item in value]
    if isinstance(value, str) and kind in ("integer", "number", "boolean", "array", "object", "null"):
        return _from_text(value, str(kind))
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if kind == "array" and not isinstance(value, list) and value is not None:
        return [coerced(value, schema.get("items"))]
    return value


def known_only(value: dict[str, JsonValue], schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """`value` without arguments the schema does not list: in mended text they are debris."""
    properties = schema.get("properties")
    return {key: item for key, item in value.items() if not isinstance(properties, dict) or key in properties}


def _coerced_object(value: dict[str, JsonValue], schema: dict[str, JsonValue]) -> JsonValue:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    closed = schema.get("additionalProperties") is False
    required = schema.get("required")
    optional = {key for key in value if not isinstance(required, list) or key not in required}
    return {
        key: coerced(item, properties.get(key))
        for key, item in value.items()
        if (key in properties or not closed) and not (item is None and key in optional and key in properties)
    }


def _from_text(text: str, kind: str) -> JsonValue:
    try:
        value = strict(text.strip().lower() if kind in ("boolean", "null") else text.strip())
    except Unreadable:
        return text
    fits = {
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
        "null": value is None,
    }
    return value if fits[kind] else text


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
        return _mended(text) if len(text) <= MENDED_CHARS else None


def _mended(text: str) -> JsonValue:
    try:
        value: Any = json_repair.loads(text, skip_json_loads=True)
        strict(json.dumps(value))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _call(item: JsonValue, specs: Mapping[str, FunctionSpec]) -> ToolCall | None:
    if not isinstance(item, dict):
        return None
    inner = item.get("function")
    if isinstance(inner, dict):
        item = inner
    name = item.get("name", inner)
    arguments = next((item[key] for key in ("arguments", "parameters", "args", "input") if key in item), None)
    if isinstance(arguments, str):
        try:
            arguments = parsed(arguments)
        except Unreadable:
            return None
    known = known_name(name, specs) if isinstance(name, str) else None
    if known is None or not isinstance(arguments, dict):
        return None
    function = FunctionCall(name=known, arguments=written(arguments))
    return ToolCall(id=f"call_{uuid.uuid4().hex[:24]}", function=function)
