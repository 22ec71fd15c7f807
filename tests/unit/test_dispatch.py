"""Attempts along a chain: who is asked, for how long, when nobody may take over, and what is left behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from serve.config import Config
from serve.decision import Decision, Reason
from serve.dispatch import Answer, Dispatcher, Job, body_of
from serve.egress import Permit
from serve.lane_errors import (
    LaneEgressDenied,
    LaneInterrupted,
    LaneMisconfigured,
    LaneOverloaded,
    LaneRateLimited,
    LaneRejected,
    LaneUnavailable,
)
from serve.lanes.base import LaneCall, Piece
from serve.lanes.load import LaneLoad
from serve.signals.readings import Sensitivity
from serve.wire.openai_answer import ChatChunk
from serve.wire.openai_chat import parse

FOREVER = 3600.0
SHORT = 0.15


def document(choice: dict[str, Any] | None) -> str:
    choices = [] if choice is None else [{"index": 0} | choice]
    return json.dumps({"id": "1", "created": 1, "model": "m", "choices": choices})


ROLE = document({"delta": {"role": "assistant", "content": ""}})
END = document({"delta": {}, "finish_reason": "stop"})
USAGE = json.dumps({"id": "1", "created": 1, "model": "m", "choices": [], "usage": {
    "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})  # fmt: skip


def says(text: str) -> str:
    return document({"delta": {"content": text}})


def whole(text: str | None, **message: Any) -> str:
    return document({"message": {"role": "assistant", "content": text} | message, "finish_reason": "stop"})


@dataclass(slots=True)
class Lane:
    """Plays a script per call, the last one for ever: texts are yielded, numbers slept, errors raised.

    `takes_s` passes before it takes a call.
    """

    script: Sequence[str | float | BaseException]
    later: list[Sequence[str | float | BaseException]] = field(default_factory=list)
    takes_s: float = 0.0
    calls: list[LaneCall] = field(default_factory=list)
    closed: int = 0
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        self.calls.append(call)
        script, self.script = self.script, self.later.pop(0) if self.later else self.script
        try:
            if self.takes_s:
                self.waiting.set()
                await asyncio.sleep(self.takes_s)
            yield []
            for step in script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    self.waiting.set()
                    await asyncio.sleep(step)
                else:
                    yield [step]
        finally:
            self.closed += 1


NAMES = ("a", "b", "c")


def config(**dispatch: Any) -> Config:
    """An engine's lane, then two endpoints."""
    http = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9", "location": "device"}
    kinds: list[dict[str, Any]] = [{"kind": "engine", "engine": "small"}, http, http]
    lanes = [kind | {"name": name, "context": 9} for name, kind in zip(NAMES, kinds, strict=True)]
    rules = [{"name": "default", "prefer": ["a"], "because": "the only rule"}]
    engines = {"small": {"model": "m"}}
    raw = {"engines": engines, "lanes": lanes, "policy": {"rules": rules}, "dispatch": dispatch}
    return Config.model_validate(raw)


class Scene:
    """A dispatcher over lanes that play scripts; the clock of cooldowns stands still."""

    def __init__(self, *scripts: Sequence[str | float | BaseException], **dispatch: Any) -> None:
        settings = config(**dispatch)
        self.now = 0.0
        self.load = LaneLoad(settings, clock=lambda: self.now)
        self.lanes = {name: Lane(script) for name, script in zip(NAMES, scripts, strict=False)}
        self._dispatcher = Dispatcher(self.lanes, self.load, settings)

    async def run(
        self,
        *,
        deadline: float = FOREVER,
        chain: tuple[str, ...] | None = None,
        spilled_from: str | None = None,
        **fields: Any,
    ) -> Answer:
        raw = {"model": "auto", "messages": [{"role": "user", "content": "x"}]} | fields
        request = parse(json.dumps(raw).encode())
        permit = Permit(Sensitivity.PUBLIC, frozenset({"device"}))
        decision = Decision(
            chain or tuple(self.lanes), permit, (Reason("r", "because"),), (), "v", spilled_from
        )
        late = asyncio.get_running_loop().time() + deadline
        return await self._dispatcher.run(Job(request, body_of(request), decision, "dec_1", late))

    @property
    def asked(self) -> list[str]:
        return [name for name, lane in self.lanes.items() if lane.calls]

    def assert_nothing_is_left(self) -> None:
        """Every call that began has ended, and every lane was closed as often as it was called."""
        assert [self.load.in_flight(name) for name in NAMES] == [0, 0, 0]
        assert [lane.closed for lane in self.lanes.values()] == [
            len(lane.calls) for lane in self.lanes.values()
        ]


async def read(answer: Answer) -> list[ChatChunk]:
    assert answer.chunks is not None
    return [chunk async for chunk in answer.chunks]


async def drain(chunks: AsyncIterator[ChatChunk], seen: list[ChatChunk]) -> None:
    async for chunk in chunks:
        seen.append(chunk)


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def trail(answer: Answer) -> list[tuple[str, str]]:
    return [(attempt.lane, attempt.outcome) for attempt in answer.attempts]


BEFORE = [
    pytest.param([LaneUnavailable("a", "gone")], "unavailable", id="unavailable"),
    pytest.param([LaneRateLimited("a", "429", 7)], "rate_limited", id="rate-limited"),
    pytest.param([LaneOverloaded("a", "full")], "overloaded", id="overloaded"),
    pytest.param([LaneRejected("a", "no")], "rejected", id="rejected"),
    pytest.param([LaneMisconfigured("a", "key")], "misconfigured", id="misconfigured"),
    pytest.param([LaneEgressDenied("a", "gate")], "egress_denied", id="egress-denied"),
    pytest.param(["{not json"], "protocol_error", id="not-json"),
    pytest.param([FOREVER], "timeout", id="silent"),
]
BEFORE_A_STREAM = [
    *BEFORE,
    pytest.param([], "invalid", id="nothing"),
    pytest.param([ROLE, LaneUnavailable("a", "gone")], "unavailable", id="dies-after-its-role"),
    pytest.param([ROLE, END], "invalid", id="ends-without-content"),
    pytest.param([ROLE, FOREVER], "timeout", id="silent-after-its-role"),
    pytest.param([TimeoutError()], "timeout", id="a-time-out-of-its-own"),
]
BEFORE_A_WHOLE = [
    *BEFORE,
    pytest.param([], "protocol_error", id="nothing"),
    pytest.param([whole("")], "invalid", id="empty"),
]


@pytest.mark.parametrize(("script", "outcome"), BEFORE_A_WHOLE)
async def test_a_lane_that_fails_hands_over_to_the_next(script: Any, outcome: str) -> None:
    scene = Scene(script, [whole("hello")], unary_s=SHORT)
    answer = await scene.run()
    assert answer.whole is not None
    assert answer.whole.choices[0].message.content == "hello"
    assert trail(answer) == [("a", outcome), ("b", "ok")]
    scene.assert_nothing_is_left()


@pytest.mark.parametrize(("script", "outcome"), BEFORE_A_STREAM)
async def test_a_stream_that_fails_before_its_first_word_is_taken_over_unseen(
    script: Any, outcome: str
) -> None:
    scene = Scene(script, [ROLE, says("hel"), says("lo"), END], first_token_s=SHORT)
    answer = await scene.run(stream=True)
    chunks = await read(answer)
    assert text_of(chunks) == "hello"
    assert [c.choices[0].delta.role for c in chunks].count("assistant") == 1
    assert trail(answer) == [("a", outcome), ("b", "ok")]
    scene.assert_nothing_is_left()


async def test_lanes_are_asked_in_the_order_of_the_chain_and_only_until_one_answers() -> None:
    scene = Scene([LaneRejected("a", "no")], [whole("hello")], [whole("never")])
    await scene.run()
    assert scene.asked == ["a", "b"]
    [first], [second] = scene.lanes["a"].calls, scene.lanes["b"].calls
    assert first.body == second.body
    assert (first.stream, first.permit, first.decision_id) == (second.stream, second.permit, "dec_1")


AFTER: list[Any] = [
    pytest.param([LaneUnavailable("a", "gone")], id="dies"),
    pytest.param(["{not json"], id="garbage"),
    pytest.param([], id="ends-without-a-finish-reason"),
    pytest.param([FOREVER], id="falls-silent"),
]


@pytest.mark.parametrize("rest", AFTER)
async def test_after_the_first_word_no_other_lane_is_asked(rest: list[Any]) -> None:
    scene = Scene([ROLE, says("hel"), *rest], [ROLE, says("never"), END], idle_s=SHORT)
    answer = await scene.run(stream=True)
    seen: list[ChatChunk] = []
    assert answer.chunks is not None
    with pytest.raises(LaneInterrupted) as error:
        await drain(answer.chunks, seen)
    assert text_of(seen) == "hel"
    assert error.value.lane == "a"
    assert scene.asked == ["a"]
    scene.assert_nothing_is_left()


PERSON = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "required": ["a"]}},
}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALL = {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        pytest.param({"response_format": PERSON}, whole('{"a": 1}'), id="structure"),
        pytest.param({"tools": TOOLS, "tool_choice": "required"}, whole(None, **CALL), id="tools"),
    ],
)  # fmt: skip
async def test_what_must_be_valid_as_a_whole_is_judged_before_a_word_is_streamed(
    fields: dict[str, Any], good: str
) -> None:
    scene = Scene([whole("I cannot.")], [good])
    answer = await scene.run(stream=True, **fields)
    chunks = await read(answer)
    assert trail(answer)[0] == ("a", "invalid")
    assert [lane.calls[0].stream for lane in scene.lanes.values()] == [False, False]
    assert chunks[0].says_something
    assert [c.choices[0].delta.role for c in chunks].count("assistant") == 1
    scene.assert_nothing_is_left()


@pytest.mark.parametrize("wanted", [True, False])
async def test_usage_is_streamed_only_to_those_who_asked(wanted: bool) -> None:
    scene = Scene([ROLE, says("a"), END, USAGE])
    chunks = await read(await scene.run(stream=True, stream_options={"include_usage": wanted}))
    assert [chunk.usage is not None for chunk in chunks] == [False] * 3 + [True] * wanted
