"""What a client is told of a body that a model of requests refused: the field and why, never its content."""

from typing import Any

import pydantic_core
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serve.errors import InvalidRequest


def invalid(body: bytes, error: ValidationError) -> InvalidRequest:
    """The client's words for what a model of requests refused in `body`: the field, never its content."""
    # Where a union has several members, the deepest error is the one about what the client meant.
    first = max(error.errors(include_url=False, include_input=False), key=_depth)
    if first["type"] == "json_invalid":
        return InvalidRequest(f"The body is not valid JSON. {first['msg']}", code="invalid_json")
    where = field_of(body, first) or "(body)"
    message = "functions is no longer supported: use tools" if where == "functions" else _words(first)
    return InvalidRequest(f"{where}: {message}", param=where)


def _words(item: ErrorDetails) -> str:
    if item["type"] == "union_tag_invalid":  # pydantic's own words would repeat what the client sent
        return f"{item['ctx']['discriminator'].strip(chr(39))} must be one of {item['ctx']['expected_tags']}"
    return item["msg"].removeprefix("Value error, ")


def _depth(item: ErrorDetails) -> int:
    return len(item["loc"])


def field_of(body: bytes, item: ErrorDetails) -> str:
    """The path a client knows: pydantic's location without the names of union members."""
    here: Any = pydantic_core.from_json(body)
    path = ""
    for i, part in enumerate(item["loc"]):
        missing = item["type"] == "missing" and i == len(item["loc"]) - 1
        if _names_member(here, item["loc"][i : i + 2]):
            continue
        if isinstance(part, int) and isinstance(here, list) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
        elif isinstance(here, dict) and (part in here or missing):
            path, here = f"{path}.{part}" if path else str(part), here.get(part)
    return path


def _names_member(here: Any, loc: tuple[int | str, ...]) -> bool:
    """Whether a step of a location is the `type` of `here` and not its field of the same name."""
    if len(loc) < 2 or not isinstance(here, dict) or here.get("type") != loc[0] or loc[0] not in here:
        return False
    part, after = loc
    inner = here[part]
    return after == part or (after in here and not (isinstance(inner, dict) and after in inner))
