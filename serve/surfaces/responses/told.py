"""The document of a response, as the OpenAPI document describes it to clients."""

from typing import Literal

from pydantic import BaseModel, JsonValue


class ResponseShown(BaseModel):
    """A response. `store`: whether it is kept. Items of `output` are messages, function calls and reasoning."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "failed"]
    error: dict[str, JsonValue] | None
    incomplete_details: dict[str, JsonValue] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[dict[str, JsonValue]]
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: dict[str, JsonValue]
    store: bool
    temperature: float | None
    text: dict[str, JsonValue]
    tool_choice: str | dict[str, JsonValue]
    tools: list[dict[str, JsonValue]]
    top_p: float | None
    truncation: Literal["disabled"]
    usage: dict[str, JsonValue] | None
    user: str | None
