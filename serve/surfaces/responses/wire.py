"""OpenAI Responses as requests come in.

Knows the fields Pointsman can honour. A field that would change the answer and cannot be honoured is refused; every
other unknown field is dropped, never forwarded. Source of the shapes: OpenAI API reference, `POST /v1/responses`.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, TypeAdapter, field_validator

from serve.surfaces.fault import UNSUPPORTED
from serve.wire import images
from serve.wire.bounded import bounded_schema
from serve.wire.openai_messages import CallId, Detail, InputAudio, ShortName, Wire

Schema = dict[str, JsonValue]
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class InputText(Wire):
    type: Literal["input_text"]
    text: str


class OutputText(Wire):
    type: Literal["output_text"]
    text: str


class Refusal(Wire):
    type: Literal["refusal"]
    refusal: str


class InputImage(Wire):
    """An image by address or by value; files that were uploaded before are not known here."""

    type: Literal["input_image"]
    image_url: str
    detail: Detail | None = None

    @field_validator("image_url")
    @classmethod
    def _image(cls, value: str) -> str:
        return images.address(value)


class InputSound(Wire):
    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[InputText | OutputText | Refusal | InputImage | InputSound, Field(discriminator="type")]


class MessageItem(Wire):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[Part], Field(min_length=1, fail_fast=True)]


class CallItem(Wire):
    type: Literal["function_call"]
    call_id: CallId
    name: str
    arguments: str


ResultPart = Annotated[InputText | InputImage, Field(discriminator="type")]


class CallOutputItem(Wire):
    type: Literal["function_call_output"]
    call_id: CallId
    output: str | Annotated[list[ResultPart], Field(min_length=1, fail_fast=True)]


class ReasoningItem(Wire):
    """What a model thought earlier. It is not given to a model again, so nothing of it is read."""

    type: Literal["reasoning"]


class ItemReference(Wire):
    """An item of an earlier answer by its id, in place of the item itself: `reference.py` finds it."""

    type: Literal["item_reference"]
    id: Annotated[str, Field(min_length=1, max_length=128)]


KINDS = ("message", "function_call", "function_call_output", "reasoning", "item_reference")


def _kind(item: object) -> str | None:
    if not isinstance(item, dict):
        return getattr(item, "type", None)
    kind = item.get("type", "message")  # OpenAI's short form of a message has no type
    return kind if isinstance(kind, str) else None


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[ItemReference, Tag("item_reference")],
    Discriminator(
        _kind, custom_error_type=UNSUPPORTED, custom_error_message=f"must be one of {', '.join(KINDS)}"
    ),
]
ITEMS: TypeAdapter[list[Item]] = TypeAdapter(list[Item])


class FunctionTool(Wire):
    """A function of the client. Tools that OpenAI runs itself (web_search, file_search, ...) are refused."""

    type: Literal["function"]
    name: ToolName
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _bounded(cls, value: Schema | None) -> Schema | None:
        return None if value is None else bounded_schema(value)


class ForeignTool(Wire):
    """What coding agents offer beside their functions unasked: a search that OpenAI runs, groups of tools.

    Under `auto` an offer demands nothing, so it is left out and the functions are offered; else it is refused.
    """

    type: Literal["web_search", "namespace"]


class FunctionChoice(Wire):
    type: Literal["function"]
    name: str


class AllowedTools(Wire):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[FunctionChoice], Field(min_length=1, max_length=512, fail_fast=True)]


OfferedTool = Annotated[FunctionTool | ForeignTool, Field(discriminator="type")]


class PlainText(Wire):
    type: Literal["text", "json_object"]


class SchemaText(Wire):
    type: Literal["json_schema"]
    name: ShortName
    schema_: Schema = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None

    @field_validator("schema_")
    @classmethod
    def _bounded(cls, value: Schema) -> Schema:
        return bounded_schema(value)


class TextOptions(Wire):
    format: Annotated[PlainText | SchemaText, Field(discriminator="type")] | None = None


Include = Literal["message.output_text.logprobs", "reasoning.encrypted_content"]
Metadata = dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]]


class ResponseRequest(Wire):
    """A request for a response. `metadata` is handed back and never sent to a lane."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: str | Annotated[list[Item], Field(fail_fast=True)]
    instructions: str | None = None
    previous_response_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    store: bool | None = None
    stream: bool | None = None
    tools: Annotated[list[OfferedTool], Field(max_length=512, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: Annotated[list[Include], Field(max_length=16)] | None = None
    metadata: Annotated[Metadata, Field(max_length=16)] | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    conversation: None = None
    prompt: None = None

    @property
    def earlier(self) -> bool:
        """It cannot be answered without responses that were kept: it continues one, or names items of one."""
        named = () if isinstance(self.input, str) else self.input
        return self.previous_response_id is not None or any(isinstance(item, ItemReference) for item in named)

    @property
    def functions(self) -> list[FunctionTool]:
        """The tools that a model is offered."""
        return [tool for tool in self.tools or () if isinstance(tool, FunctionTool)]

    @property
    def foreign(self) -> int | None:
        """The first tool that cannot be left out, and is no function; None where there is none."""
        optional = self.functions and self.tool_choice in (None, "auto")
        found = (i for i, tool in enumerate(self.tools or ()) if isinstance(tool, ForeignTool))
        return None if optional else next(found, None)

    @property
    def wants_logprobs(self) -> bool:
        """The client asked for the likelihood of each token."""
        return bool(self.top_logprobs) or "message.output_text.logprobs" in (self.include or ())
