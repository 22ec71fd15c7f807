"""JSON Schemas that clients send: compiled safely, or refused before any lane sees them."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

import jsonschema_rs
from pydantic import JsonValue

from serve.errors import InvalidRequest
from serve.wire.openai_chat import MAX_SCHEMA_DEPTH, ChatRequest

MOST_STEPS = 100_000


def compiled(schema: dict[str, JsonValue]) -> jsonschema_rs.Validator:
    """The validator of `schema`. Raises jsonschema_rs.ValidationError (a ValueError) for a broken one."""
    if any(_unfollowed(node, node is schema) for node in _nodes(schema)):
        raise ValueError("only references of the form #/... are followed")
    if _expanded(schema) > MOST_STEPS:
        raise ValueError("its references multiply without end")
    return _compiled(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=512)
def _compiled(text: str) -> jsonschema_rs.Validator:
    # A remote $ref would be a server-side request of the client's choosing; a backtracking regex, its stall.
    return jsonschema_rs.validator_for(
        json.loads(text), retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
    )


def _refuse(uri: str) -> JsonValue:
    raise ValueError("references to other documents are not followed")


def check(request: ChatRequest) -> None:
    """Raise InvalidRequest that names the field if a tool or answer schema cannot be compiled."""
    named = [
        (f"tools[{i}].function.parameters", t.function.parameters) for i, t in enumerate(request.tools or ())
    ]
    for field, schema in [*named, ("response_format.json_schema.schema", request.schema_)]:
        if schema is None:
            continue
        try:
            compiled(schema)
        except ValueError as error:
            raise InvalidRequest(
                f"{field} is not a usable JSON Schema: {_place(error)}", param=field
            ) from None


def _nodes(schema: dict[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
    stack: list[JsonValue] = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _unfollowed(node: dict[str, JsonValue], root: bool) -> bool:
    """The node refers, or lets others refer, in a way that `_expanded` does not count."""
    reference = node.get("$ref")
    odd = isinstance(reference, str) and (not re.match(r"^#(/|$)", reference) or "%" in reference)
    names = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", *(() if root else ("$id",)))
    return odd or any(isinstance(node.get(name), str) for name in names)


def _expanded(schema: dict[str, JsonValue]) -> int:
    """Nodes of the schema with every local reference written out; a cycle counts once.

    References that double at every level cost a validator 2 ** levels steps.
    """
    sizes: dict[str, int] = {}

    def size(node: JsonValue, depth: int) -> int:
        if depth > MAX_SCHEMA_DEPTH * 4:
            return MOST_STEPS
        if isinstance(node, list):
            return 1 + sum(size(item, depth + 1) for item in node)
        if not isinstance(node, dict):
            return 1
        reference = node.get("$ref")
        inside = sum(
            size(item, depth + 1) for key, item in node.items() if key not in ("$defs", "definitions")
        )
        return 1 + inside + (size_of(reference, depth + 1) if isinstance(reference, str) else 0)

    def size_of(reference: str, depth: int) -> int:
        if reference not in sizes:
            sizes[reference] = 0  # while it is being counted, a cycle adds nothing
            sizes[reference] = size(_target(schema, reference), depth)
        return sizes[reference]

    return size(schema, 0)


def _target(schema: dict[str, JsonValue], reference: str) -> JsonValue:
    """What a local JSON pointer means; None for everything else, which the compiler judges."""
    here: JsonValue = schema
    for part in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#/") else []:
        here = here.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(here, dict) else None
    return here if reference.startswith("#/") else None


def _place(error: ValueError) -> str:
    if not isinstance(error, jsonschema_rs.ValidationError):
        return str(error)
    place = "/".join(str(part) for part in error.instance_path) or "(root)"
    return f"at {place}, {error.kind.name}"
