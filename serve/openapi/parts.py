"""Pieces of an OpenAPI document: operations, parameters, answers."""

from pydantic import BaseModel, JsonValue

from serve import checks, wish
from serve.errors import HttpError
from serve.openapi.failures import READS
from serve.openapi.shapes import ErrorBody
from serve.wire.openai_chat import ChatRequest

Schema = dict[str, JsonValue]


_CHECKS: Schema = {
    "name": checks.HEADER,
    "in": "header",
    "required": False,
    "description": "What the answer must be like beyond its shape, as JSON (docs/tools.md)",
    "schema": {
        "type": "string",
        "maxLength": checks.MOST_CHARS,
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/Checks"},
    },
}


def enum(*values: JsonValue) -> Schema:
    return {"type": "string", "enum": [*values], "default": values[0]}


def query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def post(
    name: str,
    summary: str,
    found: Schema,
    errors: tuple[type[HttpError], ...],
    body: type[BaseModel] = ChatRequest,
    shape: type[BaseModel] = ErrorBody,
) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            _header(
                "x-pointsman-sensitivity",
                ["public", "internal", "confidential"],
                "The lowest class of the data",
            ),
            _header("x-pointsman-prefer", ["cloud", "tier2", "tier3"], "Lanes to try first"),
            _header("x-pointsman-stakes", [*wish.STAKES], "What a wrong answer costs; normal if not given"),
            _header("x-pointsman-latency", [*wish.LATENCIES], "Who waits; interactive if not given"),
            _CHECKS,
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(body)}}},
        "responses": found | failed(errors, shape),
    }


def get(name: str, summary: str, found: Schema, errors: tuple[type[HttpError], ...] = READS) -> Schema:
    return {"operationId": name, "summary": summary, "responses": found | failed(errors)}


def _header(name: str, values: list[JsonValue], about: str) -> Schema:
    schema: Schema = {"type": "string", "enum": values}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": about}


def ok(model: type[BaseModel], about: str) -> Schema:
    return {"200": {"description": about, "content": {"application/json": {"schema": ref(model)}}}}


def failed(kinds: tuple[type[HttpError], ...], shape: type[BaseModel] = ErrorBody) -> Schema:
    """One entry per status, described by the first line of the errors that have it."""
    about: dict[int, list[str]] = {}
    for kind in kinds:
        about.setdefault(kind.status, []).append((kind.__doc__ or "").partition("\n")[0])
    content: Schema = {"application/json": {"schema": ref(shape)}}
    return {
        str(status): {"description": " ".join(lines), "content": content} for status, lines in about.items()
    }


def ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
