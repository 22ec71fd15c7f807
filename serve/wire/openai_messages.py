"""The messages of a chat and their parts, as OpenAI's clients send them.

Source of the shapes: OpenAI API reference, `POST /v1/chat/completions`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from serve.wire import images

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
