"""What is wrong with a request, in the names of the API that it was sent by.

Knows pydantic's errors and the places of a chat request. Never echoes a value.
"""

import re
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serve.errors import HttpError, InvalidRequest
from serve.wire.refused import field_of

UNSUPPORTED = "unsupported_type"
"""The pydantic error type of a union whose `type` no member has."""


def invalid(body: bytes, error: ValidationError) -> InvalidRequest:
    """The first thing wrong with `body`, by the path of its field, e.g. `input[2].content[0].type`."""
    # Where a union has several members, the deepest error is the one about what the client meant.
    first = max(error.errors(include_url=False, include_input=False), key=lambda item: len(item["loc"]))
    if first["type"] == "json_invalid":
        return InvalidRequest(f"The body is not valid JSON. {first['msg']}", code="invalid_json")
    where = field_of(body, first) or "(body)"
    if first["type"] in (UNSUPPORTED, "union_tag_invalid", "union_tag_not_found"):
        where += ".type"
    return InvalidRequest(f"{where}: {_words(first)}", param=where)


def _words(item: ErrorDetails) -> str:
    if item["type"] == "union_tag_invalid":
        return f"must be one of {item['ctx']['expected_tags']}"
    if item["type"] == "union_tag_not_found":
        return "is missing"
    if item["type"] == "none_required":
        return "is not supported here: leave it out"
    return item["msg"].removeprefix("Value error, ")


def renamed(
    error: HttpError, names: Sequence[tuple[re.Pattern[str], str]]
) -> dict[str, dict[str, str | None]]:
    """OpenAI's error body, where a field of the chat request is called by its name in another API."""
    body = error.body()
    field = body["error"]["param"]
    for pattern, name in names:
        if field is not None and pattern.match(field):
            new = pattern.sub(name, field)
            body["error"] |= {"param": new, "message": error.message.replace(field, new, 1)}
            break
    return body
