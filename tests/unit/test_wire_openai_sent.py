"""What of a request goes on to a lane, and what of a lane's answer goes on to the client."""

import json
from typing import Any

import pytest

from serve.lane_errors import LaneProtocolError
from serve.lanes.openai import in_its_words
from serve.wire.openai_answer import ChatCompletion, as_chunks, chunk, completion
from serve.wire.openai_chat import ChatRequest, parse
from serve.wire.openai_messages import Wire

SCHEMA = {"type": "object", "properties": {"a": {"const": None, "default": None, "enum": [None, 1.5, "x"]}}}
WHOLE: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "be brief", "name": "boss"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "name": "ada", "content": [
            {"type": "text", "text": "what is this? \U0001f600 \u0000"},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ]},
        {"role": "assistant", "content": None, "name": "bot", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
        {"role": "tool", "content": "it is a cat", "tool_call_id": "call_1"},
        {"role": "assistant", "content": [{"type": "text", "text": "no"}, {"type": "refusal", "refusal": "never"}],
         "refusal": "no"},
        {"role": "user", "content": "why?"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True, "description": "d"}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "description": "d", "schema": SCHEMA, "strict": True}},
    "max_tokens": 10, "max_completion_tokens": 11, "temperature": 0.5, "top_p": 0.9, "presence_penalty": -1.0,
    "frequency_penalty": 1.0, "n": 2, "stop": ["a", "b"], "seed": -5, "logprobs": True, "top_logprobs": 3, "user": "u1",
    "top_k": 40, "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
}  # fmt: skip
HERE_ONLY = {"model": "auto", "stream": True, "stream_options": {"include_usage": True}}
STRANGERS = {
    "api_base": "http://evil", "base_url": "http://evil", "extra_headers": {"a": "b"}, "extra_body": {}, "metadata": {},
    "chat_template": "{{x}}", "chat_template_kwargs": {}, "guided_regex": "(a+)+", "guided_json": {}, "best_of": 9,
    "prompt_embeds": "AA==", "mm_processor_kwargs": {}, "lora": "x", "store": True, "logit_bias": {"1": 1},
    "echo": True,
}  # fmt: skip


def without_nulls(value: Any) -> Any:
    """Messages without the fields that are null: those are left out on the way."""
    return [{key: item for key, item in message.items() if item is not None} for message in value]


def test_every_known_field_goes_on_as_it_came() -> None:
    sent = parse(json.dumps(WHOLE | HERE_ONLY).encode()).sent()
    assert sent == WHOLE | {"messages": without_nulls(WHOLE["messages"])}
    assert parse(json.dumps(sent | HERE_ONLY).encode()) == parse(json.dumps(WHOLE | HERE_ONLY).encode())


def test_the_round_trip_above_covers_every_field_there_is() -> None:
    covered = (
        WHOLE.keys() | HERE_ONLY.keys() | {"functions", "cache_control"}
    )  # tests/http/test_messages_cache.py
    assert set(ChatRequest.model_fields) == covered, "a new field needs its place in WHOLE"


@pytest.mark.parametrize("name", sorted(STRANGERS))
def test_an_unknown_field_is_dropped_at_the_top(name: str) -> None:
    sent = parse(json.dumps(WHOLE | {"model": "auto", name: STRANGERS[name]}).encode()).sent()
    assert name not in sent


def test_an_unknown_field_is_dropped_at_every_depth() -> None:
    def strange(value: Any) -> Any:
        if isinstance(value, list):
            return [strange(item) for item in value]
        if not isinstance(value, dict) or value == SCHEMA:
            return value
        return {key: strange(item) for key, item in value.items()} | {"stranger": {"x": 1}}

    sent = parse(json.dumps(strange(WHOLE | HERE_ONLY)).encode()).sent()
    assert sent == parse(json.dumps(WHOLE | HERE_ONLY).encode()).sent()
    assert "stranger" not in json.dumps(sent)


def test_a_doubled_key_counts_once_and_what_is_read_is_what_is_sent() -> None:
    raw = (
        b'{"model": "auto", "user": "first", "messages": [{"role": "user", "content": "x"}], "user": "last"}'
    )
    assert parse(raw).sent()["user"] == "last"


@pytest.mark.parametrize(
    ("fields", "structured", "forced", "limit"),
    [
        pytest.param({}, False, False, None, id="plain"),
        pytest.param({"response_format": {"type": "text"}}, False, False, None, id="text"),
        pytest.param({"response_format": {"type": "json_object"}}, True, False, None, id="json-object"),
        pytest.param({"response_format": WHOLE["response_format"]}, True, False, None, id="json-schema"),
        pytest.param({"tools": WHOLE["tools"], "tool_choice": "auto"}, False, False, None, id="auto"),
        pytest.param({"tools": WHOLE["tools"], "tool_choice": "required"}, False, True, None, id="required"),
        pytest.param(
            {"tools": WHOLE["tools"], "tool_choice": WHOLE["tool_choice"]}, False, True, None, id="named"
        ),
        pytest.param({"max_tokens": 5}, False, False, 5, id="old-limit"),
        pytest.param(
            {"max_tokens": 5, "max_completion_tokens": 6}, False, False, 6, id="the-newer-limit-wins"
        ),
    ],
)
def test_what_a_request_demands_is_read_off_its_fields(
    fields: dict[str, Any], structured: bool, forced: bool, limit: int | None
) -> None:
    raw = {"model": "auto", "messages": [{"role": "user", "content": "x"}]} | fields
    request = parse(json.dumps(raw).encode())
    assert (request.structured, request.forced_tool, request.output_limit) == (structured, forced, limit)


# Answers.

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
ANSWER: dict[str, Any] = {
    "id": "1", "object": "chat.completion", "created": 5, "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "length"},
        {"index": 1, "message": {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "d"}]},
         "finish_reason": "tool_calls"},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}  # fmt: skip


def an_answer() -> ChatCompletion:
    return completion("lane", json.dumps(ANSWER))


def test_a_whole_answer_goes_on_with_known_fields_only() -> None:
    spiced = json.dumps(ANSWER | {"system_fingerprint": "fp", "prompt_logprobs": [1], "kv": {"a": 1}})
    assert completion("lane", spiced).model_dump(mode="json", exclude_none=True) == ANSWER


@pytest.mark.parametrize("usage", [True, False], ids=["with-usage", "without"])
def test_a_whole_answer_as_a_stream_says_the_same(usage: bool) -> None:
    chunks = as_chunks(an_answer(), include_usage=usage)
    assert [one.usage is not None for one in chunks] == [False] * 4 + [True] * usage
    assert all(one.choices for one in chunks[:4])
    assert {(one.id, one.created, one.model, one.object) for one in chunks} == {
        ("1", 5, "m", "chat.completion.chunk")
    }
    choices = [choice for one in chunks for choice in one.choices]
    for index, whole in enumerate(ANSWER["choices"]):
        mine = [choice for choice in choices if choice.index == index]
        assert [choice.delta.role for choice in mine] == ["assistant", None]
        assert [choice.finish_reason for choice in mine] == [None, whole["finish_reason"]]
        assert mine[0].delta.content == whole["message"].get("content")
    calls = choices[1].delta.tool_calls or []
    assert [call.index for call in calls] == [0, 1]
    sent = [call.model_dump(exclude={"index"}) for call in calls]
    assert sent == ANSWER["choices"][1]["message"]["tool_calls"]


@pytest.mark.parametrize(
    ("delta", "says"),
    [
        pytest.param({"role": "assistant"}, False, id="role"),
        pytest.param({"role": "assistant", "content": ""}, False, id="role-and-nothing"),
        pytest.param({"content": " "}, True, id="a-space"),
        pytest.param({"refusal": "no"}, True, id="refusal"),
        pytest.param({"reasoning_content": "hm"}, True, id="reasoning"),
        pytest.param({"tool_calls": [{"index": 0}]}, True, id="tool-call"),
        pytest.param({"tool_calls": []}, False, id="no-tool-calls"),
    ],
)
def test_a_chunk_says_something_once_a_client_could_have_read_it(delta: dict[str, Any], says: bool) -> None:
    raw = {"id": "1", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta}]}
    assert chunk("lane", json.dumps(raw)).says_something is says


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("", id="empty"),
        pytest.param("{not json xyzzy", id="not-json"),
        pytest.param('{"error": {"message": "xyzzy"}}', id="an-error"),
        pytest.param(json.dumps(ANSWER | {"choices": []}), id="no-choices"),
        pytest.param(json.dumps(ANSWER).replace('"hi"', "5"), id="content-a-number"),
        pytest.param(json.dumps(ANSWER).replace('"hi"', '"\\ud800 xyzzy"'), id="lone-surrogate"),
        pytest.param('{"choices":' + "[" * 100_000, id="100000-deep"),
    ],
)
def test_a_document_that_is_no_answer_is_a_protocol_error_without_its_content(document: str) -> None:
    with pytest.raises(LaneProtocolError) as error:
        completion("lane", document)
    assert error.value.lane == "lane"
    assert "xyzzy" not in str(error.value)
    with pytest.raises(LaneProtocolError):
        chunk("lane", document.replace('"choices": []', '"choices": 5').replace('"message"', '"delta"'))


def test_every_model_of_the_wire_drops_what_it_does_not_know_and_refuses_nan() -> None:
    seen, todo = set[type[Wire]](), [Wire]
    while todo:
        seen.add(one := todo.pop())
        todo += one.__subclasses__()
    assert {(one.model_config["extra"], one.model_config["allow_inf_nan"]) for one in seen} == {
        ("ignore", False)
    }


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "https://eu.api.openai.com/v1", "https://me.openai.azure.com"]
)
def test_openai_itself_is_told_the_limit_by_the_name_that_all_its_models_take(url: str) -> None:
    assert in_its_words(url, {"model": "m", "max_tokens": 5}) == {"model": "m", "max_completion_tokens": 5}
    both = {"max_tokens": 5, "max_completion_tokens": 7}
    assert in_its_words(url, both) == {"max_completion_tokens": 7}


@pytest.mark.parametrize("url", ["http://127.0.0.1:11434/v1", "https://api.openai.com.evil.example/v1", None])
def test_any_other_server_gets_the_limit_as_the_client_named_it(url: str | None) -> None:
    assert in_its_words(url, {"max_tokens": 5}) == {"max_tokens": 5}


def offering(**fields: Any) -> dict[str, Any]:
    """What a lane gets of a request, beside its messages."""
    raw = {"model": "auto", "messages": [{"role": "user", "content": "x"}]} | fields
    return {
        name: value for name, value in parse(json.dumps(raw).encode()).sent().items() if name != "messages"
    }


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_the_tools_that_may_be_called_are_offered(mode: str) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b", "c")]
    allowed = {"mode": mode, "tools": [tools[2], tools[0]]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    assert offering(tools=tools, tool_choice=choice) == {"tools": [tools[0], tools[2]], "tool_choice": mode}


def test_an_empty_list_of_tools_is_none() -> None:
    """OpenAI refuses an empty list, and the other two where there is none."""
    assert offering(tools=[], tool_choice="auto", parallel_tool_calls=True) == {}
