"""The smallest plausible instance of a JSON Schema.

Knows the common keywords. Does not know `pattern`, `not`, conditionals or remote references.
"""

from typing import Any

Schema = dict[str, Any]

_DEPTH = 12
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Schema) -> Any:
    """A value that satisfies `schema`: required properties only, enums by their first value.

    An object that names no required property gets all of them, since `{}` shows nothing.
    """
    return _make(schema, schema, 0)


def _make(schema: Any, root: Schema, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    return _typed(schema, root, depth)


def _typed(schema: Schema, root: Schema, depth: int) -> Any:
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            count = min(max(1, schema.get("minItems", 1)), schema.get("maxItems", 1 << 10))
            return [_make(schema.get("items", {"type": "string"}), root, depth + 1) for _ in range(count)]
        case "integer":
            return int(_number(schema))
        case "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """`schema` with its local reference, its allOf parts and its first real alternative merged in."""
    merged = dict(schema)
    for _ in range(_DEPTH):
        if "$ref" in merged:
            merged |= _lookup(str(merged.pop("$ref")), root)
        elif "allOf" in merged:
            merged = _merge([merged, *merged.pop("allOf")])
        elif options := merged.pop("anyOf", None) or merged.pop("oneOf", None):
            merged |= next((each for each in options if each.get("type") != "null"), options[0])
        else:
            break
    return merged


def _merge(parts: list[Schema]) -> Schema:
    merged: Schema = {}
    for part in parts:
        properties = merged.get("properties", {}) | part.get("properties", {})
        required = merged.get("required", []) + part.get("required", [])
        merged |= part | {"properties": properties, "required": required}
    return merged


def _lookup(reference: str, root: Schema) -> Schema:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if step else found
    return dict(found)


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _object(schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties", {})
    names = schema.get("required") or list(properties)
    return {name: _make(properties.get(name, {"type": "string"}), root, depth + 1) for name in names}


def _number(schema: Schema) -> float | int:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema.get("exclusiveMinimum", -step) + step)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 4 * step) - step)
    value = min(max(low, 3 * step if "multipleOf" in schema else 3), high)
    return value if isinstance(value, int | float) else 3


def _string(schema: Schema) -> str:
    text = _FORMATS.get(schema.get("format", ""), "upstream")
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 1 << 20)]
