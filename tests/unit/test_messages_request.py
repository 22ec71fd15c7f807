"""Anthropic Messages to chat: every block arrives, and no body is more than a 400."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import schemas
from serve.bounds import Bounds
from serve.errors import InvalidRequest
from serve.request import view_of
from serve.surfaces.messages import Messages
from serve.wire import anthropic_messages
from serve.wire.openai_chat import parse
from tests.support.nightly import cases

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
MARK = {"cache_control": {"type": "ephemeral"}}
FOUND = {"type": "tool_result", "tool_use_id": "t1"}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words} | more


def uses(id: str = "t1", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "f", "input": given}


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def chat(*turns: Any, **fields: Any) -> dict[str, Any]:
    raw = {"model": "auto", "max_tokens": 9, "messages": list(turns) or [turn("user", text("hi"))]} | fields
    body: dict[str, Any] = json.loads(Messages().read(json.dumps(raw).encode(), Bounds()).body)
    return body


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        pytest.param(turn("user", text("a")), [{"role": "user", "content": "a"}], id="one-text"),
        pytest.param(turn("user", text("a"), IMAGE, text("b")),
                     [{"role": "user", "content": [text("a"), PICTURE, text("b")]}], id="an-image-between-texts"),
        pytest.param(turn("user", text("and?"), FOUND | {"content": "sun"}),
                     [{"role": "tool", "tool_call_id": "t1", "content": "sun"}, {"role": "user", "content": "and?"}],
                     id="results-come-first"),
        pytest.param(turn("user", FOUND | {"content": [text("a"), text("b")]}, FOUND | {"tool_use_id": "t2"}),
                     [{"role": "tool", "tool_call_id": "t1", "content": "a\nb"},
                      {"role": "tool", "tool_call_id": "t2", "content": ""}], id="several-results"),
        pytest.param(turn("user", FOUND | {"content": "no such city", "is_error": True}),
                     [{"role": "tool", "tool_call_id": "t1", "content": "Error: no such city"}], id="a-failed-tool"),
        pytest.param(turn("user", FOUND | {"content": [text("a map"), IMAGE]}),
                     [{"role": "tool", "tool_call_id": "t1", "content": "a map"},
                      {"role": "user", "content": [text("From the result of t1:"), PICTURE]}], id="an-image-found"),
        pytest.param(turn("user", {"type": "document", "title": "T",
                                   "source": {"type": "text", "media_type": "text/plain", "data": "words"}}),
                     [{"role": "user", "content": "T\nwords"}], id="a-document"),
        pytest.param(turn("assistant", text("a"), uses(x=1), uses("t2")),
                     [{"role": "assistant", "content": "a", "tool_calls": [
                         {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                         {"id": "t2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}],
                     id="calls"),
        pytest.param(turn("assistant", {"type": "thinking", "thinking": "hm", "signature": "s"}, text("a")),
                     [{"role": "assistant", "content": "a", "thinking_blocks": [
                         {"type": "thinking", "thinking": "hm", "signature": "s"}]}], id="old-thoughts"),
        pytest.param(turn("assistant", text("a"), {"type": "thinking", "thinking": "hm", "signature": "s"}),
                     [{"role": "assistant", "content": "a"}], id="thoughts-behind-words-are-dropped"),
        pytest.param(turn("user", text("a", **MARK)), [{"role": "user", "content": [text("a", **MARK)]}], id="a-mark"),
        pytest.param(turn("user", FOUND | {"content": [text("a"), text("b", **MARK)]}),
                     [{"role": "tool", "tool_call_id": "t1", "content": [text("a\nb", **MARK)]}], id="a-marked-result"),
        pytest.param({"role": "system", "content": "now be brief"}, [{"role": "system", "content": "now be brief"}],
                     id="a-system-turn"),
    ],
)  # fmt: skip
def test_a_turn(given: dict[str, Any], becomes: list[Any]) -> None:
    assert chat(given)["messages"] == becomes


@pytest.mark.parametrize(
    ("given", "field", "becomes"),
    [
        ({"system": "a"}, "messages", [{"role": "system", "content": "a"}, {"role": "user", "content": "hi"}]),
        ({"system": [text("a", cache_control={"type": "ephemeral"}), text("b")]}, "messages",
         [{"role": "system", "content": [text("a", **MARK), text("b")]}, {"role": "user", "content": "hi"}]),
        ({"system": [text("a"), text("b")]}, "messages",
         [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "hi"}]),
        ({"tool_choice": {"type": "auto"}}, "tool_choice", "auto"),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "required"),
        ({"tool_choice": {"type": "none"}}, "tool_choice", "none"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, "tool_choice",
         {"type": "function", "function": {"name": "f"}}),
        ({"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, "parallel_tool_calls", False),
        ({"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}]}, "tools",
         [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"},
                                            "strict": True}}]),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}},
         "response_format", {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}),
        ({"stop_sequences": ["x"]}, "stop", ["x"]),
        ({"metadata": {"user_id": "u"}}, "user", "u"),
        ({"temperature": 0.5}, "temperature", 0.5),
        ({"top_p": 0.5, "top_k": 5}, "top_p", 0.5),
        ({"stream": True}, "stream_options", {"include_usage": True}),
        ({"max_tokens": 7}, "max_tokens", 7),
        ({"top_k": 5}, "top_k", 5),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking",
         {"type": "enabled", "budget_tokens": 1024}),
    ],
)  # fmt: skip
def test_a_field(given: dict[str, Any], field: str, becomes: Any) -> None:
    assert chat(**given)[field] == becomes


HINTS = {"service_tier": "auto", "top_k": 0,
         "context_management": {"edits": []}, "speed": "fast", "stop_sequences": [], "metadata": {}}  # fmt: skip


def test_what_no_lane_can_use_is_dropped() -> None:
    assert chat(**HINTS) == chat()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0]"),
        ({"messages": [turn("user", text("a"), {"type": "text"})]}, "messages[0].content[1].text"),
        (
            {"messages": [turn("user", IMAGE | {"source": {"type": "file", "file_id": "x"}})]},
            "messages[0].content[0].source",
        ),
        (
            {"messages": [turn("user", IMAGE | {"source": IMAGE["source"] | {"data": "not base64!"}})]},  # type: ignore[operator]
            "messages[0].content[0].source.data",
        ),
        (
            {
                "messages": [
                    turn("user", {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}})
                ]
            },
            "messages[0].content[0].source.url",
        ),
        ({"messages": [turn("assistant", uses() | {"input": "x"})]}, "messages[0].content[0].input"),
        ({"messages": [turn("assistant", IMAGE)]}, "messages[0].content[0]"),
        ({"system": [IMAGE]}, "system[0]"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "whatever"}}, "tool_choice"),
        ({"temperature": 2}, "temperature"),
        ({"thinking": {"type": "loud"}}, "thinking.type"),
        ({"container": "c"}, "container"),
    ],
)
def test_a_fault_is_named_by_the_field_of_this_api(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**fields)
    assert str(caught.value.param).startswith(param)
    assert caught.value.param is not None
    assert "passwd" not in caught.value.message


WORDS = st.text(max_size=8)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
JSONISH = st.recursive(
    LEAF, lambda x: st.lists(x, max_size=3) | st.dictionaries(WORDS, x, max_size=3), max_leaves=8
)
SOURCE = st.just(IMAGE["source"]) | st.just({"type": "url", "url": "https://example.org/a.png"}) | JSONISH
BLOCK = st.one_of(
    st.builds(text, WORDS),
    st.builds(lambda s: {"type": "image", "source": s}, SOURCE),
    st.builds(lambda i, x: {"type": "tool_use", "id": i, "name": "f", "input": x},
              WORDS.filter(bool), st.dictionaries(WORDS, JSONISH, max_size=3)),
    st.builds(lambda c, e: FOUND | {"content": c, "is_error": e},
              WORDS | st.lists(st.builds(text, WORDS) | st.just(IMAGE), max_size=3), st.booleans()),
    st.builds(lambda t, s: {"type": "thinking", "thinking": t, "signature": s}, WORDS, WORDS),
    JSONISH,
)  # fmt: skip
CONTENT = WORDS | st.lists(BLOCK, max_size=4)
TURN = st.builds(
    lambda r, c: {"role": r, "content": c}, st.sampled_from(["user", "assistant", "system"]), CONTENT
)
TOOL = st.builds(lambda n, s: {"name": n, "input_schema": s}, st.sampled_from(["f", "g-1"]),
                 st.just({"type": "object"}) | st.dictionaries(WORDS, JSONISH, max_size=2))  # fmt: skip
CHOICE = st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "f"}])
BODY = st.fixed_dictionaries(
    {"model": st.just("auto"), "max_tokens": st.integers(0, 5), "messages": st.lists(TURN, max_size=4)},
    optional={
        "system": CONTENT,
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": CHOICE | JSONISH,
        "stop_sequences": st.lists(WORDS, max_size=5),
        "metadata": st.builds(lambda u: {"user_id": u}, WORDS) | JSONISH,
        "thinking": st.just({"type": "enabled", "budget_tokens": 1024}) | JSONISH,
        "temperature": LEAF,
        "stream": st.booleans(),
    },
)


@settings(max_examples=cases(200, 10_000), deadline=None)
@given(BODY)
def test_whatever_is_sent_is_a_chat_or_a_400(body: dict[str, Any]) -> None:
    """What is read is a chat request that goes on to a lane of either kind; all else is an InvalidRequest."""
    with suppress(InvalidRequest):
        exchange = Messages().read(json.dumps(body).encode(), Bounds())
        request = parse(exchange.body)
        schemas.check(request)
        assert view_of(request).leaves
        anthropic_messages.request(request, "claude", 4096)


@settings(max_examples=cases(100, 5000), deadline=None)
@given(st.binary(max_size=200) | JSONISH.map(lambda x: json.dumps(x).encode()))
def test_bytes_that_are_no_request_are_a_400(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Messages().read(body, Bounds())


ROUND = st.lists(
    st.one_of(
        st.builds(lambda w: turn("user", text(w)), st.text(min_size=1, max_size=8)),
        st.builds(lambda w, d: turn("assistant", text(w), uses("t1", **d)), st.text(min_size=1, max_size=8),
                  st.dictionaries(st.sampled_from("abc"), LEAF.filter(lambda x: x == x and abs(x) != float("inf")
                                  if isinstance(x, float) else True), max_size=2)),
        st.builds(lambda w: turn("user", FOUND | {"content": w}, IMAGE, text(w)), st.text(min_size=1, max_size=8)),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=cases(100, 5000), deadline=None)
@given(ROUND)
def test_through_a_chat_and_back_nothing_is_lost(turns: list[dict[str, Any]]) -> None:
    """Turns, calls, ids, results, images and their order; neighbours of one role become one turn."""
    sent = anthropic_messages.request(parse(json.dumps(chat(*turns)).encode()), "claude", 4096)
    merged: list[dict[str, Any]] = []
    for one in turns:
        if merged and merged[-1]["role"] == one["role"]:
            merged[-1] = one | {"content": merged[-1]["content"] + one["content"]}
        else:
            merged.append(one)
    assert sent["messages"] == merged


def test_old_and_odd_bodies_are_400() -> None:
    for body in (
        b'{"model": "auto"',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'"\\ud800"',
        b"NaN",
        b"",
    ):
        with pytest.raises(InvalidRequest):
            Messages().read(body, Bounds())
