"""OpenAI's dialect as servers really speak it: no answer is lost to their habits, and clients see OpenAI's shape."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from serve.lane_errors import LaneProtocolError, LaneUnavailable
from serve.wire.openai_answer import NOT_FOR_CLIENTS, Metered, chunk, completion

# Azure OpenAI, before the first word and where its filter runs beside the model.
PROMPT_FILTER = {
    "choices": [], "created": 0, "id": "", "model": "", "object": "",
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
}  # fmt: skip
ANSWER_FILTER = {
    "choices": [{"content_filter_offsets": {"check_offset": 44}, "content_filter_results": {}, "finish_reason": None,
                 "index": 0}],
    "created": 0, "id": "", "model": "", "object": "", "usage": None,
}  # fmt: skip


def a_chunk(**choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {"content": "x"}, "finish_reason": None} | choice]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def an_answer(message: dict[str, Any] | None = None, **choice: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "x"} | (message or {})
    choices = [{"index": 0, "message": said, "finish_reason": "stop"} | choice]
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}


def a_call(**fields: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}} | fields


def sent(answer: Metered) -> dict[str, Any]:
    """What a client gets, in a shape that the official client declares."""
    document = answer.model_dump(mode="json", exclude_none=True, exclude=NOT_FOR_CLIENTS)
    kind = ChatCompletionChunk if answer.__class__.__name__ == "ChatChunk" else ChatCompletion
    # The official types want nulls spelled out, which its clients do not.
    kind.model_validate(answer.model_dump(mode="json", exclude=NOT_FOR_CLIENTS), strict=True)
    return document


@pytest.mark.parametrize(
    ("document", "delta"),
    [
        pytest.param(PROMPT_FILTER, None, id="azure-prompt-filter"),
        pytest.param(ANSWER_FILTER, {}, id="azure-answer-filter"),
        pytest.param(a_chunk(delta=None), {}, id="null-delta"),
        pytest.param(a_chunk() | {"object": 5}, {"content": "x"}, id="object-a-number"),
        pytest.param(a_chunk() | {"created": 1.75}, {"content": "x"}, id="fractional-time"),
        pytest.param(a_chunk(delta={"role": "", "content": "x"}), {"content": "x"}, id="empty-role"),
        pytest.param(a_chunk(finish_reason=""), {"content": "x"}, id="empty-finish"),
        pytest.param(
            a_chunk(delta={"tool_calls": [{"index": 0, "type": "", "function": {"arguments": "x"}}]}),
            {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]},
            id="empty-type-of-a-call",
        ),
    ],
)
def test_what_nobody_reads_costs_no_stream(document: dict[str, Any], delta: dict[str, Any] | None) -> None:
    read = chunk("lane", json.dumps(document))
    assert [one.delta.model_dump(exclude_none=True) for one in read.choices] == (
        [] if delta is None else [delta]
    )
    assert [one.finish_reason for one in read.choices] == [None] * len(read.choices)
    assert (sent(read)["object"], read.created) == ("chat.completion.chunk", int(document["created"]))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(an_answer() | {"object": ""}, id="object"),
        pytest.param(an_answer() | {"created": 1.75}, id="fractional-time"),
        pytest.param(an_answer({"role": ""}), id="empty-role"),
        pytest.param(an_answer({"role": None}), id="null-role"),
        pytest.param(an_answer(finish_reason=""), id="empty-finish"),
        pytest.param(an_answer(finish_reason=None), id="null-finish"),
    ],
)
def test_what_nobody_reads_costs_no_whole_answer(document: dict[str, Any]) -> None:
    assert sent(completion("lane", json.dumps(document))) == an_answer()


def test_a_call_of_no_type_is_a_call_of_a_function() -> None:
    document = an_answer({"tool_calls": [a_call(type="")]}, finish_reason="tool_calls")
    told = sent(completion("lane", json.dumps(document)))
    assert told["choices"][0]["message"]["tool_calls"] == [a_call()]


@pytest.mark.parametrize(
    ("said", "told"),
    [("eos", "stop"), ("end_turn", "stop"), ("model_length", "length"), ("max_tokens", "length")],
)
def test_an_end_by_another_name_is_an_end(said: str, told: str) -> None:
    assert (
        sent(completion("lane", json.dumps(an_answer(finish_reason=said))))["choices"][0]["finish_reason"]
        == told
    )
    assert sent(chunk("lane", json.dumps(a_chunk(finish_reason=said))))["choices"][0]["finish_reason"] == told


@pytest.mark.parametrize("said", ["abort", "error", "insufficient_system_resource"])
def test_an_answer_that_was_given_up_is_none(said: str) -> None:
    with pytest.raises(LaneUnavailable, match="gave its answer up"):
        completion("lane", json.dumps(an_answer(finish_reason=said)))
    with pytest.raises(LaneUnavailable, match="gave its answer up"):
        chunk("lane", json.dumps(a_chunk(finish_reason=said)))


@pytest.mark.parametrize(
    "choice", [{"finish_reason": 5}, {"delta": {"role": "user"}}, {"delta": "x"}, {"delta": {"content": 5}}]
)
def test_what_is_read_is_still_validated(choice: dict[str, Any]) -> None:
    with pytest.raises(LaneProtocolError):
        chunk("lane", json.dumps(a_chunk(**choice)))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"reasoning": "hm"}, id="new-name"),
        pytest.param({"reasoning_content": "hm"}, id="old-name"),
        pytest.param({"reasoning": "hm", "reasoning_content": "hm"}, id="both"),
        pytest.param({"reasoning": "hm", "reasoning_content": None}, id="old-name-null"),
        pytest.param({"reasoning": None, "reasoning_content": "hm"}, id="new-name-null"),
        pytest.param(
            {"reasoning": {"effort": "low"}, "reasoning_content": "hm"}, id="new-name-something-else"
        ),
    ],
)
def test_a_thought_is_heard_once_by_either_name(said: dict[str, Any]) -> None:
    item = chunk("lane", json.dumps(a_chunk(delta=said)))
    assert item.says_something
    assert sent(item)["choices"][0]["delta"] == {"reasoning_content": "hm"}
    whole = completion("lane", json.dumps(an_answer(said)))
    told = sent(whole)["choices"][0]["message"]
    assert told == {"role": "assistant", "content": "x", "reasoning_content": "hm"}
