"""Chat answers to Anthropic Messages: whole, and as events that the official SDK can put together."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.errors import BudgetExceeded, HttpError, NoLaneAvailable, Unauthorized
from serve.lane_errors import LaneInterrupted
from serve.surfaces import messages_error
from serve.surfaces.messages import MessagesExchange
from serve.surfaces.messages_answer import Asked
from serve.wire.openai_answer import ChatChunk, ChatCompletion, as_chunks, completion
from serve.wire.sse import Decoder
from tests.support.nightly import cases

USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


class Paid:
    cost = 1500


def whole(message: dict[str, Any], finish: str = "stop", **more: Any) -> ChatCompletion:
    choice = {"message": {"role": "assistant"} | message, "finish_reason": finish} | more
    document = {"id": "chatcmpl-1", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    return completion("lane", json.dumps(document))


def call(id: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def told(answer: ChatCompletion, asked: Asked | None = None) -> Any:
    return MessagesExchange(b"", asked or Asked()).whole(answer)


def events(
    chunks: Sequence[ChatChunk], asked: Asked | None = None, fault: Exception | None = None
) -> list[Any]:
    """The events with data, as the wire has them."""

    class Chunks:
        async def __aiter__(self) -> AsyncIterator[ChatChunk]:
            for chunk in chunks:
                yield chunk
            if fault is not None:
                raise fault

    async def collect() -> bytes:
        exchange: Any = MessagesExchange(b"", asked or Asked())
        return b"".join([part async for part in exchange.events(Chunks(), Paid())])

    found = Decoder().feed(asyncio.run(collect()))
    documents = [json.loads(event.data) for event in found if event.data]
    assert [event.name for event in found if event.data] == [document["type"] for document in documents]
    return documents


def assembled(documents: list[Any]) -> Any:
    """The message that the events stand for, put together the way clients do it."""
    message = dict(documents[0]["message"])
    blocks: list[Any] = []
    text: list[str] = []
    for one in documents[1:]:
        match one["type"]:
            case "content_block_start":
                assert one["index"] == len(blocks)
                blocks.append(dict(one["content_block"]))
                text.append("")
            case "content_block_delta":
                assert one["index"] == len(blocks) - 1
                text[-1] += next(value for key, value in one["delta"].items() if key != "type")
            case "content_block_stop":
                kind = blocks[-1]["type"]
                field = {"tool_use": "input"}.get(kind, kind)
                blocks[-1][field] = json.loads(text[-1] or "{}") if kind == "tool_use" else text[-1]
            case "message_delta":
                message |= one["delta"] | {"usage": one["usage"]}
    return message | {"content": blocks}


ANSWERS = [
    whole({"content": "hello"}),
    whole({"content": None, "tool_calls": [call("a", '{"x": 1}'), call("b", "{}")]}, "tool_calls"),
    whole({"content": "I look.", "tool_calls": [call("a", '{"x": [1]}')]}, "tool_calls"),
    whole({"content": "hel", "reasoning_content": "hm"}, "length"),
    whole({"refusal": "no"}, "content_filter"),
    whole({"content": "up to"}, stop_reason="END"),
    whole({"content": "up to"}, stop_reason="made up"),
    whole({"content": ""}, "length"),
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("thinking", [False, True])
def test_a_stream_says_what_the_whole_says(answer: ChatCompletion, thinking: bool) -> None:
    asked = Asked(thinking, frozenset({"END"}))
    documents = events(as_chunks(answer, include_usage=True), asked)
    assert assembled(documents) == told(answer, asked)
    assert [documents[0]["type"], documents[-1]["type"]] == ["message_start", "message_stop"]


def test_blocks_and_reasons() -> None:
    asked = Asked(True, frozenset({"END"}))
    reasons = [told(answer, asked)["stop_reason"] for answer in ANSWERS]
    assert reasons == ["end_turn", "tool_use", "tool_use", "max_tokens", "refusal", "stop_sequence", "end_turn",
                       "max_tokens"]  # fmt: skip
    assert told(ANSWERS[5], asked)["stop_sequence"] == "END"
    assert [block["type"] for block in told(ANSWERS[3], asked)["content"]] == ["thinking", "text"]
    assert [block["type"] for block in told(ANSWERS[3])["content"]] == ["text"]
    assert told(ANSWERS[1])["content"][0] == {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}


def test_cached_tokens_are_counted_apart() -> None:
    usage = USAGE | {"prompt_tokens_details": {"cached_tokens": 6}}
    answer = ANSWERS[0].model_copy(update={"usage": ANSWERS[0].usage.model_validate(usage)})  # type: ignore[union-attr]
    found = told(answer)["usage"]
    assert (found["input_tokens"], found["cache_read_input_tokens"], found["output_tokens"]) == (4, 6, 4)


def test_thoughts_nobody_asked_for_are_pings() -> None:
    """The client sees that the lane is alive, and nothing of what it thinks."""
    documents = events(as_chunks(ANSWERS[3], include_usage=True))
    assert [one["type"] for one in documents][1] == "ping"
    assert "hm" not in json.dumps(documents)


@pytest.mark.parametrize("fault", [LaneInterrupted("lane", "cut"), RuntimeError("a bug")])
def test_what_breaks_off_is_one_error_event_and_no_end(fault: Exception) -> None:
    documents = events(as_chunks(ANSWERS[0], include_usage=True)[:1], fault=fault)
    kinds = [one["type"] for one in documents]
    assert kinds[-1] == "error"
    assert kinds.count("error") == 1
    assert "message_stop" not in kinds
    assert "bug" not in json.dumps(documents)


PIECE = st.fixed_dictionaries(
    {},
    optional={
        "content": st.text(max_size=4),
        "reasoning_content": st.text(max_size=4),
        "tool_calls": st.lists(
            st.builds(lambda i, a: {"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": a}},
                      st.integers(0, 2), st.text(max_size=3)), max_size=2),
    },
)  # fmt: skip


@settings(max_examples=cases(100, 5000), deadline=None)
@given(st.lists(PIECE, max_size=8), st.booleans())
def test_the_order_of_events_is_kept_whatever_a_lane_says(pieces: list[Any], thinking: bool) -> None:
    """Blocks open and close one after the other; the end is a whole answer or one error."""
    made = [{"id": "x", "created": 1, "model": "m", "choices": [{"delta": piece}]} for piece in pieces]
    documents = events([ChatChunk.model_validate(one) for one in made], Asked(thinking))
    kinds = [one["type"] for one in documents if one["type"] != "ping"]
    if not pieces:
        return
    assert kinds[0] == "message_start"
    assert kinds[-1] in ("message_stop", "error")
    follows = {
        "message_start": {"content_block_start", "message_delta", "error"},
        "content_block_start": {"content_block_delta", "content_block_stop", "error"},
        "content_block_delta": {"content_block_delta", "content_block_stop", "error"},
        "content_block_stop": {"content_block_start", "message_delta", "error"},
        "message_delta": {"message_stop"},
    }
    assert all(after in follows[before] for before, after in pairwise(kinds))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unauthorized(), "authentication_error"),
        (BudgetExceeded("no money"), "rate_limit_error"),
        (NoLaneAvailable("nobody"), "overloaded_error"),
        (HttpError("a bug"), "api_error"),
    ],
)
def test_an_error_has_anthropics_type_and_our_code(error: HttpError, kind: str) -> None:
    body: Any = messages_error.on("/v1/messages/count_tokens", error)
    assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", kind, error.code)
    assert messages_error.on("/v1/messagesque", error) == error.body()
