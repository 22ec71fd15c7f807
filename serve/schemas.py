"""JSON Schemas that clients send: compiled safely, or refused before any lane sees them."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

import jsonschema_rs
from pydantic import JsonValue

from serve.errors import InvalidRequest
from serve.wire.bounded import MAX_SCHEMA_CHARS, MAX_SCHEMA_DEPTH
from serve.wire.openai_chat import ChatRequest

MOST_STEPS = 100_000
MOST_PATTERNS = 200
MOST_PATTERN_CHARS = 20_000
MOST_PATTERN_BYTES = 256 * 1024  # of one pattern, compiled: larger ones take milliseconds each
MOST_DEMANDED = 10_000
KEPT_CHARS = 16 * 1024

# The words of JSON Schema (drafts 4 to 2020-12) that other schemas may stand behind.
_KEYWORDS = frozenset(
    ("properties", "patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties", "items",
     "prefixItems", "additionalItems", "unevaluatedItems", "contains", "$defs", "definitions", "dependentSchemas",
     "dependentRequired", "dependencies", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "type", "enum",
     "required", "pattern")
)  # fmt: skip
_DEMANDS = ("minItems", "minLength", "minProperties", "minContains")


def compiled(schema: dict[str, JsonValue]) -> jsonschema_rs.Validator:
    """The validator of `schema`. Raises jsonschema_rs.ValidationError (a ValueError) for a broken one."""
    if any(_unfollowed(node, node is schema) for node in _nodes(schema)):
        raise ValueError("only references of the form #/... are followed")
    if _expanded(schema) > MOST_STEPS:
        raise ValueError("its references multiply without end")
    text = json.dumps(schema, sort_keys=True)
    return _kept(text) if len(text) <= KEPT_CHARS else _compiled(text)


@lru_cache(maxsize=512)
def _kept(text: str) -> jsonschema_rs.Validator:
    # Only small ones: what strangers may fill has to stay small when it is full.
    return _compiled(text)


def _compiled(text: str) -> jsonschema_rs.Validator:
    # A remote $ref would be a server-side request of the client's choosing; a backtracking regex, its stall.
    options = jsonschema_rs.RegexOptions(size_limit=MOST_PATTERN_BYTES)
    return jsonschema_rs.validator_for(json.loads(text), retriever=_refuse, pattern_options=options)


def _refuse(uri: str) -> JsonValue:
    raise ValueError("references to other documents are not followed")


def check(request: ChatRequest) -> None:
    """Raise InvalidRequest that names the field if a tool or answer schema cannot be compiled.

    Every request pays for its own schemas here, so their number of patterns and characters is bounded together.
    """
    patterns: list[str] = []
    chars = 0
    for field, schema in _declared(request):
        try:
            patterns += _demands(schema)
            chars += len(json.dumps(schema))
            _affordable(patterns, chars)
            compiled(schema)
        except ValueError as error:
            raise InvalidRequest(
                f"{field} is not a usable JSON Schema: {_place(error)}", param=field
            ) from None


def _declared(request: ChatRequest) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    for i, tool in enumerate(request.tools or ()):
        if tool.function.parameters is not None:
            yield f"tools[{i}].function.parameters", tool.function.parameters
    if request.schema_ is not None:
        yield "response_format.json_schema.schema", request.schema_


def _demands(schema: dict[str, JsonValue]) -> Iterator[str]:
    """The patterns of `schema`. Raises ValueError for a grammar that would have to repeat without end."""
    for node in _nodes(schema):
        for name in _DEMANDS:
            least = node.get(name)
            if isinstance(least, int | float) and least > MOST_DEMANDED:
                raise ValueError(f"{name} is over {MOST_DEMANDED:,}")
        if isinstance(pattern := node.get("pattern"), str):
            yield pattern
        if isinstance(keys := node.get("patternProperties"), dict):
            yield from keys


def _affordable(patterns: list[str], chars: int) -> None:
    if chars > MAX_SCHEMA_CHARS:
        raise ValueError(f"the schemas of a request may have {MAX_SCHEMA_CHARS:,} characters together")
    if len(patterns) > MOST_PATTERNS or sum(map(len, patterns)) > MOST_PATTERN_CHARS:
        raise ValueError(
            f"the schemas of a request may hold {MOST_PATTERNS} patterns "
            f"of {MOST_PATTERN_CHARS:,} characters together"
        )


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
            sizes[reference] = size(target(schema, reference), depth)
        return sizes[reference]

    return size(schema, 0)


def target(schema: dict[str, JsonValue], reference: str) -> JsonValue:
    """What a local JSON pointer means; None for everything else, which the compiler judges."""
    here: JsonValue = schema
    for part in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#/") else []:
        here = here.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(here, dict) else None
    return here if reference.startswith("#/") else None


def _place(error: ValueError) -> str:
    """Where the schema is wrong. Names that the client chose are its data: a `*` stands for each."""
    if not isinstance(error, jsonschema_rs.ValidationError):
        return str(error)
    path = error.instance_path
    named = [str(part) if isinstance(part, int) or part in _KEYWORDS else "*" for part in path]
    return f"at {'/'.join(named) or '(root)'}, {error.kind.name}"
