"""Bends a value towards its schema where nothing is lost: types, the case of words, names of arguments.

Guided by the schema alone; no value is invented. What does not fit afterwards is for the verdict to refuse.
"""

import json
import re

from pydantic import JsonValue

from serve import literal, repair, schemas

# Work for one value; what needs more is returned as it is.
MOST_STEPS = 20_000
MOST_TRIALS = 64
_NUMBERS = re.compile(r"\s*-?\d{1,15}(?:\.\d{1,15})?(?:\s*,\s*-?\d{1,15}(?:\.\d{1,15})?)+\s*")
_ESCAPED = re.compile(r"\s*[\[{]\s*\\n")
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WRAPPERS = ("arguments", "parameters", "properties", "params", "kwargs", "args", "input")

Schema = dict[str, JsonValue]


def coerced(value: JsonValue, schema: JsonValue) -> JsonValue:
    """`value` with types bent towards `schema` where nothing is lost, and unknown arguments dropped."""
    return _Bending(schema).bent(value, schema, 0)


def known_only(value: dict[str, JsonValue], schema: Schema) -> dict[str, JsonValue]:
    """`value` without arguments the schema does not list: in mended text they are debris."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return value
    return {key: item for key, item in _renamed(value, properties).items() if key in properties}


class _Bending:
    """One value's way through its schema, with a bound on the work."""

    def __init__(self, root: JsonValue) -> None:
        self._root: Schema = root if isinstance(root, dict) else {}
        self._steps, self._trials = MOST_STEPS, MOST_TRIALS

    def bent(self, value: JsonValue, schema: JsonValue, depth: int) -> JsonValue:
        self._steps -= 1
        if not isinstance(schema, dict) or self._steps < 0 or depth > repair.MOST_DEPTH:
            return value
        if isinstance(reference := schema.get("$ref"), str):
            return self.bent(value, schemas.target(self._root, reference), depth + 1)
        for part in _list(schema.get("allOf")):
            value = self.bent(value, part, depth + 1)
        if options := _list(schema.get("anyOf")) or _list(schema.get("oneOf")):
            value = self._to_one_of(value, options, depth)
        return self._to_kinds(_listed(value, schema), schema, depth)

    def _to_one_of(self, value: JsonValue, options: list[JsonValue], depth: int) -> JsonValue:
        """The value as the first option takes it that does; itself when one takes it already, or none does."""
        if any(self._fits(value, option) for option in options):
            return value
        for option in options:
            made = self.bent(value, option, depth + 1)
            if made != value and self._fits(made, option):
                return made
        return value

    def _fits(self, value: JsonValue, option: JsonValue) -> bool:
        self._trials -= 1
        if not isinstance(option, dict) or self._trials < 0:
            return False
        shared: Schema = {name: self._root[name] for name in ("$defs", "definitions") if name in self._root}
        try:
            return schemas.compiled(shared | option).is_valid(value)
        except ValueError:
            return False

    def _to_kinds(self, value: JsonValue, schema: Schema, depth: int) -> JsonValue:
        kind = schema.get("type")
        kinds = [str(one) for one in kind] if isinstance(kind, list) else [str(kind)] if kind else []
        own = [one for one in kinds if _is(value, one)]
        for one in own or kinds:
            made = value if own else _as(value, one, schema)
            if own or json.dumps(made) != json.dumps(value):
                value = made
                break
        if isinstance(value, list):
            return self._items(value, schema, depth)
        return self._object(value, schema, depth) if isinstance(value, dict) else value

    def _items(self, value: list[JsonValue], schema: Schema, depth: int) -> JsonValue:
        first, rest = _list(schema.get("prefixItems")), schema.get("items")
        return [
            self.bent(item, first[i] if i < len(first) else rest, depth + 1) for i, item in enumerate(value)
        ]

    def _object(self, value: dict[str, JsonValue], schema: Schema, depth: int) -> JsonValue:
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        if not isinstance(properties, dict):
            return {key: self.bent(item, more, depth + 1) for key, item in value.items()}
        required = _list(schema.get("required"))
        value = _renamed(_unwrapped(value, properties), properties)
        return {
            key: self.bent(item, properties.get(key, more), depth + 1)
            for key, item in value.items()
            if (key in properties or more is not False)
            and not (item is None and key in properties and key not in required and _no_null(properties[key]))
        }


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _no_null(schema: JsonValue) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return isinstance(kind, str) and kind != "null"


def _listed(value: JsonValue, schema: Schema) -> JsonValue:
    """The listed word that `value` is but for case, spaces and punctuation, if there is just one."""
    words = _list(schema.get("enum"))
    if not words or value in words or not isinstance(value, str | int | float):
        return value
    meant = [
        word for word in words if isinstance(word, str | int | float) and _letters(word) == _letters(value)
    ]
    return meant[0] if len(meant) == 1 else value


def _letters(word: str | int | float) -> str:
    text = word if isinstance(word, str) else json.dumps(word)
    return "".join(character for character in text if character not in " _-.").lower() or text


def _unwrapped(value: dict[str, JsonValue], properties: Schema) -> dict[str, JsonValue]:
    """{"arguments": {...}} where the arguments themselves were meant."""
    key = next((key for key in _WRAPPERS if key in value and key not in properties), None)
    inner = value[key] if key else None
    if not isinstance(inner, dict) or not set(inner) <= set(properties) - set(value):
        return value
    return inner | {name: item for name, item in value.items() if name != key}


def _renamed(value: dict[str, JsonValue], properties: Schema) -> dict[str, JsonValue]:
    """Keys that are a listed one but for case and punctuation, if only one is and it is not there itself."""
    if all(key in properties for key in value):
        return value
    free: dict[str, list[str]] = {}
    for name in properties:
        if name not in value:
            free.setdefault(_letters(name), []).append(name)
    made: dict[str, JsonValue] = {}
    for key, item in value.items():
        meant = [] if key in properties else free.get(_letters(key), [])
        made[meant[0] if len(meant) == 1 and meant[0] not in made else key] = item
    return made


def _is(value: JsonValue, kind: str) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "integer": isinstance(value, int) and is_number,
        "number": is_number,
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
        "string": isinstance(value, str),
        "null": value is None,
    }.get(kind, False)


def _as(value: JsonValue, kind: str, schema: Schema) -> JsonValue:
    """`value`, which is of another kind, as one of this kind if it plainly means one."""
    if isinstance(value, str):
        return _from_text(value, kind, schema)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "string":
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            return value[0]
        return json.dumps(value) if _is(value, "number") else value
    if kind == "array" and value is not None:
        return [value]
    return value


def _from_text(text: str, kind: str, schema: Schema) -> JsonValue:
    value: JsonValue = None
    try:
        value = repair.strict(text.strip().lower() if kind in ("boolean", "null") else text.strip())
    except repair.Unreadable:
        value = _structure(text, kind)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if _is(value, kind):
        return value
    items = schema.get("items")
    of_text = isinstance(items, dict) and items.get("type") == "string"
    return [text] if kind == "array" and of_text and text and not set(",;\n[{(") & set(text) else text


def _structure(text: str, kind: str) -> JsonValue:
    """The list or object that a text means; the text itself where it means none.

    `{\\n "a": 1}`: its line breaks were escaped twice. `3, 1, 2`: a list of numbers without its brackets.
    """
    if len(text) > repair.READ_CHARS:
        return text
    if kind == "array" and _NUMBERS.fullmatch(text) and not _GROUPED.fullmatch(text.strip()):
        text = f"[{text}]"
    if _ESCAPED.match(text):
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    try:
        return literal.literal(text)
    except literal.Unreadable:
        return text
