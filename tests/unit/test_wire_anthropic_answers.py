"""Anthropic answers and streams as chat completions; the events are the SDK's own types."""

import json
from typing import Any, get_args

import pytest
from anthropic.types import Message, RawMessageStreamEvent, StopReason
from pydantic import TypeAdapter

from serve.wire import anthropic_answer as wire
from serve.wire.anthropic_answer import FINISH, StreamTranslator, completion
from serve.wire.openai_answer import ChatChunk, PromptDetails, Usage

EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
        "usage": {"input_tokens": 25, "output_tokens": 1},
    },
}  # fmt: skip
STOP: dict[str, Any] = {"type": "message_stop"}


def block(index: int, kind: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    opened = {"type": "content_block_start", "index": index, "content_block": kind}
    grown = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [opened, *grown, {"type": "content_block_stop", "index": index}]


def text(index: int, *parts: str) -> list[dict[str, Any]]:
    return block(
        index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": part} for part in parts)
    )


def use(index: int, id: str, name: str, *parts: str) -> list[dict[str, Any]]:
    deltas = ({"type": "input_json_delta", "partial_json": part} for part in parts)
    return block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, *deltas)


def end(reason: str | None, tokens: int = 7) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}}


def streamed(*events: dict[str, Any]) -> tuple[list[ChatChunk], StreamTranslator]:
    translator = StreamTranslator("claude-lane", 5)
    return [c for event in events for c in translator.chunks(received(event))], translator


def received(event: dict[str, Any]) -> wire.Event:
    """The event as the lane reads it, after the SDK agreed that there is such an event."""
    return wire.event(EVENT.validate_python(event).model_dump_json())


def test_a_text_stream_is_role_then_text_then_finish_then_usage() -> None:
    chunks, translator = streamed(START, *text(0, "Hel", "lo"), end("end_turn"), STOP)
    assert [c.choices[0].delta.role for c in chunks if c.choices] == ["assistant", None, None, None]
    assert [c.choices[0].delta.content for c in chunks if c.choices] == ["", "Hel", "lo", None]
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None, None, None, "stop"]
    assert [c.says_something for c in chunks] == [False, True, True, False, False]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 25,
        "completion_tokens": 7,
        "total_tokens": 32,
    }
    assert {(c.id, c.created, c.model) for c in chunks} == {("msg_1", 5, "claude-lane")}
    assert translator.finished


def test_what_the_end_of_a_stream_counts_stands_before_what_its_start_did() -> None:
    """The counts of `message_delta` are cumulative; what it leaves out holds as it was said before."""
    read = {"input_tokens": 40, "cache_read_input_tokens": 30, "cache_creation_input_tokens": None}
    last = end("end_turn")
    chunks, _ = streamed(START, *text(0, "a"), last | {"usage": last["usage"] | read}, STOP)
    assert chunks[-1].usage == Usage(
        prompt_tokens=70,
        completion_tokens=7,
        total_tokens=77,
        prompt_tokens_details=PromptDetails(cached_tokens=30),
    )


def test_input_that_is_counted_on_the_way_stands_at_the_end() -> None:
    first = end(None, 3)
    first = first | {"usage": first["usage"] | {"input_tokens": 40}}
    chunks, _ = streamed(START, *text(0, "a"), first, end("end_turn"), STOP)
    assert chunks[-1].usage == Usage(prompt_tokens=40, completion_tokens=7, total_tokens=47)


def test_an_end_without_counts_says_nothing_of_the_output() -> None:
    """What `message_start` said of it is a beginning."""
    bare = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    translator = StreamTranslator("claude-lane", 5)
    chunks = [c for raw in (START, bare) for c in translator.chunks(wire.event(json.dumps(raw)))]
    assert (chunks[-1].usage, chunks[-1].usage_doubtful) == (None, True)


def test_tool_calls_are_numbered_from_nought_whatever_blocks_stand_between() -> None:
    chunks, _ = streamed(
        START, *text(0, "let me see"), *use(1, "t1", "weather", "", '{"city":', ' "Bern"}'),
        *block(2, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "hm"}),
        *use(3, "t2", "news", '{"n": 1}'), end("tool_use"), STOP,
    )  # fmt: skip
    deltas = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or []]
    assert [(d.index, d.id) for d in deltas if d.id] == [(0, "t1"), (1, "t2")]
    assert [d.function.name for d in deltas if d.function and d.function.name] == ["weather", "news"]
    arguments = {
        i: "".join((d.function and d.function.arguments) or "" for d in deltas if d.index == i)
        for i in (0, 1)
    }
    assert {i: json.loads(text) for i, text in arguments.items()} == {0: {"city": "Bern"}, 1: {"n": 1}}
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "tool_calls"
    assert "hm" not in "".join(c.model_dump_json() for c in chunks)


def test_a_stream_is_finished_only_by_its_last_event() -> None:
    _, translator = streamed(START, *text(0, "a"), end("end_turn"))
    assert not translator.finished


def test_a_message_delta_without_a_stop_reason_does_not_end_the_answer() -> None:
    chunks, _ = streamed(START, *text(0, "a"), end(None, 3), end("max_tokens", 7), STOP)
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "length"
    ]


def test_an_event_of_a_kind_we_do_not_know_says_nothing() -> None:
    event = wire.event('{"type": "ping"}')
    assert list(StreamTranslator("m", 1).chunks(event)) == []


@pytest.mark.parametrize("tokens", [-1, 10**12])
def test_absurd_usage_is_left_out_and_the_answer_stands(tokens: int) -> None:
    chunks, _ = streamed(START, *text(0, "a"), end("end_turn", tokens), STOP)
    assert chunks[-1].usage is None
    assert chunks[1].choices[0].delta.content == "a"
    assert completion(message([{"type": "text", "text": "a"}], tokens=tokens)).usage is None


def message(content: list[dict[str, Any]], reason: str = "end_turn", tokens: int = 7) -> wire.Message:
    raw = START["message"] | {"content": content, "stop_reason": reason}
    raw |= {"usage": {"input_tokens": 25, "output_tokens": tokens}}
    return wire.message(Message.model_validate(raw).model_dump_json())


def test_a_whole_answer_has_its_text_calls_and_usage() -> None:
    made = completion(message(
        [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "let me "}, {"type": "text", "text": "see"},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Zürich", "n": [1, None]}},
            {"type": "tool_use", "id": "t2", "name": "news", "input": {}},
        ],
        "tool_use",
    ))  # fmt: skip
    [choice] = made.choices
    assert (made.id, made.model) == ("msg_1", "claude")
    assert choice.message.content == "let me see"
    assert choice.finish_reason == "tool_calls"
    calls = [
        (c.id, c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls or []
    ]
    assert calls == [("t1", "weather", {"city": "Zürich", "n": [1, None]}), ("t2", "news", {})]
    assert made.usage is not None
    assert made.usage.total_tokens == 32
    assert "hm" not in made.model_dump_json()


@pytest.mark.parametrize("reason", get_args(StopReason))
def test_every_stop_reason_of_the_sdk_has_its_finish_reason(reason: str) -> None:
    assert reason in FINISH
    assert (
        completion(message([{"type": "text", "text": "a"}], reason)).choices[0].finish_reason
        == FINISH[reason]
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_the_finish_reason_means_the_same_in_a_stream(reason: str, finish: str) -> None:
    chunks, _ = streamed(START, *text(0, "a"), end(reason), STOP)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == finish
