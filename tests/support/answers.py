"""What an upstream says: from a neutral question and a script to a neutral answer.

Knows shapes (prose, JSON, tool call) and limits. Does not know either wire, nor timing.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.support.faults import Script, Shape, UsageKind
from tests.support.schemas import Schema, instance

UNSEEN = 1100
"""Tokens that are counted in the total alone, where a script says so."""

Finish = Literal["stop", "stop_sequence", "length", "tool_calls"]


class BadAsk(Exception):
    """The request body is not one this wire accepts; the message says why."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool on offer."""

    name: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Ask:
    """One question, whichever wire it came by.

    `choice` is `auto`, `none`, `any`, or the name of the tool to call. `after_tool`: the last
    message is a tool result. `schema` is set for JSON answers, `{}` for any object.
    """

    model: str
    prompt: str
    input_tokens: int
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    after_tool: bool = False
    schema: Schema | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    thinking: bool = False
    hides: bool = False  # what it thinks


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as reported, which need not be as they are. `read` and `written` are part of `prompt`.

    `unseen` stands in the total alone. `late`: input too is told at the end of a stream, and nought at its start.
    """

    prompt: float
    completion: float
    read: int = 0
    written: int = 0
    unseen: int = 0
    late: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer in pieces; one piece is one token. `call` names the tool the pieces are for."""

    pieces: tuple[str, ...]
    call: str | None
    finish: Finish
    stopped_by: str | None
    usage: Usage | None
    talk: tuple[str, ...] = ()  # prose before a call
    thought: str | None = None  # before everything else

    @property
    def text(self) -> str:
        """The whole answer, or the whole arguments."""
        return "".join(self.pieces)


THOUGHT = "Let me think about that."
SIGNATURE = "c2lnbmVkIGJ5IHRoZSB1cHN0cmVhbQ=="


def compose(ask: Ask, script: Script) -> Answer:
    """The answer to `ask` that `script` wants."""
    if script.loose and ask.choice != "auto":
        script = replace(script, shape="right")
    tool = _pick(ask, script.shape)
    if tool is not None and script.shape not in ("fenced", "bare", "chatty"):
        return _finish(ask, script, _slices(_arguments(tool, script.shape)), tool.name, None)
    text = _text(ask, script.shape, tool)
    stopped_by = min((s for s in ask.stop if s in text), key=text.index, default=None)
    if stopped_by is not None:
        text = text[: text.index(stopped_by)]
    pieces = _slices(text) if tool is not None or _is_json(ask, script.shape) else _words(text, script)
    return _finish(ask, script, pieces, None, stopped_by)


def estimate(*parts: Any) -> int:
    """Input tokens: a quarter of the JSON's characters, at least one."""
    return len(json.dumps(parts, ensure_ascii=False)) // 4 + 1


def _finish(
    ask: Ask, script: Script, pieces: tuple[str, ...], call: str | None, stopped_by: str | None
) -> Answer:
    kept = pieces if ask.max_tokens is None else pieces[: ask.max_tokens]
    finish: Finish = "tool_calls" if call else "stop_sequence" if stopped_by is not None else "stop"
    if len(kept) < len(pieces):
        finish, stopped_by = "length", None
    talk = tuple(f"talk{i} " for i in range(script.talk)) if call else ()
    usage = _usage(script.usage, ask.input_tokens, len(kept) * ask.n)
    thought = THOUGHT if ask.thinking and script.thinks else None
    return Answer(kept, call, finish, stopped_by, usage, talk, thought)


def _usage(kind: UsageKind, prompt: int, completion: int) -> Usage | None:
    if kind == "none":
        return None
    if kind == "cached":
        return Usage(prompt, completion, prompt // 2, prompt // 4)
    if kind in ("unseen", "late"):
        return Usage(prompt, completion, unseen=UNSEEN if kind == "unseen" else 0, late=kind == "late")
    reported = {"true": (prompt, completion), "absurd": (-1, 10**12), "nan": (float("nan"), float("nan"))}
    return Usage(*reported[kind])


def _pick(ask: Ask, shape: Shape) -> Tool | None:
    """The tool to call. A tool result under `auto` gets prose, or an agent would loop for ever."""
    if not ask.tools or ask.choice == "none" or shape == "prose":
        return None
    if ask.choice == "auto" and ask.after_tool:
        return None
    return next((tool for tool in ask.tools if tool.name == ask.choice), ask.tools[0])


def _arguments(tool: Tool, shape: Shape) -> str:
    values: dict[str, Any] = instance({"type": "object"} | tool.schema)
    if shape == "missing_required":
        values.pop(next(iter(tool.schema.get("required") or values), ""), None)
    if shape == "secret":
        values = {next(iter(values), "x"): "SSN 536-90-4399"}
    if shape == "wrong_type" and values:
        name = next((key for key, value in values.items() if not isinstance(value, str)), next(iter(values)))
        values[name] = 3 if isinstance(values[name], str) else json.dumps(values[name])
    text = json.dumps(values, ensure_ascii=False)
    return text[:-1] + ', "broken": }' if shape == "bad_json" else text


def _text(ask: Ask, shape: Shape, tool: Tool | None) -> str:
    if tool is not None:
        call = json.dumps(
            {"name": tool.name, "arguments": json.loads(_arguments(tool, "right"))}, ensure_ascii=False
        )
        shown = {"fenced": f"```json\n{call}\n```", "chatty": f"Let me look that up.\n{call}"}
        return shown.get(shape, call)
    prose = f"upstream answers: {ask.prompt[:40]}"
    return _json(ask.schema or {}, prose, shape) if _is_json(ask, shape) else prose


def _is_json(ask: Ask, shape: Shape) -> bool:
    return ask.schema is not None or shape.startswith("json_")


def _json(schema: Schema, prose: str, shape: Shape) -> str:
    right = json.dumps(instance(schema) if schema else {"answer": prose}, ensure_ascii=False)
    match shape:
        case "json_fenced":
            return f"```json\n{right}\n```"
        case "json_invalid":
            return "Sure, upstream would rather talk about it."
        case "json_wrong_schema":
            return '{"not_in_the_schema": [null]}'
        case "json_missing_brace":
            return right[:-1]
        case _:
            return right


def _words(text: str, script: Script) -> tuple[str, ...]:
    if script.line_kib:
        return ("upstream".ljust(script.line_kib * 1024, "."),) * (script.chunks or 1)
    words = re.findall(r"\S+\s*|\s+", text)
    if script.chunks:
        words = [*words, *(f" word{i}" for i in range(len(words), script.chunks))][: script.chunks]
    return tuple(words)


def _slices(text: str) -> tuple[str, ...]:
    return tuple(text[i : i + 4] for i in range(0, len(text), 4))
