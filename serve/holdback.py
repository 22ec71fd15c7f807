"""Tools on offer: prose goes out as it comes, a tool call is held back until it is whole and valid.

Knows chunks and the verdict. Does not know lanes, time or who takes over.
"""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from serve import verdict
from serve.lane_errors import AnswerInvalid, LaneProtocolError, LaneUnavailable
from serve.suspicion import Suspicion
from serve.wire.openai_answer import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    FunctionDelta,
    ToolCallDelta,
)
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import FunctionCall, ToolCall

# Far above any call; what a lane may make us keep.
MOST_KEPT = 1_000_000
MOST_SPACE = 4096


def applies(request: ChatRequest) -> bool:
    """The answer may be prose or a call, and only its beginning tells. Else it is shown as a whole or as it comes."""
    free = request.tool_choice in (None, "auto") and not request.structured
    return bool(request.tools) and free and request.n in (None, 1)


@dataclass(slots=True)
class _Call:
    """A tool call under way."""

    id: str | None = None
    name: str = ""
    arguments: str = ""

    def grow(self, delta: ToolCallDelta) -> None:
        self.id = self.id or delta.id
        function = delta.function or FunctionDelta()
        self.name = self.name or function.name or ""
        self.arguments += function.arguments or ""

    def whole(self) -> ToolCall:
        """The call; a function without arguments may come with none at all."""
        function = FunctionCall(name=self.name, arguments=self.arguments or "{}")
        return ToolCall(id=self.id or f"call_{uuid.uuid4().hex[:24]}", function=function)


class HeldBack:
    """One stream of one lane. `outcome` says, once the stream has ended, whether a call was mended."""

    def __init__(self, lane: str, request: ChatRequest) -> None:
        self.outcome: Literal["ok", "repaired"] = "ok"
        self._lane, self._request = lane, request
        specs = {tool.function.name: tool.function for tool in request.tools or ()}
        self._suspicion = Suspicion(specs)
        self._text = ""  # content that is still here
        self._waiting: list[ChatChunk] = []  # chunks it belongs to, and those that came between
        self._prose = False  # some content has gone out
        self._refused = False
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._finish: FinishReason | None = None
        self._stopped_by: str | None = None
        self._metered: ChatChunk | None = None  # what the answer cost, as the lane told it last

    async def filtered(self, chunks: AsyncGenerator[ChatChunk, None]) -> AsyncGenerator[ChatChunk, None]:
        """What may be shown of `chunks`. A chunk without choices tells that the lane is alive.

        Raises AnswerInvalid when what was held back is no valid call and cannot be mended.
        """
        last: ChatChunk | None = None
        async with aclosing(chunks):
            async for item in chunks:
                last = item
                out = self._add(item)
                for one in out or [_of(item)]:
                    yield one
        for one in self._close(last):
            yield one

    def _add(self, item: ChatChunk) -> list[ChatChunk]:
        # Some lanes tell it beside the last words, some with every chunk.
        if item.usage or item.usage_doubtful:
            told = {"usage": item.usage, "usage_doubtful": item.usage_doubtful}
            self._metered = _of(item).model_copy(update=told)
        if not item.choices:
            return []
        choice = item.choices[0]
        if len(item.choices) > 1 or choice.index:
            raise LaneProtocolError(self._lane, "more choices than were asked for")
        self._finish = choice.finish_reason or self._finish
        self._stopped_by = choice.stop_reason or self._stopped_by
        self._refused = self._refused or bool(choice.delta.refusal)
        for delta in choice.delta.tool_calls or ():
            self._grow(delta)
        self._text += choice.delta.content or ""
        self._check_size()
        self._waiting.append(_without_call(item))
        return self._released(self._certain())

    def _grow(self, delta: ToolCallDelta) -> None:
        call = self._at.get(delta.index)
        # Some servers number every call 0 and tell them apart by their ids.
        if call is None or (delta.id and call.id and delta.id != call.id):
            call = self._at[delta.index] = _Call()
            self._calls.append(call)
        call.grow(delta)

    def _check_size(self) -> None:
        if len(self._text) + sum(len(call.arguments) for call in self._calls) > MOST_KEPT:
            raise LaneProtocolError(self._lane, "its tool calls do not end")
        if len(self._text) > MOST_SPACE and not self._prose and not self._text.strip():
            raise AnswerInvalid(self._lane, "it says nothing but white space")

    def _certain(self) -> int:
        """Characters of the text that can go now."""
        if self._refused:
            return len(self._text)
        if self._calls:
            return 0
        if not self._prose and not self._text.strip():
            return 0  # nobody has begun to read while only spaces came
        certain = self._suspicion.certain(self._text, begun=self._prose)
        if not self._prose and not self._text[:certain].strip():
            self._suspicion = Suspicion({t.function.name: t.function for t in self._request.tools or ()})
            return 0
        return certain

    def _released(self, count: int) -> list[ChatChunk]:
        """The waiting chunks with the first `count` characters; the rest waits on."""
        if not (count or self._prose or self._refused):
            return []
        out: list[ChatChunk] = []
        self._text = self._text[count:]
        while self._waiting:
            item = self._waiting[0]
            content = item.choices[0].delta.content or ""
            if len(content) > count:
                if count:
                    out.append(_with_content(item, content[:count]))
                    self._waiting[0] = _with_content(item, content[count:], first=False)
                break
            count -= len(content)
            out.append(self._waiting.pop(0))
        self._prose = True
        return [one for one in out if _says(one)]

    def _close(self, last: ChatChunk | None) -> list[ChatChunk]:
        if last is None or self._finish is None:
            raise LaneUnavailable(self._lane, "the stream ended without a finish reason")
        if self._prose and not self._text and not self._calls:
            return [_of(last, self._ended(self._finish)), *self._tail()]
        judged = verdict.judge(self._request, self._whole(last))
        if judged.outcome == "invalid":
            raise AnswerInvalid(self._lane, judged.fault).of(judged.answer)
        self.outcome = "repaired" if judged.outcome == "repaired" else "ok"
        [choice] = judged.answer.choices
        if choice.message.content is None:  # the text was the call
            self._waiting = [_with_content(item, None) for item in self._waiting]
            self._text = ""
        return [*self._ending(last, choice), *self._tail()]

    def _tail(self) -> list[ChatChunk]:
        return [self._metered] if self._metered else []

    def _ending(self, last: ChatChunk, choice: Choice) -> list[ChatChunk]:
        self._prose = True
        out = self._released(len(self._text))
        calls = [
            ToolCallDelta(
                index=i,
                id=call.id,
                type="function",
                function=FunctionDelta(name=call.function.name, arguments=call.function.arguments),
            )
            for i, call in enumerate(choice.message.tool_calls or ())
        ]
        if calls:
            out.append(_of(last, ChunkChoice(delta=Delta(tool_calls=calls))))
        return [*out, _of(last, self._ended(choice.finish_reason))]

    def _ended(self, reason: FinishReason | None) -> ChunkChoice:
        return ChunkChoice(delta=Delta(), finish_reason=reason, stop_reason=self._stopped_by)

    def _whole(self, last: ChatChunk) -> ChatCompletion:
        """What is still here as an answer to judge. Prose that has gone out is beyond judgement."""
        message = AnswerMessage(
            content=self._text or None, tool_calls=[call.whole() for call in self._calls] or None
        )
        choice = Choice(message=message, finish_reason=self._finish)
        return ChatCompletion(id=last.id, created=last.created, model=last.model, choices=[choice])


def _of(item: ChatChunk, *choices: ChunkChoice) -> ChatChunk:
    return ChatChunk(id=item.id, created=item.created, model=item.model, choices=list(choices))


def _without_call(item: ChatChunk) -> ChatChunk:
    delta = item.choices[0].delta.model_copy(update={"tool_calls": None})
    return _of(item, item.choices[0].model_copy(update={"delta": delta, "finish_reason": None}))


def _with_content(item: ChatChunk, content: str | None, *, first: bool = True) -> ChatChunk:
    """The chunk with only this content; what else it says goes with the first part."""
    [choice] = item.choices
    if not first:
        return _of(item, ChunkChoice(delta=Delta(content=content)))
    delta = choice.delta.model_copy(update={"content": content})
    return _of(item, choice.model_copy(update={"delta": delta}))


def _says(item: ChatChunk) -> bool:
    [choice] = item.choices
    return bool(choice.delta.role) or choice.delta.says_something
