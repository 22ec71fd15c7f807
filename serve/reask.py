"""After an answer was refused: what the next model is asked, and told of what was tried.

One more question to a lane of our own leaves the model no choice of shape: the engine decodes along a grammar. Makes
requests. Does not choose who is asked after that, and asks nobody.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from pydantic import JsonValue

from serve import spoken, verdict
from serve.attempts import body_of
from serve.config import ON_PREMISES, Config
from serve.decision import LaneState
from serve.job import Job
from serve.lane_errors import AnswerInvalid
from serve.lanes.load import LaneLoad
from serve.request import Capability
from serve.signals import context
from serve.wire.openai_answer import ChatCompletion
from serve.wire.openai_chat import (
    ChatRequest,
    JsonSchemaSpec,
    NamedFunction,
    NamedToolChoice,
    SchemaFormat,
    Tool,
)
from serve.wire.openai_messages import UserMessage

QUOTED_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Second:
    """The one constrained question: to whom, and what."""

    lane: str
    job: Job


def second(
    job: Job, asked: str, refused: AnswerInvalid, config: Config, load: LaneLoad, left: Collection[str] = ()
) -> Second | None:
    """The constrained question after the answer of the lane `asked` was refused and `left` are still to be asked.

    None where no shape was missed, or no lane of ours may be asked. The decision's chain is the limit, as for every
    attempt: who is not in it is not asked. A full lane is asked only where nobody waits less.
    """
    settings = config.dispatch.reask
    if not settings.enabled or config.lane(asked).location not in ON_PREMISES:
        return None
    request = constrained(job.request, refused.answer)
    if request is None:
        return None
    need: Capability = "json_schema" if isinstance(request.response_format, SchemaFormat) else "tools"
    for name in dict.fromkeys([settings.lane or _tools_lane(config) or asked, asked]):
        lane = config.lane(name)
        constrains = lane.kind == "engine" or name == settings.lane
        ours = name in job.decision.chain and lane.location in ON_PREMISES
        if constrains and ours and need in lane.capabilities and _is_free(name, config, load, left):
            return Second(name, told(replace(job, request=request), refused))
    return None


def _is_free(name: str, config: Config, load: LaneLoad, left: Collection[str]) -> bool:
    alone = all(load.together(name, other) for other in left)
    state = load.state(config.lane(name), interactive=True)
    return state is LaneState.READY or (alone and state is LaneState.FULL)


def _tools_lane(config: Config) -> str | None:
    """The first lane that the rules prefer where tools are offered."""
    return next((rule.prefer[0] for rule in config.policy.rules if rule.when.tools and rule.prefer), None)


def constrained(request: ChatRequest, answer: ChatCompletion | None) -> ChatRequest | None:
    """The request with the shape that `answer` missed as its grammar; None where it missed none.

    vLLM decodes the arguments of a tool along its schema only where that tool is `strict`, whatever `tool_choice` says:
    else just the frame of the call is certain.
    """
    if request.tools and request.tool_choice != "none" and (request.forced_tool or _calls(request, answer)):
        choice = _named(request, answer) or "required"
        tools = [_strict(tool) for tool in request.tools]
        return request.model_copy(
            update={"tools": tools, "tool_choice": choice, "response_format": None, "n": None}
        )
    if not request.structured:
        return None
    schema: dict[str, JsonValue] = request.schema_ if request.schema_ is not None else {"type": "object"}
    shape = JsonSchemaSpec.model_construct(name="answer", schema_=schema, strict=True)
    form = SchemaFormat.model_construct(type="json_schema", json_schema=shape)
    none = "none" if request.tools else None
    return request.model_copy(update={"response_format": form, "tool_choice": none, "n": None})


def _strict(tool: Tool) -> Tool:
    return tool.model_copy(update={"function": tool.function.model_copy(update={"strict": True})})


def _calls(request: ChatRequest, answer: ChatCompletion | None) -> list[str]:
    """The names in the calls that a model tried to write."""
    if answer is None:
        return []
    [first, *_] = answer.choices
    calls = first.message.tool_calls or verdict.calls_read(request, first)
    return [call.function.name for call in calls]


def _named(request: ChatRequest, answer: ChatCompletion | None) -> NamedToolChoice | None:
    """The one tool that must be called, or that the model meant to call once; None where it cannot be told."""
    if isinstance(request.tool_choice, NamedToolChoice):
        return request.tool_choice
    tools = {tool.function.name: tool.function for tool in request.tools or ()}
    names = _calls(request, answer)
    meant = spoken.Offered(tools).known(names[0]) if len(names) == 1 else None
    return NamedToolChoice(type="function", function=NamedFunction(name=meant)) if meant else None


def told(job: Job, refused: AnswerInvalid) -> Job:
    """The job with one message more for the model: what was answered before, and why that was no use."""
    parts = [f"Your task is the request above. An answer to it was tried and refused: {refused.message}."]
    if job.checks is not None:
        parts.append(f"The answer must pass these checks: {job.checks.in_words()}")
    if said := _said(refused.answer):
        parts.append(f"The refused answer was:\n{said}")
    parts.append("Answer the request itself, in the form it asks for. Do not mention this note.")
    note = "\n".join(parts)
    messages = [*job.request.messages, UserMessage(role="user", content=note)]
    request = job.request.model_copy(update={"messages": messages})
    more = context.count(note)
    return replace(job, request=request, body=body_of(request), more_tokens=job.more_tokens + more)


def _said(answer: ChatCompletion | None) -> str:
    """The beginning of what was answered."""
    if answer is None:
        return ""
    message = answer.choices[0].message
    calls = [f"{call.function.name}({call.function.arguments})" for call in message.tool_calls or ()]
    return "\n".join(filter(None, [message.content, *calls]))[:QUOTED_CHARS]
