"""The scripted upstream does what its table says, and the official SDKs work against it unchanged.

Knows both wires from the client's side. Does not know the product.
"""

import asyncio
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.support import interruptible
from tests.support.answers import UNSEEN
from tests.support.faults import FAULTS, find
from tests.support.rawclient import ANTHROPIC, OPENAI, Raw, connect, encode, post
from tests.support.schemas import instance
from tests.support.upstream import Request, ThreadedUpstream, Upstream

PROMPT = "What is the weather in Zürich, and please be brief about it?"
ANSWER = f"upstream answers: {PROMPT[:40]}"
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 2},
        "unit": {"enum": ["celsius", "kelvin"]},
        "note": {"type": "string"},
    },
    "required": ["city", "days", "unit"],
}
ARGUMENTS = {"city": "upstream", "days": 3, "unit": "celsius"}
FUNCTION: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TOOL: Any = {"name": "weather", "input_schema": SCHEMA}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "forecast", "schema": SCHEMA}}
ASKED: Any = [{"role": "user", "content": PROMPT}]
VERSION = {"anthropic-version": "2023-06-01"}

Ask = Callable[..., Raw]


@pytest.fixture(scope="module")
def running() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: ThreadedUpstream) -> ThreadedUpstream:
    running.clear()
    return running


@pytest.fixture
def ask(upstream: ThreadedUpstream) -> Ask:
    """Streams by default, over the OpenAI wire by default, like the most demanding client."""

    def call(model: str, wire: str = OPENAI, headers: dict[str, str] | None = None, **more: Any) -> Raw:
        body = {"model": model, "messages": ASKED, "stream": True, "max_tokens": 1000} | more
        return post(upstream.url, wire, body, VERSION | (headers or {}))

    return call


def before_head(request: Request) -> float:
    assert request.answered_at is not None
    return request.answered_at - request.received_at


def after_head(request: Request) -> float:
    assert request.answered_at is not None
    assert request.ended_at is not None
    return request.ended_at - request.answered_at


# The table: one test per fault, named after its row


def test_ok(ask: Ask) -> None:
    for wire in (OPENAI, ANTHROPIC):
        raw = ask("ok", wire)
        assert (raw.status, raw.ended, raw.text) == (200, "clean", ANSWER)


def test_plain(ask: Ask) -> None:
    assert ask("plain", tools=[FUNCTION]).text == ANSWER


def test_slow_head(ask: Ask, upstream: ThreadedUpstream) -> None:
    assert ask("slow_head_200").text == ANSWER
    assert before_head(upstream.requests[0]) >= 0.2


def test_slow_first(ask: Ask, upstream: ThreadedUpstream) -> None:
    assert ask("slow_first_200").text == ask("slow_first_0").text == ANSWER
    assert after_head(upstream.requests[0]) >= 0.2
    ask("slow_first_200", stream=False)
    assert before_head(upstream.requests[2]) >= 0.2


def test_slow_second_chunk(ask: Ask) -> None:
    raw = ask("slow_second_chunk_300")
    longest = max(raw.pauses)
    assert longest >= 0.15  # less than was slept: a busy client may have read the first chunk late
    assert raw.pauses.index(longest) > 0
    assert raw.text == ANSWER


def test_slow_chunks(ask: Ask, upstream: ThreadedUpstream) -> None:
    assert len(ask("slow_chunks_5").texts) == 20
    assert after_head(upstream.requests[0]) >= 19 * 0.005


def test_hang(upstream: ThreadedUpstream) -> None:
    with connect(upstream.url) as sock:
        sock.sendall(encode(OPENAI, {"model": "hang", "messages": ASKED}))
        upstream.wait_until(lambda: bool(upstream.requests))
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    upstream.wait_until(lambda: upstream.requests[0].outcome == "client_closed")
    assert upstream.requests[0].status is None


def test_drop(ask: Ask) -> None:
    assert ask("drop").data == b""


def test_die_before_first(ask: Ask) -> None:
    for stream in (True, False):
        raw = ask("die_before_first", stream=stream)
        assert (raw.status, raw.body, raw.ended) == (200, b"", "cut")


def test_err_in_stream(ask: Ask, upstream: ThreadedUpstream) -> None:
    for wire in (OPENAI, ANTHROPIC):
        for k in (0, 1, 20):
            raw = ask(f"err_in_stream_{k}", wire)
            assert (len(raw.texts), raw.ended) == (k, "cut")
    last = upstream.requests[-1]
    assert (last.outcome, last.chunks, last.tokens_out) == ("server_closed", 20, 20)
    unary = ask("err_in_stream_3", stream=False)
    assert (unary.ended, len(unary.body)) == ("cut", int(unary.headers["content-length"]) // 2)


def test_rst(ask: Ask) -> None:
    raw = ask("rst_2")
    assert (raw.status, raw.ended) == (200, "reset")


def test_cut_mid_frame(ask: Ask) -> None:
    raw = ask("cut_mid_frame_3")
    assert (len(raw.texts), raw.ended) == (3, "cut")
    assert not raw.body.endswith(b"\n\n")


def test_error_event(ask: Ask) -> None:
    raw = ask("error_event_2")
    assert (len(raw.texts), raw.ended) == (2, "clean")
    assert raw.payloads[-1]["error"]["message"]
    assert ask("error_event_2", ANTHROPIC).events[-1][0] == "error"
    for wire in (OPENAI, ANTHROPIC):
        assert [set(payload) & {"error"} for payload in ask("error_event_0", wire).payloads] == [{"error"}]
    assert "error" in ask("error_event_0", stream=False).json


def test_as_told(ask: Ask) -> None:
    assert ask("as_told", messages=[{"role": "user", "content": "500 please"}]).status == 500
    assert ask("as_told", messages=[{"role": "user", "content": "hello"}]).status == 200


def test_no_done(ask: Ask) -> None:
    raw = ask("no_done")
    assert (raw.ended, raw.payloads[-1]["choices"][0]["finish_reason"]) == ("clean", "stop")
    assert raw.events[-1][1] != "[DONE]"
    assert ask("no_done", ANTHROPIC).events[-1][0] == "message_delta"


def test_no_finish(ask: Ask) -> None:
    raw = ask("no_finish_3")
    assert (len(raw.texts), raw.ended) == (3, "clean")
    assert raw.payloads[-1]["choices"][0]["finish_reason"] is None


def test_cut_last_end(ask: Ask) -> None:
    raw = ask("cut_last_end", n=2)
    assert [c["index"] for p in raw.payloads for c in p["choices"] if c["finish_reason"]] == [0]
    assert raw.ended == "cut"


def test_empty_stream(ask: Ask) -> None:
    for stream in (True, False):
        raw = ask("empty_stream", stream=stream)
        assert (raw.status, raw.body, raw.ended) == (200, b"", "clean")


def test_sliced(ask: Ask) -> None:
    for size in (1, 7, 10_000):
        raw = ask(f"sliced_{size}", ANTHROPIC)
        assert {len(chunk) for chunk in raw.chunks[:-1]} <= {size}
        assert raw.body.startswith(b"\xef\xbb\xbf:")
        assert raw.body.count(b"\n") == raw.body.count(b"\r\n")
        assert raw.text == ANSWER


def test_long(ask: Ask) -> None:
    assert len(ask("long_1").texts) == 1
    assert len(ask("long_300").texts) == 300


def test_huge_line(ask: Ask) -> None:
    assert max(len(data) for _, data in ask("huge_line_300").events) > 300 * 1024


def test_bad_json(ask: Ask) -> None:
    for stream in (True, False):
        raw = ask("bad_json", stream=stream)
        assert raw.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(raw.events[0][1] if stream else raw.body)


def test_500(ask: Ask) -> None:
    assert ask("500").status == 500
    assert ask("500", ANTHROPIC).json["error"]["type"] == "api_error"


def test_503(ask: Ask) -> None:
    assert ask("503").status == 503
    assert ask("503", ANTHROPIC).json["error"]["type"] == "overloaded_error"


def test_429(ask: Ask) -> None:
    raw = ask("429")
    assert (raw.status, raw.headers["retry-after"]) == (429, "1")


def test_429_after(ask: Ask) -> None:
    for value in ("0", "-1", "1000000000", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"):
        raw = ask(f"fake/429_after_{value}")
        assert (raw.status, raw.headers["retry-after"]) == (429, value)


def test_429_then_ok(ask: Ask) -> None:
    first, second = ask("429_then_ok"), ask("429_then_ok")
    assert (first.status, first.headers["retry-after"], second.status) == (429, "0", 200)


def test_500_then_ok(ask: Ask) -> None:
    assert [ask("500_then_ok").status for _ in range(3)] == [500, 200, 200]
    other = [{"role": "user", "content": "something else"}]
    assert ask("500_then_ok", messages=other).status == 500


def test_401(ask: Ask) -> None:
    raw = ask("401")
    assert (raw.status, raw.json["error"]["code"]) == (401, "invalid_api_key")


def test_400_context(ask: Ask) -> None:
    raw = ask("400_context")
    assert (raw.status, raw.json["error"]["code"]) == (400, "context_length_exceeded")


def test_echo_secrets(ask: Ask) -> None:
    raw = ask("echo_secrets", headers={"authorization": "Bearer sk-canary"})
    assert raw.status == 400
    assert "sk-canary" in raw.headers["set-cookie"]
    assert PROMPT in raw.json["error"]["message"]
    assert "sk-canary" in raw.json["error"]["message"]


def test_bad_usage(ask: Ask) -> None:
    usage = ask("bad_usage", stream=False).json["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (-1, 10**12)
    assert ask("bad_usage", ANTHROPIC).payloads[0]["message"]["usage"]["input_tokens"] == -1


def test_cached_usage(ask: Ask) -> None:
    usage = ask("cached_usage", ANTHROPIC, stream=False).json["usage"]
    assert usage["cache_read_input_tokens"] > usage["cache_creation_input_tokens"] > 0
    assert ask("cached_usage", ANTHROPIC).payloads[0]["message"]["usage"]["cache_read_input_tokens"] > 0


def test_unseen_usage(ask: Ask) -> None:
    usage = ask("unseen_usage", stream=False).json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] + UNSEEN


def test_late_usage(ask: Ask) -> None:
    told = [
        payload for payload in ask("late_usage", ANTHROPIC).payloads if payload["type"] == "message_delta"
    ]
    assert ask("late_usage", ANTHROPIC).payloads[0]["message"]["usage"] == {
        "input_tokens": 0,
        "output_tokens": 0,
    }
    assert told[0]["usage"]["input_tokens"] > 0


def test_nan_usage(ask: Ask) -> None:
    assert math.isnan(ask("nan_usage", stream=False).json["usage"]["total_tokens"])


def test_no_usage(ask: Ask) -> None:
    raw = ask("no_usage", stream_options={"include_usage": True})
    assert not any(payload.get("usage") for payload in raw.payloads)
    assert b'"usage"' not in ask("no_usage", ANTHROPIC).body
    assert b'"usage"' not in ask("no_usage", stream=False).body


def test_tool_bad_json(ask: Ask) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask("tool_bad_json", tools=[FUNCTION]).text)
    block = ask("tool_bad_json", ANTHROPIC, tools=[TOOL], stream=False).json["content"][0]
    assert isinstance(block["input"], str)


def test_tool_fenced(ask: Ask) -> None:
    message = ask("tool_fenced", tools=[FUNCTION], stream=False).json["choices"][0]["message"]
    inner = message["content"].removeprefix("```json\n").removesuffix("\n```")
    assert json.loads(inner) == {"name": "weather", "arguments": ARGUMENTS}
    assert "tool_calls" not in message


def test_tool_bare(ask: Ask) -> None:
    assert json.loads(ask("tool_bare", tools=[FUNCTION]).text) == {"name": "weather", "arguments": ARGUMENTS}


def test_tool_chatty(ask: Ask) -> None:
    assert ask("tool_chatty", tools=[FUNCTION]).text.startswith("Let me look that up.\n{")


def test_talk_first(ask: Ask) -> None:
    assert ask("talk_first_2", tools=[FUNCTION]).texts[:2] == ["talk0 ", "talk1 "]
    assert ask("talk_first_2", ANTHROPIC, tools=[TOOL]).texts[:2] == ["talk0 ", "talk1 "]
    assert (
        ask("talk_first_2", stream=False, tools=[FUNCTION]).json["choices"][0]["message"]["content"]
        == "talk0 talk1 "
    )


def test_tool_wrong_type(ask: Ask) -> None:
    assert json.loads(ask("tool_wrong_type", tools=[FUNCTION]).text) == ARGUMENTS | {"days": "3"}


def test_tool_missing_required(ask: Ask) -> None:
    assert json.loads(ask("tool_missing_required", tools=[FUNCTION]).text) == {"days": 3, "unit": "celsius"}


def test_tool_loose(ask: Ask) -> None:
    named = {"type": "function", "function": {"name": FUNCTION["function"]["name"]}}
    assert json.loads(ask("tool_loose", tools=[FUNCTION]).text) == {"days": 3, "unit": "celsius"}
    assert json.loads(ask("tool_loose", tools=[FUNCTION], tool_choice=named).text) == ARGUMENTS


def test_tool_secret(ask: Ask) -> None:
    assert "536-90-4399" in ask("tool_secret", tools=[FUNCTION]).text


def test_tool_cut(ask: Ask) -> None:
    for wire, tool in ((OPENAI, FUNCTION), (ANTHROPIC, TOOL)):
        raw = ask("tool_cut", wire, tools=[tool])
        assert raw.ended == "cut"
        assert raw.text
        assert json.dumps(ARGUMENTS).startswith(raw.text)


def test_json_fenced(ask: Ask) -> None:
    text = ask("json_fenced", response_format=FORMAT).text
    assert json.loads(text.removeprefix("```json\n").removesuffix("\n```")) == ARGUMENTS


def test_json_invalid(ask: Ask) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask("json_invalid", response_format=FORMAT).text)


def test_json_wrong_schema(ask: Ask) -> None:
    assert "city" not in json.loads(ask("json_wrong_schema", response_format=FORMAT).text)


def test_json_missing_brace(ask: Ask) -> None:
    assert json.loads(ask("json_missing_brace", response_format=FORMAT).text + "}") == ARGUMENTS


def test_thinks(ask: Ask) -> None:
    asked = {"stream": False, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    kinds = [block["type"] for block in ask("thinks", ANTHROPIC, **asked).json["content"]]
    assert kinds == ["thinking", "redacted_thinking", "text"]
    quiet = ask("thinks", ANTHROPIC, stream=False).json["content"]
    assert [block["type"] for block in quiet] == ["text"]


def embedded(upstream: ThreadedUpstream, model: str) -> list[Any]:
    """The vectors of two texts, by index."""
    raw = post(upstream.url, "/v1/embeddings", {"model": model, "input": ["a", "b"]})
    rows = sorted(json.loads(raw.body)["data"], key=lambda row: row["index"])
    return [row["embedding"] for row in rows]


def test_vectors_missing(upstream: ThreadedUpstream) -> None:
    assert len(embedded(upstream, "ok")) == 2
    assert len(embedded(upstream, "vectors_missing")) == 1


def test_vectors_uneven(upstream: ThreadedUpstream) -> None:
    assert [len(vector) for vector in embedded(upstream, "vectors_uneven")] == [8, 9]


def test_vectors_nan(upstream: ThreadedUpstream) -> None:
    assert str(embedded(upstream, "vectors_nan")[0][0]) == "nan"


def test_vectors_float(upstream: ThreadedUpstream) -> None:
    asked = {"input": "a", "encoding_format": "base64"}
    kinds = [
        type(
            json.loads(post(upstream.url, "/v1/embeddings", {"model": name} | asked).body)["data"][0][
                "embedding"
            ]
        )
        for name in ("ok", "vectors_float")
    ]
    assert kinds == [str, list]


def test_every_fault_has_its_own_test() -> None:
    assert {f"test_{fault.stem}" for fault in FAULTS} <= globals().keys()


def test_the_table_is_enumerable_and_every_example_is_itself() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        others = [other.name for other in FAULTS if other.match(fault.example) is not None]
        assert others == [fault.name]


def test_a_misspelt_fault_is_refused_and_any_other_name_is_ok(ask: Ask) -> None:
    for name in ("err_in_stream3", "slow_first_", "long", "500_then_okay", "tool_bad_yaml"):
        assert ask(name).status == (200 if name == "tool_bad_yaml" else 404)
    assert ask("gpt-4o-mini").text == ANSWER


def test_faults_add_up(ask: Ask) -> None:
    raw = ask("fake/sliced_5+err_in_stream_3+slow_first_100")
    assert (len(raw.texts), raw.ended) == (3, "cut")
    assert find("long_9+plain") == find("plain+long_9")


# The wires


def test_openai_stream_order_and_usage(ask: Ask) -> None:
    raw = ask("ok", stream_options={"include_usage": True}, n=2, logprobs=True)
    first, last = raw.payloads[0], raw.payloads[-1]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == len(raw.texts)
    assert raw.payloads[2]["choices"][0]["logprobs"]["content"][0]["token"] == raw.texts[0]
    assert raw.events[-1] == (None, "[DONE]")
    assert all("usage" not in payload for payload in ask("ok").payloads)


def test_anthropic_stream_order_is_the_documented_one(ask: Ask) -> None:
    raw = ask("long_2", ANTHROPIC)
    assert [name for name, _ in raw.events] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == payload["type"] for (name, _), payload in zip(raw.events, raw.payloads, strict=True))
    assert raw.payloads[-2]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        pytest.param(OPENAI, {"messages": []}, id="no-messages"),
        pytest.param(OPENAI, {"messages": [{"role": "wizard"}]}, id="unknown-role"),
        pytest.param(OPENAI, {"messages": "hello"}, id="messages-not-a-list"),
        pytest.param(OPENAI, {"n": 1000}, id="n-too-large"),
        pytest.param(OPENAI, {"tools": [TOOL]}, id="openai-given-an-anthropic-tool"),
        pytest.param(ANTHROPIC, {"tools": [FUNCTION]}, id="anthropic-given-an-openai-tool"),
        pytest.param(ANTHROPIC, {"max_tokens": None}, id="no-max-tokens"),
        pytest.param(
            ANTHROPIC, {"messages": [{"role": "system", "content": "x"}, *ASKED]}, id="system-first"
        ),
        pytest.param(ANTHROPIC, {"messages": [*ASKED, {"role": "assistant", "content": "So"}]}, id="prefill"),
    ],
)
def test_a_request_the_provider_would_refuse_is_refused(ask: Ask, wire: str, body: dict[str, Any]) -> None:
    raw = ask("ok", wire, **body)
    assert raw.status == 400
    assert raw.json["error"]["type"] == "invalid_request_error"


def test_what_is_not_a_request_at_all_is_refused(upstream: ThreadedUpstream) -> None:
    assert post(upstream.url, OPENAI, {"messages": ASKED}).status == 400
    assert post(upstream.url, "/v1/embeddings", {"model": "ok"}).status == 400
    assert post(upstream.url, "/v1/rerank", {}).status == 404
    assert post(upstream.url, "/v1/models", {}).status == 404


@pytest.mark.parametrize(
    ("version", "more", "status"),
    [
        pytest.param("2023-06-01", {"temperature": 1.0}, 200, id="sampling-in-2023"),
        pytest.param("2026-10-21", {}, 200, id="current"),
        pytest.param("2026-10-21", {"temperature": 1.0}, 400, id="sampling-since-2026"),
        pytest.param("2020-01-01", {}, 400, id="unknown-version"),
    ],
)
def test_the_anthropic_version_decides_what_is_allowed(
    ask: Ask, version: str, more: dict[str, Any], status: int
) -> None:
    assert ask("ok", ANTHROPIC, {"anthropic-version": version}, **more).status == status


def test_stop_and_max_tokens_end_an_answer_early(ask: Ask) -> None:
    cut = ask("ok", stop=["weather"], stream=False).json["choices"][0]
    assert (cut["message"]["content"], cut["finish_reason"]) == ("upstream answers: What is the ", "stop")
    short = ask("ok", max_tokens=2, stream=False).json
    assert (short["choices"][0]["finish_reason"], short["usage"]["completion_tokens"]) == ("length", 2)
    said = ask("ok", ANTHROPIC, stop_sequences=["weather"], stream=False).json
    assert (said["stop_reason"], said["stop_sequence"]) == ("stop_sequence", "weather")


def test_a_tool_result_is_answered_in_prose_unless_a_call_is_forced(ask: Ask) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    history = [
        *ASKED,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    assert ask("ok", messages=history, tools=[FUNCTION]).text == ANSWER
    assert json.loads(ask("ok", messages=history, tools=[FUNCTION], tool_choice="required").text) == ARGUMENTS
    assert ask("ok", tools=[FUNCTION], tool_choice="none").text == ANSWER


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"enum": ["b", "a"]}, "b", id="enum"),
        pytest.param({"const": 7}, 7, id="const"),
        pytest.param({"type": ["null", "boolean"]}, True, id="nullable"),
        pytest.param({"anyOf": [{"type": "null"}, {"type": "integer", "maximum": 1}]}, 1, id="any-of"),
        pytest.param({"type": "number", "exclusiveMinimum": 9}, 10, id="exclusive-minimum"),
        pytest.param({"type": "integer", "multipleOf": 5}, 15, id="multiple-of"),
        pytest.param({"type": "array", "items": {"type": "null"}, "minItems": 2}, [None, None], id="array"),
        pytest.param({"type": "string", "maxLength": 2}, "up", id="max-length"),
        pytest.param({"properties": {"a": {"type": "null"}}}, {"a": None}, id="nothing-required"),
        pytest.param({"$defs": {"x": {"const": 1}}, "$ref": "#/$defs/x"}, 1, id="reference"),
        pytest.param({"allOf": [{"required": ["a"]}, {"type": "object"}]}, {"a": "upstream"}, id="all-of"),
        pytest.param({"$ref": "#"}, "upstream", id="reference-to-itself"),
        pytest.param({"type": "object"}, {}, id="empty"),
    ],
)
def test_a_schema_yields_an_instance(schema: dict[str, Any], expected: Any) -> None:
    assert instance(schema) == expected


# The official SDKs, unchanged


def test_openai_sdk(upstream: ThreadedUpstream) -> None:
    with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="sk-test", max_retries=0) as client:
        chat = client.chat.completions
        plain = chat.create(model="ok", messages=ASKED)
        assert plain.choices[0].message.content == ANSWER
        assert plain.usage
        assert plain.usage.total_tokens == plain.usage.prompt_tokens + plain.usage.completion_tokens
        with chat.create(model="sliced_3", messages=ASKED, stream=True) as stream:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == ANSWER
        call = chat.create(model="ok", messages=ASKED, tools=[FUNCTION]).choices[0]
        assert call.finish_reason == "tool_calls"
        assert call.message.tool_calls
        assert json.loads(call.message.tool_calls[0].model_dump()["function"]["arguments"]) == ARGUMENTS
        assert {model.id for model in client.models.list()} == {fault.example for fault in FAULTS}
        with pytest.raises(openai.RateLimitError):
            chat.create(model="429", messages=ASKED)
        with (
            pytest.raises(openai.APIError),
            chat.create(model="error_event_1", messages=ASKED, stream=True) as stream,
        ):
            list(stream)
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-test"


def test_openai_sdk_retries_into_success(upstream: ThreadedUpstream) -> None:
    with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="sk-test") as client:
        client.chat.completions.create(model="429_then_ok", messages=ASKED)
    assert [request.status for request in upstream.requests] == [429, 200]


async def test_openai_async_sdk_streams_tools_and_json(upstream: ThreadedUpstream) -> None:
    async with openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="sk-test", max_retries=0) as client:
        chat = client.chat.completions
        async with chat.stream(model="ok", messages=ASKED, tools=[FUNCTION]) as stream:
            final = await stream.get_final_completion()
        calls = final.choices[0].message.tool_calls
        assert calls
        assert json.loads(calls[0].function.arguments) == ARGUMENTS
        shaped = await chat.create(model="ok", messages=ASKED, response_format=FORMAT)
        assert json.loads(shaped.choices[0].message.content or "") == ARGUMENTS
        loose = await chat.create(model="ok", messages=ASKED, response_format={"type": "json_object"})
        assert json.loads(loose.choices[0].message.content or "") == {"answer": ANSWER}


def test_anthropic_sdk(upstream: ThreadedUpstream) -> None:
    with anthropic.Anthropic(base_url=upstream.url, api_key="sk-ant", max_retries=0) as client:
        plain = client.messages.create(model="ok", max_tokens=99, messages=ASKED, system="Be brief.")
        assert plain.content[0].to_dict()["text"] == ANSWER
        assert plain.stop_reason == "end_turn"
        with client.messages.stream(model="sliced_3", max_tokens=99, messages=ASKED) as stream:
            assert "".join(stream.text_stream) == ANSWER
        with client.messages.stream(model="ok", max_tokens=99, messages=ASKED, tools=[TOOL]) as tools:
            final = tools.get_final_message()
        assert final.stop_reason == "tool_use"
        assert final.content[0].to_dict()["input"] == ARGUMENTS
        assert final.usage.output_tokens == upstream.requests[-1].tokens_out
        assert {model.id for model in client.models.list()} == {fault.example for fault in FAULTS}
        with pytest.raises(anthropic.AuthenticationError):
            client.messages.create(model="401", max_tokens=99, messages=ASKED)
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-ant"


async def test_anthropic_async_sdk(upstream: ThreadedUpstream) -> None:
    async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="sk-ant", max_retries=0) as client:
        forced: Any = {"type": "tool", "name": "weather"}
        call = await client.messages.create(
            model="ok", max_tokens=99, messages=ASKED, tools=[TOOL], tool_choice=forced
        )
        assert call.content[0].to_dict()["input"] == ARGUMENTS
        kinds = []
        stream = await client.messages.create(model="long_2", max_tokens=99, messages=ASKED, stream=True)
        async with stream:
            async for event in stream:
                kinds.append(event.type)
        assert kinds[0] == "message_start"
        assert kinds[-1] == "message_stop"
        shaped: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
        reply = await client.messages.create(model="ok", max_tokens=99, messages=ASKED, output_config=shaped)
        assert json.loads(str(reply.content[0].to_dict()["text"])) == ARGUMENTS


# The record


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_a_client_that_leaves_is_seen_long_before_the_end(upstream: ThreadedUpstream, stream: bool) -> None:
    body = {"model": "slow_chunks_30+long_1000", "messages": ASKED, "stream": stream}
    with connect(upstream.url) as sock:
        sock.sendall(encode(OPENAI, body))
        upstream.wait_until(lambda: bool(upstream.requests))
        upstream.wait_until(lambda: upstream.requests[0].chunks >= 3 or not stream)
    left = time.monotonic()
    upstream.wait_until(lambda: upstream.requests[0].outcome != "pending")
    request = upstream.requests[0]
    assert request.outcome == request.connection.closed_by == "client_closed"
    assert request.connection.closed_at is not None
    assert request.connection.closed_at - left < 10  # what is asked for lasts 30
    assert (3 if stream else 0) <= request.chunks == request.connection.chunks < 1000


def test_the_record_holds_every_byte_and_repeated_headers(upstream: ThreadedUpstream) -> None:
    sent = encode(OPENAI, {"model": "ok", "messages": ASKED}, {"x-a": "1", "X-A": "2"})
    with connect(upstream.url) as sock:
        for at in range(0, len(sent), 50):
            sock.sendall(sent[at : at + 50])
        while sock.recv(1 << 16):
            pass
    assert upstream.received_bytes == sent
    request = upstream.requests[0]
    assert (request.method, request.path, request.model) == ("POST", OPENAI, "ok")
    assert request.headers["x-a"] == "1, 2"
    assert request.json["messages"] == ASKED
    assert request.answered_at is not None
    assert request.received_at <= request.answered_at
    upstream.clear()
    assert (upstream.requests, upstream.received_bytes) == ([], b"")


def test_chunked_requests_keep_alive_and_expect_are_understood(upstream: ThreadedUpstream) -> None:
    body = json.dumps({"model": "ok", "messages": ASKED}).encode()
    head = f"POST {OPENAI} HTTP/1.1\r\nhost: upstream\r\n".encode()
    chunked = head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    expecting = head + b"connection: close\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body)
    with connect(upstream.url) as sock:
        sock.sendall(chunked + expecting)
        seen = b""
        while b"100 Continue" not in seen:
            seen += sock.recv(1 << 16)
        sock.sendall(body)
        while data := sock.recv(1 << 16):
            seen += data
    assert seen.count(b"HTTP/1.1 200 OK") == 2
    assert len(upstream.connections) == 1


def test_what_is_not_http_gets_a_400(upstream: ThreadedUpstream) -> None:
    with connect(upstream.url) as sock:
        sock.sendall(b"hello\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    assert upstream.requests == []


def test_the_tripwire_sees_a_pattern_that_straddles_two_reads() -> None:
    def send(upstream: ThreadedUpstream) -> None:
        data = encode(OPENAI, {"model": "ok", "messages": [{"role": "user", "content": "my CANARY"}]})
        with connect(upstream.url) as sock:
            sock.sendall(data[:-8])
            upstream.wait_until(lambda: len(upstream.received_bytes) == len(data) - 8)
            sock.sendall(data[-8:])
            while sock.recv(1 << 16):
                pass

    with ThreadedUpstream(forbid=[b"CANARY", b"absent"]) as listed:
        send(listed)
        assert [violation.pattern for violation in listed.violations] == [b"CANARY"]
    with ThreadedUpstream(forbid=lambda data: b"CANARY" in data) as called:
        send(called)
        assert [violation.pattern for violation in called.violations] == [None]


# Life cycle


async def test_stop_drops_whoever_still_waits_and_a_restart_keeps_the_port() -> None:
    upstream = await Upstream().start()
    url = upstream.url
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(encode(OPENAI, {"model": "hang", "messages": ASKED}))
    await upstream.wait_until(lambda: bool(upstream.requests))
    await upstream.stop()
    assert upstream.requests[0].outcome == "server_closed"
    with suppress(ConnectionError):  # whether it came by FIN or by RST
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", upstream.port)
    async with upstream:
        assert upstream.url == url


def test_a_port_that_is_taken_is_an_error_and_not_a_hang(upstream: ThreadedUpstream) -> None:
    with pytest.raises(OSError, match="address already in use"):
        ThreadedUpstream(port=upstream.port).start()


def test_a_threaded_upstream_can_flap() -> None:
    upstream = ThreadedUpstream()
    urls = set()
    for _ in range(3):
        with upstream:
            urls.add(upstream.url)
            assert post(upstream.url, OPENAI, {"model": "ok", "messages": ASKED}).status == 200
    assert len(urls) == 1
    assert len(upstream.requests) == 3


async def test_a_crash_inside_the_upstream_surfaces_when_it_stops() -> None:
    def crash(request: Request) -> None:
        raise ZeroDivisionError

    upstream = await Upstream(on_answer=crash).start()
    await asyncio.to_thread(post, upstream.url, OPENAI, {"model": "ok", "messages": ASKED})
    with pytest.raises(ZeroDivisionError):
        await upstream.stop()


def test_standalone_prints_its_url_and_answers() -> None:
    command = [sys.executable, "-m", "tests.support.upstream", "--port", "0"]
    root = Path(__file__).parents[2]
    with interruptible.popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        raw = post(url, OPENAI, {"model": "ok", "messages": ASKED})
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert raw.status == 200
    assert "POST /v1/chat/completions ok 200 answered" in rest
    assert process.returncode == 0
