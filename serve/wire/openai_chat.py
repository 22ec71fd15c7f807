"""OpenAI Chat Completions as bytes come in and go out.

Knows the fields Pointsman understands; every other field of a request is dropped, never forwarded.
Source of the shapes: OpenAI API reference, `POST /v1/chat/completions`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic_core import ErrorDetails

from serve.bounds import Bounds, check_count, check_text
from serve.errors import InvalidRequest
from serve.wire import images

MAX_SCHEMA_DEPTH = 64
MAX_SCHEMA_CHARS = 512 * 1024
# Gateways put what a model thought into the ids of its calls: kilobytes of it.
MAX_CALL_ID = 65_536

Stop = Annotated[str, Field(min_length=1, max_length=1024)]
ShortName = Annotated[str, Field(min_length=1, max_length=128)]
CallId = Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID)]


class Wire(BaseModel):
    """Unknown fields are ignored: clients are newer than we are. NaN and infinity are not JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


Detail = Literal["auto", "low", "high", "original"]
"""How closely an image is looked at. Only the newest models know `original`: lanes are sent `high` for it."""


class CacheControl(Wire):
    """Up to here Anthropic shall keep the prompt for the next request. Other lanes are not told."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


CacheMark = Annotated[CacheControl | None, Field(exclude=True)]
"""Left out of what a request is dumped as: `wire/anthropic_only.py` puts it back for the lanes that take it."""


class TextPart(Wire):
    type: Literal["text"]
    text: str
    cache_control: CacheMark = None


class RefusalPart(Wire):
    type: Literal["refusal"]
    refusal: str


class ImageUrl(Wire):
    """An image by address or by value. Nothing here is ever fetched: a lane may, if it is told to."""

    url: str
    detail: Detail | None = None

    @field_validator("url")
    @classmethod
    def _image(cls, value: str) -> str:
        return images.address(value)

    @field_validator("detail")
    @classmethod
    def _known(cls, value: Detail | None) -> Detail | None:
        return "high" if value == "original" else value

    @property
    def remote(self) -> bool:
        """Whoever reads the image has to fetch it."""
        return self.url[:5].lower() != "data:"


class ImagePart(Wire):
    type: Literal["image_url"]
    image_url: ImageUrl
    cache_control: CacheMark = None


class InputAudio(Wire):
    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Wire):
    type: Literal["input_audio"]
    input_audio: InputAudio


UserPart = Annotated[TextPart | ImagePart | AudioPart, Field(discriminator="type")]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class FunctionCall(Wire):
    name: str
    arguments: str


class ToolCall(Wire):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall
    cache_control: CacheMark = None


class SystemMessage(Wire):
    role: Literal["system", "developer"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)]
    name: ShortName | None = None


class UserMessage(Wire):
    role: Literal["user"]
    content: str | Annotated[list[UserPart], Field(min_length=1, fail_fast=True)]
    name: ShortName | None = None


class Thought(Wire):
    """One block of what a lane thought, as its provider signed it. Text may be left out, or closed (`data`)."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None

    @property
    def blob(self) -> str:
        """The part that only its provider can read; empty where there is none."""
        return (self.signature if self.type == "thinking" else self.data) or ""


class AssistantMessage(Wire):
    """`thinking_blocks` are left out of what a request is dumped as, like the marks for caches."""

    role: Literal["assistant"]
    content: str | Annotated[list[AssistantPart], Field(fail_fast=True)] | None = None
    refusal: str | None = None
    name: ShortName | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    thinking_blocks: Annotated[list[Thought] | None, Field(exclude=True)] = None


class ToolMessage(Wire):
    role: Literal["tool"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)]
    tool_call_id: str


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


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
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
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


_JOINED = {"system": "\n\n", "developer": "\n\n", "assistant": "\n", "tool": "\n"}


def one_text(message: Message) -> str | None:
    """The text of a message that is in parts only because one of them is marked; servers exist that take no lists."""
    parts = message.content
    if parts is None or isinstance(parts, str):
        return None
    texts = [part for part in parts if isinstance(part, TextPart)]
    if len(texts) < len(parts) or not any(part.cache_control for part in texts):
        return None
    if message.role == "user" and len(texts) > 1:
        return None
    return _JOINED.get(message.role, "").join(part.text for part in texts)


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
