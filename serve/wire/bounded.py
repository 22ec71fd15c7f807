"""How large and how deep a JSON Schema may be that goes to a grammar compiler."""

import math

from pydantic import JsonValue

MAX_SCHEMA_DEPTH = 64
MAX_SCHEMA_CHARS = 512 * 1024


def bounded_schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The schema itself if it is small enough to hand to a grammar compiler. Raises ValueError."""
    level: list[JsonValue] = [schema]
    seen = 0
    for _depth in range(MAX_SCHEMA_DEPTH):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise ValueError("NaN and infinity are not JSON")
        level = [child for item in level for child in _children(item)]
        seen += len(level)
        if not level:
            return schema
        if seen > MAX_SCHEMA_CHARS // 8:
            raise ValueError("the schema is too large")
    raise ValueError(f"the schema is nested more than {MAX_SCHEMA_DEPTH} levels deep")


def _children(item: JsonValue) -> list[JsonValue]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
