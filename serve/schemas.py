"""JSON Schemas that clients send: compiled safely, or refused before any lane sees them."""

import json
from functools import lru_cache

import jsonschema_rs
from pydantic import JsonValue

from serve.errors import InvalidRequest
from serve.wire.openai_chat import ChatRequest


def compiled(schema: dict[str, JsonValue]) -> jsonschema_rs.Validator:
    """The validator of `schema`. Raises jsonschema_rs.ValidationError (a ValueError) for a broken one."""
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


def _place(error: ValueError) -> str:
    if not isinstance(error, jsonschema_rs.ValidationError):
        return "it cannot be compiled"
    place = "/".join(str(part) for part in error.instance_path) or "(root)"
    return f"at {place}, {error.kind.name}"
