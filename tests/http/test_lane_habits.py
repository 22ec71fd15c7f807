"""What lanes say in ways of their own, seen by the official clients: where usage stands, long ids, more counts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anthropic
import openai
import pytest

from serve.wire.openai_messages import MAX_CALL_ID
from tests.support.scripted import Json, Script, Scripted, scripted
from tests.support.serving import client, config, serving

SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
TOOLS: Any = [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}]
MESSAGES_TOOLS: Any = [{"name": "f", "input_schema": SCHEMA}]
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
HELLO: Any = [{"role": "user", "content": "hi"}]


@contextmanager
def asked(script: Script, kind: str = "openai", **changes: Any) -> Iterator[tuple[str, Scripted]]:
    """Pointsman's address before one lane that answers by `script`."""
    with ExitStack() as stack:
        upstream = stack.enter_context(scripted(script))
        lane = {
            "name": "only",
            "kind": kind,
            "model": "m",
            "base_url": upstream.url + ("/v1" if kind == "openai" else ""),
            "location": "device",
            "context": 100_000,
            "tier": 1,
            "capabilities": ["tools", "json_schema"],
        }
        rule = {"name": "all", "when": {}, "prefer": ["only"], "because": "there is one lane"}
        settings = config("", "", lanes=[lane], policy={"rules": [rule]}, **changes)
        yield stack.enter_context(serving(settings)), upstream


def chunk(delta: Json, finish: str | None = None, **more: Any) -> Json:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
    } | more


def completion(message: Json, usage: Json = USAGE) -> Json:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


@pytest.fixture(scope="module")
def metered() -> Iterator[str]:
    """Behind it is a lane that counts as it goes, and tells the sum beside the end of its answer."""

    def script(path: str, body: Json) -> list[Json]:
        started = USAGE | {"completion_tokens": 1, "total_tokens": 11}
        words = [chunk({"content": "Hello "}, usage=started), chunk({"content": "there friend."})]
        return [chunk({"role": "assistant", "content": ""}), *words, chunk({}, "stop", usage=USAGE)]

    with asked(script) as (url, _):
        yield url


@pytest.mark.parametrize("tools", [None, CHAT_TOOLS], ids=["bare", "tools"])
def test_usage_beside_the_last_words_reaches_a_chat_client(metered: str, tools: Any) -> None:
    ask = {"model": "auto", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    with client(metered) as c:
        told = [one.usage for one in c.chat.completions.create(**ask, **({"tools": tools} if tools else {}))]
    assert [usage.total_tokens for usage in told if usage][-1] == 15
    assert not tools or len([usage for usage in told if usage]) == 1


def test_usage_beside_the_last_words_reaches_the_other_apis(metered: str) -> None:
    with client(metered) as c, c.responses.stream(model="auto", input="hi", tools=TOOLS) as stream:
        stream.until_done()
        usage = stream.get_final_response().usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (10, 5)
    ask: Any = {"model": "auto", "max_tokens": 50, "messages": HELLO, "tools": MESSAGES_TOOLS}
    with (
        anthropic.Anthropic(base_url=metered, api_key="any", max_retries=0) as a,
        a.messages.stream(**ask) as events,
    ):
        counted = events.get_final_message().usage
    assert (counted.input_tokens, counted.output_tokens) == (10, 5)


def calling(call_id: str) -> Script:
    """A lane that calls with this id, and speaks once it has a result."""

    def script(path: str, body: Json) -> Json | list[Json]:
        if body["messages"][-1]["role"] == "tool":
            return completion({"content": "done"})
        function = {"name": "f", "arguments": '{"a":"b"}'}
        call = {"id": call_id, "type": "function", "function": function}
        if body.get("stream"):
            return [
                chunk({"role": "assistant", "tool_calls": [call | {"index": 0}]}),
                chunk({}, "tool_calls"),
            ]
        return completion({"tool_calls": [call]})

    return script


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_long_call_id_goes_out_and_comes_back(stream: bool) -> None:
    long = "call_" + "x" * (MAX_CALL_ID - 5)
    with asked(calling(long)) as (url, upstream), client(url) as c:
        if stream:
            with c.responses.stream(model="auto", input="hi", tools=TOOLS) as events:
                events.until_done()
                first: Any = events.get_final_response()
        else:
            first = c.responses.create(model="auto", input="hi", tools=TOOLS)
        assert (first.output[0].call_id, first.store) == (long, True)
        result: Any = [{"type": "function_call_output", "call_id": long, "output": "x"}]
        kept = c.responses.create(model="auto", previous_response_id=first.id, input=result, tools=TOOLS)
        call = first.output[0].model_dump(exclude_none=True)
        held = c.responses.create(model="auto", input=[*HELLO, call, *result], tools=TOOLS)
        assert (kept.output_text, held.output_text) == ("done", "done")
        assert upstream.bodies[-1]["messages"][-1]["tool_call_id"] == long


def test_a_long_call_id_comes_back_through_messages() -> None:
    long = "call_" + "x" * (MAX_CALL_ID - 5)
    ask: Any = {"model": "auto", "max_tokens": 50, "tools": MESSAGES_TOOLS}
    with (
        asked(calling(long)) as (url, _),
        anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as a,
    ):
        first: Any = a.messages.create(messages=HELLO, **ask)
        result: Any = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": long, "content": "x"}],
        }
        said: Any = a.messages.create(
            messages=[*HELLO, {"role": "assistant", "content": first.content}, result], **ask
        )
    assert (first.content[0].id, said.content[0].text) == (long, "done")


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_an_answer_that_cannot_be_kept_is_not_lost(stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It was paid for: it comes, and says that it was not kept."""
    longer = "call_" + "x" * MAX_CALL_ID
    with asked(calling(longer)) as (url, _), client(url) as c:
        if stream:
            with c.responses.stream(model="auto", input="hi", tools=TOOLS) as events:
                events.until_done()
                answer: Any = events.get_final_response()
        else:
            answer = c.responses.create(model="auto", input="hi", tools=TOOLS)
        assert (answer.status, answer.store, answer.output[0].call_id) == ("completed", False, longer)
        with pytest.raises(openai.NotFoundError):
            c.responses.retrieve(answer.id)
    [line] = [one.getMessage() for one in caplog.records if one.name == "pointsman.responses"]
    assert "string_too_long" in line
    assert "xxx" not in line


def test_written_cache_tokens_are_told_by_responses() -> None:
    counts = {
        "input_tokens": 9,
        "output_tokens": 5,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 700,
    }
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    answer = head | {"content": [{"type": "text", "text": "hello"}], "usage": counts}
    with asked(lambda path, body: answer, "anthropic") as (url, _), client(url) as c:
        usage: Any = c.responses.create(model="auto", input="hi").usage
    told = usage.input_tokens_details
    assert (usage.input_tokens, told.cached_tokens, told.cache_write_tokens) == (711, 2, 700)


@pytest.mark.parametrize(("said", "told"), [({"reasoning_tokens": 3}, 3), ({"reasoning_tokens": -1}, None)])
def test_thought_tokens_are_told_where_they_make_sense(said: Json, told: int | None) -> None:
    answer = completion({"content": "hello"}, USAGE | {"completion_tokens_details": said})
    with asked(lambda path, body: answer) as (url, _), client(url) as c:
        chat: Any = c.chat.completions.create(model="auto", messages=HELLO).usage
        response: Any = c.responses.create(model="auto", input="hi").usage
    details = chat.completion_tokens_details
    assert (details and details.reasoning_tokens, chat.total_tokens) == (told, 15)
    assert response.output_tokens_details.reasoning_tokens == (told or 0)


@pytest.mark.parametrize("tools", [None, CHAT_TOOLS], ids=["bare", "tools"])
def test_azures_words_about_its_filters_cost_no_stream(tools: Any) -> None:
    """They come first, in between and after the end, with empty names and without a delta."""
    nobody: Json = {"id": "", "object": "", "created": 0, "model": ""}
    verdict = nobody | {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]}
    words = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}), verdict]
    events = [
        nobody | {"choices": [], "prompt_filter_results": []}, *words, chunk({}, "stop"), verdict,
        chunk({}) | {"choices": [], "usage": USAGE},
    ]  # fmt: skip
    ask = {"model": "auto", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    with asked(lambda path, body: events) as (url, _), client(url) as c:
        got = list(c.chat.completions.create(**ask, **({"tools": tools} if tools else {})))
    assert {one.object for one in got} == {"chat.completion.chunk"}
    choices = [one.choices[0] for one in got if one.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Hello"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert [one.usage.total_tokens for one in got if one.usage] == [15]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_lanes_thoughts_reach_the_clients_of_every_api_by_either_name(name: str) -> None:
    def script(path: str, body: Json) -> Json | list[Json]:
        if body.get("stream"):
            return [chunk({"role": "assistant", name: "Hm"}), chunk({"content": "Hello"}), chunk({}, "stop")]
        return completion({"content": "Hello", name: "Hm"})

    with asked(script) as (url, upstream), client(url) as c:
        chat: Any = c.chat.completions.create(model="auto", messages=HELLO)
        assert chat.choices[0].message.reasoning_content == "Hm"
        deltas: Any = list(c.chat.completions.create(model="auto", messages=HELLO, stream=True))
        assert deltas[0].choices[0].delta.reasoning_content == "Hm"
        response: Any = c.responses.create(model="auto", input="hi")
        assert [item.type for item in response.output] == ["reasoning", "message"]
        with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0) as a:
            ask: Any = {
                "model": "auto",
                "max_tokens": 2000,
                "thinking": {"type": "enabled", "budget_tokens": 1024},
            }
            message: Any = a.messages.create(messages=HELLO, **ask)
            assert [block.type for block in message.content] == ["thinking", "text"]
            back: Any = [*HELLO, {"role": "assistant", "content": message.content}, *HELLO]
            assert a.messages.create(messages=back, **ask).content[-1].type == "text"
        kept: Any = [*HELLO, *[item.model_dump(exclude_none=True) for item in response.output], *HELLO]
        assert c.responses.create(model="auto", input=kept).output_text == "Hello"
        said: Any = {"role": "assistant", "content": "Hello", name: "Hm"}
        assert c.chat.completions.create(model="auto", messages=[*HELLO, said, *HELLO])
    assert "Hm" not in str([body["messages"] for body in upstream.bodies])
