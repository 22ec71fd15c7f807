"""OpenAI chat answers, whole and in chunks, as lanes give them and clients get them.

A lane's answer is untrusted input: only the fields listed here go on to the client. An answer that is paid for is not
lost to what nobody reads: Azure OpenAI leaves names empty and deltas out where it tells of its filters.
"""

from math import isfinite
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, Field, JsonValue, ValidationError, WrapValidator, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler

from serve.lane_errors import LaneProtocolError, LaneUnavailable
from serve.wire.openai_messages import FunctionCall, Thought, ToolCall, Wire

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]

_CUT = frozenset({"model_length", "max_tokens"})
"""What `length` is called by Mistral, and by servers that keep Anthropic's word."""

_GIVEN_UP = frozenset({"abort", "error", "insufficient_system_resource"})
"""No end of an answer: vLLM, Mistral and DeepSeek let go of it half done."""


_KNOWN = frozenset(get_args(FinishReason))


class _GaveUp(Exception):
    """The lane says that it did not finish."""


def _finish(value: object) -> object:
    """An unknown reason is an end all the same. Raises _GaveUp."""
    if not isinstance(value, str) or value in _KNOWN:
        return value
    if value in _GIVEN_UP:
        raise _GaveUp
    return ("length" if value in _CUT else "stop") if value else None


def _or_none(value: object) -> object:
    return None if value == "" else value


def _seconds(value: object) -> object:
    """Some servers tell the time to the microsecond."""
    return int(value) if isinstance(value, float) and isfinite(value) else value


Created = Annotated[int, BeforeValidator(_seconds)]


# More than any model takes or gives; what is reported beyond is nonsense.
MOST_TOKENS = 10**9


class PromptDetails(Wire):
    """cache_write_tokens: those that were written into the cache, which costs more than input.

    cache_write_1h_tokens: the part of them that is kept for an hour, which costs most.
    """

    cached_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)
    cache_write_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)
    cache_write_1h_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)


class CompletionDetails(Wire):
    """reasoning_tokens: those that were thought and not said."""

    reasoning_tokens: int | None = Field(None, ge=0, le=MOST_TOKENS)


D = TypeVar("D", PromptDetails, CompletionDetails)


def _details(value: Any, validate: ModelWrapValidatorHandler[D | None]) -> D | None:
    """What makes no sense here is no discount, and no reason to doubt the sums."""
    try:
        return validate(value)
    except ValidationError:
        return None


class Usage(Wire):
    """The details are parts of the sums: what the provider had in its cache, and what it thought."""

    prompt_tokens: int = Field(ge=0, le=MOST_TOKENS)
    completion_tokens: int = Field(ge=0, le=MOST_TOKENS)
    total_tokens: int = Field(ge=0, le=2 * MOST_TOKENS)
    prompt_tokens_details: Annotated[PromptDetails | None, WrapValidator(_details)] = None
    completion_tokens_details: Annotated[CompletionDetails | None, WrapValidator(_details)] = None

    @property
    def unseen(self) -> int:
        """Output that stands in the total alone: some providers count there what was thought, and bill for it."""
        return max(0, self.total_tokens - self.prompt_tokens - self.completion_tokens)

    @property
    def given(self) -> int:
        """All the output, `unseen` with it."""
        return self.completion_tokens + self.unseen


_NONSENSE = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


def _lenient(value: Any, validate: ModelWrapValidatorHandler[Usage | None]) -> Usage | None:
    """A provider that reports nonsense must not break the answer: `_settled` takes the mark away."""
    try:
        return validate(value)
    except ValidationError:
        return _NONSENSE


class Metered(Wire):
    """What both kinds of answer say beside the answer.

    usage           tokens as reported, None where nothing or nonsense was reported
    usage_doubtful  True where nonsense was reported: whoever bills must assume the worst. Not for clients
    error           an error that came inside an answer; never sent on
    """

    usage: Annotated[Usage | None, WrapValidator(_lenient)] = None
    usage_doubtful: bool | None = None
    error: JsonValue = Field(default=None, exclude=True)


NOT_FOR_CLIENTS = {"usage_doubtful"}
M = TypeVar("M", bound=Metered)


def _text_only(value: object) -> str | None:
    """vLLM also puts the number of a token here."""
    return value if isinstance(value, str) else None


def _a_function(value: object) -> object:
    return {**value, "type": "function"} if isinstance(value, dict) and value.get("type") == "" else value


GivenCall = Annotated[ToolCall, BeforeValidator(_a_function)]

StoppedBy = Annotated[str | None, BeforeValidator(_text_only)]
"""The stop sequence that ended an answer, where the lane tells: vLLM and Anthropic do, OpenAI does not."""


class Said(Wire):
    """Where thoughts go: vLLM since 0.32 and OpenRouter call them `reasoning`, clients know the older name."""

    reasoning_content: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(thought := value.get("reasoning"), str):
            return value
        # Servers that send both names say the same thing twice.
        return value if value.get("reasoning_content") else {**value, "reasoning_content": thought}


class AnswerMessage(Said):
    role: Annotated[Literal["assistant"], BeforeValidator(lambda value: value or "assistant")] = "assistant"
    content: str | None = None
    refusal: str | None = None
    thinking_blocks: list[Thought] | None = None
    tool_calls: list[GivenCall] | None = None


class Choice(Wire):
    index: int = 0
    message: AnswerMessage
    logprobs: dict[str, JsonValue] | None = None
    finish_reason: Annotated[FinishReason | None, BeforeValidator(lambda value: _finish(value) or "stop")] = (
        "stop"
    )
    stop_reason: StoppedBy = None


class ChatCompletion(Metered):
    id: str
    object: Annotated[Literal["chat.completion"], BeforeValidator(lambda _: "chat.completion")] = (
        "chat.completion"
    )
    created: Created
    model: str
    choices: list[Choice] = Field(min_length=1)


class FunctionDelta(Wire):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Wire):
    index: int = 0
    id: str | None = None
    type: Annotated[Literal["function"] | None, BeforeValidator(_or_none)] = None
    function: FunctionDelta | None = None


class Delta(Said):
    role: Annotated[Literal["assistant"] | None, BeforeValidator(_or_none)] = None
    content: str | None = None
    refusal: str | None = None
    thinking_blocks: list[Thought] | None = None
    tool_calls: list[ToolCallDelta] | None = None

    @property
    def says_something(self) -> bool:
        """Whether a client that got this delta has begun to read an answer."""
        thought = self.reasoning_content or self.thinking_blocks
        return bool(self.content or self.refusal or thought or self.tool_calls)


class ChunkChoice(Wire):
    index: int = 0
    delta: Annotated[Delta, BeforeValidator(lambda value: Delta() if value is None else value)] = Delta()
    logprobs: dict[str, JsonValue] | None = None
    finish_reason: Annotated[FinishReason | None, BeforeValidator(_finish)] = None
    stop_reason: StoppedBy = None


class ChatChunk(Metered):
    id: str
    object: Annotated[
        Literal["chat.completion.chunk"], BeforeValidator(lambda _: "chat.completion.chunk")
    ] = "chat.completion.chunk"
    created: Created
    model: str
    choices: list[ChunkChoice] = Field(default_factory=list)

    @property
    def says_something(self) -> bool:
        """Whether any choice carries content."""
        return any(choice.delta.says_something for choice in self.choices)


def completion(lane: str, document: str) -> ChatCompletion:
    """A lane's whole answer. Raises LaneProtocolError or LaneUnavailable without echoing it."""
    try:
        return _settled(lane, ChatCompletion.model_validate_json(document))
    except ValidationError as error:
        raise LaneProtocolError(lane, f"not a chat completion: {_first(error)}") from None
    except _GaveUp:
        raise LaneUnavailable(lane, "gave its answer up") from None


def chunk(lane: str, document: str) -> ChatChunk:
    """One chunk of a lane's stream. Raises LaneProtocolError or LaneUnavailable without echoing it."""
    try:
        return _settled(lane, ChatChunk.model_validate_json(document))
    except ValidationError as error:
        raise LaneProtocolError(lane, f"not a chat completion chunk: {_first(error)}") from None
    except _GaveUp:
        raise LaneUnavailable(lane, "gave its answer up") from None


def _settled(lane: str, answer: M) -> M:
    if answer.error:
        raise LaneUnavailable(lane, "reported an error inside its answer")
    if answer.usage is _NONSENSE:
        return answer.model_copy(update={"usage": None, "usage_doubtful": True})
    return answer


class Ends:
    """Which choices of a stream have begun, and whether each of them has ended."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._ended: set[int] = set()

    def add(self, item: ChatChunk) -> None:
        """Take note of one chunk."""
        for choice in item.choices:
            (self._ended if choice.finish_reason else self._open).add(choice.index)

    @property
    def whole(self) -> bool:
        """Every choice that began has its finish reason."""
        return bool(self._ended) and self._open <= self._ended


def _first(error: ValidationError) -> str:
    item = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"


def as_chunks(whole: ChatCompletion, *, include_usage: bool) -> list[ChatChunk]:
    """A whole answer as the stream a client asked for: role and content, finish reason, usage."""

    def chunk_of(choices: list[ChunkChoice], usage: Usage | None = None) -> ChatChunk:
        return ChatChunk(id=whole.id, created=whole.created, model=whole.model, choices=choices, usage=usage)

    chunks = [chunk_of([_body(choice)]) for choice in whole.choices]
    chunks += [chunk_of([_end(choice)]) for choice in whole.choices]
    return [*chunks, chunk_of([], whole.usage)] if include_usage else chunks


def _body(choice: Choice) -> ChunkChoice:
    message = choice.message
    calls = [
        ToolCallDelta(
            index=i,
            id=call.id,
            type="function",
            function=FunctionDelta(name=call.function.name, arguments=call.function.arguments),
        )
        for i, call in enumerate(message.tool_calls or ())
    ]
    delta = Delta(
        role="assistant",
        content=message.content,
        refusal=message.refusal,
        reasoning_content=message.reasoning_content,
        thinking_blocks=message.thinking_blocks,
        tool_calls=calls or None,
    )
    return ChunkChoice(index=choice.index, delta=delta, logprobs=choice.logprobs)


def _end(choice: Choice) -> ChunkChoice:
    reason = choice.finish_reason or "stop"
    return ChunkChoice(
        index=choice.index, delta=Delta(), finish_reason=reason, stop_reason=choice.stop_reason
    )


__all__ = [
    "ChatChunk",
    "ChatCompletion",
    "Choice",
    "Ends",
    "FunctionCall",
    "Thought",
    "Usage",
    "as_chunks",
    "chunk",
    "completion",
]
