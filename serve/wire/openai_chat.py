"""OpenAI Chat Completions as bytes come in and go out.

Knows the fields Pointsman understands; every other field of a request is dropped, never forwarded.
Source of the shapes: OpenAI API reference, `POST /v1/chat/completions`.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, ValidationError, field_validator

from serve.bounds import Bounds, check_count, check_text
from serve.errors import InvalidRequest
from serve.wire.bounded import bounded_schema
from serve.wire.openai_messages import (
    AssistantMessage,
    CacheControl,
    CacheMark,
    ImagePart,
    Message,
    ShortName,
    Stop,
    TextPart,
    Wire,
    one_text,
)
from serve.wire.refused import invalid


class FunctionSpec(Wire):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _bounded(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        return None if value is None else bounded_schema(value)


class Tool(Wire):
    type: Literal["function"]
    function: FunctionSpec
    cache_control: CacheMark = None


class NamedFunction(Wire):
    name: str


class NamedToolChoice(Wire):
    type: Literal["function"]
    function: NamedFunction


class AllowedFunctions(Wire):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedToolChoice], Field(min_length=1, max_length=512, fail_fast=True)]


class AllowedToolsChoice(Wire):
    """Only these of the tools may be called. `parse` leaves out the others: no lane gets this."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedFunctions


class JsonSchemaSpec(Wire):
    name: ShortName
    description: str | None = None
    schema_: dict[str, JsonValue] = Field(alias="schema")
    strict: bool | None = None

    @field_validator("schema_")
    @classmethod
    def _bounded(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return bounded_schema(value)


class PlainFormat(Wire):
    type: Literal["text", "json_object"]


class SchemaFormat(Wire):
    type: Literal["json_schema"]
    json_schema: JsonSchemaSpec


class Thinking(Wire):
    """Whether and how a lane with the capability `thinking` shall think first. Anthropic's shape."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    display: Literal["summarized", "omitted"] | None = None

    @property
    def wanted(self) -> bool:
        """The client wants it."""
        return self.type != "disabled"


class StreamOptions(Wire):
    include_usage: bool = False


def _short(seed: int) -> int:
    """`seed`, or another of 31 bits that always stands for it: a longer one can be somebody's card number.

    No detector reads it: of random seeds of 53 bits, one in twenty would be such a number.
    """
    if abs(seed) < 2**32:
        return seed
    return int.from_bytes(sha256(str(seed).encode()).digest()[:4]) >> 1


class ChatRequest(Wire):
    """A chat request. What is not listed here is dropped; legacy `functions` are refused, not ignored."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=512, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | AllowedToolsChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] | None = None
    stop: Stop | Annotated[list[Stop], Field(min_length=1, max_length=4)] | None = None
    top_k: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    thinking: Thinking | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63), AfterValidator(_short)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    cache_control: CacheMark = None
    functions: None = None

    @property
    def output_limit(self) -> int | None:
        """Requested upper bound of the answer in tokens; the newer field wins."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def forced_tool(self) -> bool:
        """The client demands a tool call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, NamedToolChoice)

    @property
    def schema_(self) -> dict[str, JsonValue] | None:
        """The schema the answer must match, None when none was declared."""
        return (
            self.response_format.json_schema.schema_
            if isinstance(self.response_format, SchemaFormat)
            else None
        )

    @property
    def kept(self) -> Literal["5m", "1h"] | None:
        """How long its marks ask for the prompt to be kept in a cache, the longest of them; None: it has none."""
        found = {mark.ttl or "5m" for mark in self._marks()}
        return None if not found else "1h" if "1h" in found else "5m"

    def _marks(self) -> Iterator[CacheControl]:
        marked: list[CacheControl | None] = [self.cache_control]
        marked += [tool.cache_control for tool in self.tools or ()]
        for message in self.messages:
            if isinstance(message.content, list):
                marked += [
                    part.cache_control for part in message.content if isinstance(part, TextPart | ImagePart)
                ]
            if isinstance(message, AssistantMessage):
                marked += [call.cache_control for call in message.tool_calls or ()]
        return filter(None, marked)

    @property
    def structured(self) -> bool:
        """The answer must be JSON."""
        return self.response_format is not None and self.response_format.type != "text"

    def sent(self) -> dict[str, JsonValue]:
        """The body as it goes to a lane, without `model` and the stream fields: known fields only."""
        skip = {"model", "stream", "stream_options", "functions"}
        body: dict[str, JsonValue] = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude=skip
        )
        messages = body["messages"]
        assert isinstance(messages, list)
        for message, one in zip(messages, self.messages, strict=True):
            if (text := one_text(one)) is not None:
                assert isinstance(message, dict)
                message["content"] = text
        return body


def parse(body: bytes, bounds: Bounds | None = None) -> ChatRequest:
    """Bytes to request. Raises InvalidRequest that names the field or the limit; never echoes content."""
    bounds = bounds or Bounds()
    check_text(body, bounds)
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid(body, error) from None
    check_count("messages", len(request.messages), bounds.messages, "messages")
    check_count("parts", sum(_parts(m) for m in request.messages), bounds.parts, "messages")
    _check_together(request)
    return _offered(request)


def _parts(message: Message) -> int:
    content: str | Sequence[object] | None = message.content
    return 0 if content is None or isinstance(content, str) else len(content)


def _check_together(request: ChatRequest) -> None:
    if request.tool_choice not in (None, "none", "auto") and not request.tools:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    wanted, where = _wanted(request.tool_choice)
    if not wanted <= {tool.function.name for tool in request.tools or ()}:
        raise InvalidRequest("tool_choice names a function that is not in tools", param=where)
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")


def _wanted(choice: object) -> tuple[set[str], str]:
    """The functions that a `tool_choice` names, and the field that does."""
    if isinstance(choice, AllowedToolsChoice):
        return {tool.function.name for tool in choice.allowed_tools.tools}, "tool_choice.allowed_tools.tools"
    named = {choice.function.name} if isinstance(choice, NamedToolChoice) else set[str]()
    return named, "tool_choice.function.name"


def _offered(request: ChatRequest) -> ChatRequest:
    """The request with the tools that may be called. Without any, nothing is said of them: OpenAI refuses that."""
    choice = request.tool_choice
    if isinstance(choice, AllowedToolsChoice):
        names, _ = _wanted(choice)
        tools = [tool for tool in request.tools or () if tool.function.name in names]
        return request.model_copy(update={"tools": tools, "tool_choice": choice.allowed_tools.mode})
    if request.tools == []:
        return request.model_copy(update={"tools": None, "tool_choice": None, "parallel_tool_calls": None})
    return request
