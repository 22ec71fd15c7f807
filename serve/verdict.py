"""The verdict on a whole answer: is it what was asked for? If a rule can mend it, mend it.

Checks tool calls and structured outputs against their schemas. Does not call a model.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from serve import bend, repair, schemas, spoken
from serve.checks import Checks, Unmet
from serve.wire.openai_answer import AnswerMessage, ChatCompletion, Choice
from serve.wire.openai_chat import ChatRequest, FunctionSpec, NamedToolChoice
from serve.wire.openai_messages import ToolCall

Outcome = Literal["valid", "repaired", "invalid"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """outcome, the answer to use (the repaired one where it was repaired), and what was wrong, in words."""

    outcome: Outcome
    answer: ChatCompletion
    fault: str = ""


class Unfit(ValueError):
    """One choice is not what was asked for; the message says why, without quoting it."""


def judge(request: ChatRequest, answer: ChatCompletion, checks: Checks | None = None) -> Verdict:
    """The verdict on `answer`; `checks` are for what fits its shape. Never raises for what a model wrote."""
    choices: list[Choice] = []
    for choice in answer.choices:
        try:
            choices.append(_fit(request, choice))
            _check(choices[-1], checks)
        except (Unfit, Unmet) as fault:
            return Verdict("invalid", answer, str(fault))
    if choices == answer.choices:
        return Verdict("valid", answer)
    return Verdict("repaired", answer.model_copy(update={"choices": choices}))


def _fit(request: ChatRequest, choice: Choice) -> Choice:
    """The choice, mended if need be. Raises Unfit."""
    message = choice.message
    if choice.finish_reason == "content_filter" or message.refusal:
        return choice
    if request.tools and request.tool_choice != "none":
        choice = _fit_tools(request, choice)
        if choice.message.tool_calls:
            return choice
        if request.forced_tool:
            raise Unfit("a tool call was required and none came")
    if choice.finish_reason == "length":
        return choice  # The client's own limit cut it: the next lane would be cut as well.
    if not (choice.message.content or "").strip():
        if request.stop and not request.structured:
            return choice  # The client's own stop cut it: the next lane would be cut as well.
        raise Unfit("the answer is empty")
    return _fit_structure(request, choice) if request.structured else choice


def _check(choice: Choice, checks: Checks | None) -> None:
    """Raise Unmet. What was refused, or cut by the client's own limit, is not checked: the next lane's would be too."""
    spared = choice.message.refusal or choice.finish_reason in ("content_filter", "length")
    if checks is not None and (choice.message.tool_calls or not spared):
        checks.check(choice)


def calls_read(request: ChatRequest, choice: Choice) -> list[ToolCall]:
    """The calls that a model wrote as text, as they were written: not mended to any schema."""
    return spoken.calls_in_text(choice.message.content or "", _specs(request), demanded=request.forced_tool)


def _specs(request: ChatRequest) -> dict[str, FunctionSpec]:
    return {tool.function.name: tool.function for tool in request.tools or ()}


def _fit_tools(request: ChatRequest, choice: Choice) -> Choice:
    offered = spoken.Offered(_specs(request))
    calls = choice.message.tool_calls or calls_read(request, choice)
    if not calls:
        return choice
    if request.parallel_tool_calls is False and len(calls) > 1:
        raise Unfit("several calls came where one at a time was asked for")
    if isinstance(request.tool_choice, NamedToolChoice):
        wanted = request.tool_choice.function.name
        if any(offered.known(call.function.name) != wanted for call in calls):
            raise Unfit("the call is not of the function that was asked for")
    fitted = [_fit_call(call, offered) for call in calls]
    if fitted == choice.message.tool_calls and choice.finish_reason == "tool_calls":
        return choice
    content = choice.message.content if choice.message.tool_calls else None
    message = choice.message.model_copy(update={"tool_calls": fitted, "content": content})
    return choice.model_copy(update={"message": message, "finish_reason": "tool_calls"})


def _fit_call(call: ToolCall, offered: spoken.Offered) -> ToolCall:
    name = offered.known(call.function.name)
    if name is None:
        raise Unfit("the call names a tool that was not offered")
    schema = offered.specs[name].parameters or {}
    text = call.function.arguments
    value = _arguments(text, schema)
    if _violation(schema, value):
        value = bend.coerced(value, schema)
        if fault := _violation(schema, value):
            raise Unfit(f"the arguments of a call do not match its schema: {fault}")
        text = repair.written(value)
    elif not _is_json(text):
        text = repair.written(value)
    function = call.function.model_copy(update={"name": name, "arguments": text})
    return call.model_copy(update={"function": function})


def _arguments(text: str, schema: dict[str, JsonValue]) -> JsonValue:
    try:
        value = repair.parsed(text)
    except repair.Unreadable:
        value = None
    if not isinstance(value, dict):
        raise Unfit("the arguments of a call are not a JSON object")
    return value if _is_json(text) else bend.known_only(value, schema)


def _fit_structure(request: ChatRequest, choice: Choice) -> Choice:
    text = choice.message.content or ""
    schema: dict[str, JsonValue] = request.schema_ if request.schema_ is not None else {"type": "object"}
    try:
        value = repair.parsed(text)
    except repair.Unreadable:
        raise Unfit("the answer is not JSON") from None
    if _is_json(text) and _violation(schema, value) is None:
        return choice
    if _violation(schema, value):
        value = bend.coerced(value, schema)
        if fault := _violation(schema, value):
            raise Unfit(f"the answer does not match the schema: {fault}")
    message: AnswerMessage = choice.message.model_copy(update={"content": repair.written(value)})
    return choice.model_copy(update={"message": message})


def _violation(schema: dict[str, JsonValue], value: JsonValue) -> str | None:
    """What breaks the schema, by keyword and depth, never by a name or value; None when nothing does."""
    validator = schemas.compiled(schema)
    try:
        error = next(validator.iter_errors(value), None)
    except ValueError:  # what the validator cannot take: lone surrogates, too many levels
        return "it cannot be checked"
    if error is None:
        return None
    return f"{error.kind.name}, {len(error.instance_path)} level(s) deep"


def _is_json(text: str) -> bool:
    try:
        repair.strict(text)
    except repair.Unreadable:
        return False
    return True
