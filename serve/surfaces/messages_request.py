"""Anthropic Messages as clients send them: the shapes, and the reading of a body.

Strict: a field or block that is not listed here is refused by name. What only tunes Anthropic's own service is
listed, read and dropped. Source: Anthropic API reference, `POST /v1/messages`.
"""

import json
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, field_validator

from serve.bounds import Bounds, check_text
from serve.errors import ThreadUnsupported
from serve.wire import images
from serve.wire.bounded import bounded_schema
from serve.wire.openai_messages import CacheControl, CallId, Stop
from serve.wire.refused import invalid

Hint = JsonValue
"""Read and dropped: it names no content, and an answer without it is the same answer."""


class Shape(BaseModel):
    """Unknown fields are refused, as Anthropic does. NaN and infinity are not JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TextBlock(Shape):
    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    citations: Hint = None


class Base64Source(Shape):
    type: Literal["base64"]
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: str

    @field_validator("data")
    @classmethod
    def _image(cls, value: str, info: ValidationInfo) -> str:
        media_type = info.data.get("media_type")  # absent where it is at fault itself
        return images.data(media_type, value) if media_type else value

    @property
    def address(self) -> str:
        """The image as a data: URL."""
        return f"data:{self.media_type};base64,{self.data}"


class UrlSource(Shape):
    """Never fetched here: a lane may, if it is told to."""

    type: Literal["url"]
    url: str

    @field_validator("url")
    @classmethod
    def _remote(cls, value: str) -> str:
        if value[:5].lower() == "data:":
            raise ValueError("must be an https:// URL; an image by value is a source of the type base64")
        return images.address(value)

    @property
    def address(self) -> str:
        """The image's URL."""
        return self.url


class ImageBlock(Shape):
    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]
    cache_control: CacheControl | None = None


class PlainSource(Shape):
    type: Literal["text"]
    media_type: Literal["text/plain"] = "text/plain"
    data: str


class DocumentBlock(Shape):
    """A document of plain text; PDF is Anthropic's own reader's business."""

    type: Literal["document"]
    source: PlainSource
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None
    citations: Hint = None

    @property
    def text(self) -> str:
        """What a model is to read of it."""
        return "\n".join(part for part in (self.title, self.context, self.source.data) if part)


class ToolUseBlock(Shape):
    type: Literal["tool_use"]
    id: CallId
    name: Annotated[str, Field(min_length=1, max_length=512)]
    input: dict[str, JsonValue]
    cache_control: CacheControl | None = None
    caller: Hint = None

    @field_validator("input")
    @classmethod
    def _finite(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(value, allow_nan=False)
        return value


ResultPart = Annotated[TextBlock | ImageBlock | DocumentBlock, Field(discriminator="type")]


class ToolResultBlock(Shape):
    type: Literal["tool_result"]
    tool_use_id: CallId
    content: str | Annotated[list[ResultPart], Field(fail_fast=True)] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Shape):
    """What a model thought in an earlier turn. Only the lane that signed it gets it again."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Shape):
    type: Literal["redacted_thinking"]
    data: str


UserBlock = Annotated[
    TextBlock | ImageBlock | DocumentBlock | ToolResultBlock,
    Field(discriminator="type"),
]
AssistantBlock = Annotated[
    TextBlock | ToolUseBlock | ThinkingBlock | RedactedThinkingBlock,
    Field(discriminator="type"),
]
SystemText = str | Annotated[list[TextBlock], Field(fail_fast=True)]


class UserTurn(Shape):
    role: Literal["user"]
    content: str | Annotated[list[UserBlock], Field(min_length=1, fail_fast=True)]


class AssistantTurn(Shape):
    role: Literal["assistant"]
    content: str | Annotated[list[AssistantBlock], Field(fail_fast=True)]


class SystemTurn(Shape):
    role: Literal["system"]
    content: SystemText


Turn = Annotated[UserTurn | AssistantTurn | SystemTurn, Field(discriminator="role")]


class OfferedTool(Shape):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, JsonValue]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    input_examples: Hint = None
    eager_input_streaming: Hint = None
    defer_loading: Hint = None
    allowed_callers: Hint = None

    @field_validator("type", mode="before")
    @classmethod
    def _custom(cls, value: object) -> object:
        if value not in (None, "custom"):
            raise ValueError("must be custom: other tools run inside Anthropic's service, not here")
        return value

    @field_validator("input_schema")
    @classmethod
    def _bounded(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return bounded_schema(value)


class AnyTool(Shape):
    type: Literal["auto", "any"]
    disable_parallel_tool_use: bool | None = None


class OneTool(Shape):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool | None = None


class NoTool(Shape):
    type: Literal["none"]


class Metadata(Shape):
    user_id: Annotated[str, Field(max_length=512)] | None = None


class Thinking(Shape):
    """Whether a lane that can think shall, and whether the client wants to see it."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    display: Literal["summarized", "omitted"] | None = None

    @property
    def shown(self) -> bool:
        """The client wants to see it."""
        return self.type != "disabled" and self.display != "omitted"


class AnswerSchema(Shape):
    type: Literal["json_schema"]
    schema_: dict[str, JsonValue] = Field(alias="schema")

    @field_validator("schema_")
    @classmethod
    def _bounded(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return bounded_schema(value)


class OutputConfig(Shape):
    format: AnswerSchema | None = None
    effort: Hint = None


class Conversation(Shape):
    """What is counted and what is answered alike."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Turn], Field(min_length=1, fail_fast=True)]
    system: SystemText | None = None
    tools: Annotated[list[OfferedTool], Field(max_length=512, fail_fast=True)] | None = None
    tool_choice: Annotated[AnyTool | OneTool | NoTool, Field(discriminator="type")] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    context_management: Hint = None
    speed: Hint = None
    user_profile_id: Hint = None
    workspace_id: Hint = None
    thread: JsonValue = None
    """A conversation that the server shall keep: refused, but in words that the SDK's tool runner acts on."""


class CountRequest(Conversation):
    """The body of `POST /v1/messages/count_tokens`."""


class MessagesRequest(Conversation):
    """The body of `POST /v1/messages`. At most four stop sequences: what every lane can carry."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    stream: bool | None = None
    stop_sequences: Annotated[list[Stop], Field(max_length=4)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    metadata: Metadata | None = None
    service_tier: Hint = None
    diagnostics: Hint = None


C = TypeVar("C", bound=Conversation)


def parse(kind: type[C], body: bytes, bounds: Bounds) -> C:
    """Bytes to request. Raises InvalidRequest that names the field or the limit, ThreadUnsupported; never echoes."""
    check_text(body, bounds)
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        raise invalid(body, error) from None
    if request.thread is not None:
        raise ThreadUnsupported
    return request
