"""RequestView: the normalised, immutable text of a request that every signal reads.

Knows how to find every string in a request. Does not judge what it finds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_embeddings import Embed
from serve.wire.openai_messages import AssistantMessage, ImagePart, Message, TextPart, UserMessage, UserPart

Capability = Literal["tools", "json_schema", "vision", "audio", "logprobs", "n", "thinking"]
"""`thinking` is never needed: a lane without it answers without thinking."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One string of the request and where it stands, e.g. `messages[2].content[0].text`."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request as signals see it.

    leaves        every string leaf of the body that will be sent, keys of free-form objects
                  included, in document order
    opaque        paths of parts no text detector can read (images, audio)
    prompt        the last user message, text parts joined by newlines
    instructions  system and developer messages, joined by newlines
    conversation  all message text in order, joined by newlines
    tool_names    names of the offered tools
    structured    the answer must match a declared JSON shape
    needs         capabilities a lane must have
    output_tokens requested upper bound of the answer, None when the client set none
    remote_media  an image is given by address: whoever reads it has to fetch it
    embeds        vectors are asked for, not words
    """

    leaves: tuple[Leaf, ...]
    opaque: tuple[str, ...]
    prompt: str
    instructions: str
    conversation: str
    tool_names: tuple[str, ...]
    structured: bool
    needs: frozenset[Capability]
    output_tokens: int | None
    remote_media: bool = False
    embeds: bool = False


def view_of(request: ChatRequest) -> RequestView:
    """The view of what will be sent: the same bytes that lanes get, so nothing goes unread."""
    users = [message for message in request.messages if isinstance(message, UserMessage)]
    return RequestView(
        leaves=(*string_leaves(request.sent()), *_thoughts(request)),
        opaque=tuple(_opaque(request)),
        prompt=_text(users[-1]) if users else "",
        instructions="\n".join(_text(m) for m in request.messages if m.role in ("system", "developer")),
        conversation="\n".join(_text(message) for message in request.messages),
        tool_names=tuple(tool.function.name for tool in request.tools or ()),
        structured=request.structured,
        needs=frozenset(_needs(request)),
        output_tokens=request.output_limit,
        remote_media=any(
            isinstance(part, ImagePart) and part.image_url.remote for part in _user_parts(request.messages)
        ),
        embeds=isinstance(request, Embed),
    )


def _thoughts(request: ChatRequest) -> Iterator[Leaf]:
    """What was thought in earlier turns: `sent` leaves it out, and the lane that thought it may be sent it again.

    Its closed parts are no text; `serve/thoughts` sees to it that no others stay in a request than those it knows.
    """
    for i, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage):
            for j, one in enumerate(message.thinking_blocks or ()):
                yield Leaf(f"messages[{i}].thinking_blocks[{j}].thinking", one.thinking or "")


def string_leaves(value: JsonValue, path: str = "") -> Iterator[Leaf]:
    """Every string in `value`, object keys included, depth first; of schemas also the numbers that may be values.

    Iterative on purpose: the depth of a request is the client's choice, the stack is ours.
    """
    stack: list[tuple[str, JsonValue]] = [(path, value)]
    while stack:
        here, item = stack.pop()
        if isinstance(item, str):
            yield Leaf(here, item)
        elif isinstance(item, int | float) and _tells(here, item):
            yield Leaf(here, str(item))
        elif isinstance(item, list):
            stack.extend((f"{here}[{i}]", item[i]) for i in range(len(item) - 1, -1, -1))
        elif isinstance(item, dict):
            for key in reversed(item):
                inner = f"{here}.{key}" if here else key
                stack.append((inner, item[key]))
                if key not in _WIRE_KEYS:
                    stack.append((f"{inner}#key", key))


def _tells(path: str, number: float) -> bool:
    """Whether a number may be somebody's: the client wrote it into a schema, it is long, and it is no bound."""
    if isinstance(number, bool) or len(str(number)) <= _SHORT_NUMBER:
        return False
    return (".parameters" in path or ".schema" in path) and path.rpartition(".")[2] not in _BOUNDS


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


def _opaque(request: ChatRequest) -> Iterator[str]:
    for i, message in enumerate(request.messages):
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            yield from (
                f"messages[{i}].content[{j}]" for j, p in enumerate(message.content) if p.type != "text"
            )


def _needs(request: ChatRequest) -> Iterator[Capability]:
    if request.tools or any(isinstance(m, AssistantMessage) and m.tool_calls for m in request.messages):
        yield "tools"
    if request.structured:
        yield "json_schema"
    if request.logprobs:
        yield "logprobs"
    if (request.n or 1) > 1:
        yield "n"
    kinds = {part.type for part in _user_parts(request.messages)}
    if "image_url" in kinds:
        yield "vision"
    if "input_audio" in kinds:
        yield "audio"


def _user_parts(messages: Sequence[Message]) -> Iterator[UserPart]:
    for message in messages:
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            yield from message.content


_SHORT_NUMBER = 6
_BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minLength", "maxLength", "minItems", "maxItems"}
)

# Keys that only our own wire models can put there: they hold no client text.
_WIRE_KEYS = frozenset(
    {"messages", "role", "content", "type", "text", "name", "tools", "function", "parameters", "description"}
    | {"tool_calls", "id", "arguments", "tool_call_id", "image_url", "url", "response_format", "json_schema"}
    | {"schema", "strict", "tool_choice", "stop", "user", "properties", "required", "items", "enum"}
    | {"input", "encoding_format", "dimensions", "thinking", "budget_tokens", "display"}
    | {"thinking_blocks", "signature", "data", "cache_control", "ttl"}
)
