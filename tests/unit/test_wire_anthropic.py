"""Chat Completions to Anthropic Messages: every turn, tool and choice arrives, in order."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.wire.anthropic_messages import request
from serve.wire.openai_chat import parse

TEXT = {"type": "text", "text": "what is this?"}
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "does f", "parameters": {"type": "object"}},
}
BARE = {"type": "function", "function": {"name": "g"}}


def translated(messages: list[Any] | None = None, **fields: Any) -> dict[str, Any]:
    raw = {"model": "auto", "messages": messages or [user("hello")]} | fields
    return request(parse(json.dumps(raw).encode()), "claude", 4096)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, *calls: tuple[str, str]) -> dict[str, Any]:
    made = [
        {"id": id, "type": "function", "function": {"name": "f", "arguments": text}} for id, text in calls
    ]
    return {"role": "assistant", "content": content} | ({"tool_calls": made} if calls else {})


def result(id: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def says(role: str, *blocks: Any) -> dict[str, Any]:
    return {
        "role": role,
        "content": [{"type": "text", "text": b} if isinstance(b, str) else b for b in blocks],
    }


def test_a_plain_question_is_one_turn_and_nothing_more() -> None:
    assert translated() == {"model": "claude", "max_tokens": 4096, "messages": [says("user", "hello")]}


USES = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
GOT = {"type": "tool_result", "tool_use_id": "c1", "content": "cat"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        pytest.param([user("a"), assistant("b"), user("c")],
                     [says("user", "a"), says("assistant", "b"), says("user", "c")], id="alternating"),
        pytest.param([user("a"), user("b")], [says("user", "a", "b")], id="neighbours-merge"),
        pytest.param([assistant("a"), assistant("b"), user("c")], [says("assistant", "a", "b"), says("user", "c")],
                     id="assistant-neighbours-merge"),
        pytest.param([user("a"), assistant(None, ("c1", '{"a": 1}')), result("c1", "cat")],
                     [says("user", "a"), says("assistant", USES), says("user", GOT)], id="a-tool-call"),
        pytest.param([user("a"), assistant("wait", ("c1", '{"a": 1}')), result("c1", "cat"), user("and?")],
                     [says("user", "a"), says("assistant", "wait", USES), says("user", GOT, "and?")],
                     id="text-before-a-call-and-a-question-after-its-result"),
        pytest.param([user("a"), assistant(None, ("c1", '{"a": 1}'), ("c2", "")), result("c1", "cat"),
                      result("c2", [TEXT, TEXT])],
                     [says("user", "a"), says("assistant", USES, USES | {"id": "c2", "input": {}}),
                      says("user", GOT, {"type": "tool_result", "tool_use_id": "c2",
                                         "content": "what is this?\nwhat is this?"})],
                     id="two-results-are-one-turn"),
        pytest.param([user("a"), assistant(None), user("b")], [says("user", "a", "b")], id="an-empty-turn-vanishes"),
        pytest.param([user([TEXT, TEXT])], [says("user", "what is this?", "what is this?")], id="text-parts"),
        pytest.param([user([TEXT, picture(PNG)])], [says("user", "what is this?", IMAGE)], id="an-image-in-place"),
        pytest.param([user([TEXT, picture("https://example.org/a.png")])], [says("user", "what is this?", LINK)],
                     id="an-image-by-address"),
        pytest.param([user([picture(PNG), TEXT])], [says("user", IMAGE, "what is this?")], id="image-first"),
        pytest.param([user([TEXT, picture(PNG), TEXT])], [says("user", "what is this?", IMAGE, "what is this?")],
                     id="image-between"),
        pytest.param([user("a"), assistant(None, ("c1", "[1]")), user("b")],
                     [says("user", "a"), says("assistant", USES | {"input": {"value": [1]}}), says("user", "b")],
                     id="arguments-that-are-no-object"),
        pytest.param([user("a"), assistant([{"type": "refusal", "refusal": "no"}, TEXT]), user("b")],
                     [says("user", "a"), says("assistant", "what is this?"), says("user", "b")], id="refusal-part"),
    ],
)  # fmt: skip
def test_turns_alternate_and_keep_their_order(messages: list[Any], turns: list[Any]) -> None:
    assert translated(messages)["messages"] == turns


def test_system_and_developer_texts_are_one_system_prompt_in_order() -> None:
    made = translated(
        [{"role": "system", "content": "a"}, user("b"), {"role": "developer", "content": [TEXT]}, user("d")]
    )
    assert made["system"] == "a\n\nwhat is this?"
    assert made["messages"] == [says("user", "b", "d")]


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        pytest.param({}, {"type": "auto"}, id="unset"),
        pytest.param({"tool_choice": "auto"}, {"type": "auto"}, id="auto"),
        pytest.param({"tool_choice": "required"}, {"type": "any"}, id="required"),
        pytest.param({"tool_choice": "none"}, {"type": "none"}, id="none"),
        pytest.param({"tool_choice": {"type": "function", "function": {"name": "g"}}}, {"type": "tool", "name": "g"},
                     id="named"),
        pytest.param({"parallel_tool_calls": True}, {"type": "auto"}, id="parallel"),
        pytest.param({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}, id="one"),
        pytest.param({"parallel_tool_calls": False, "tool_choice": "required"},
                     {"type": "any", "disable_parallel_tool_use": True}, id="exactly-one"),
        pytest.param({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}, id="none-in-parallel"),
    ],
)  # fmt: skip
def test_every_form_of_tool_choice_has_its_counterpart(
    fields: dict[str, Any], choice: dict[str, Any]
) -> None:
    made = translated(tools=[TOOL, BARE], **fields)
    assert made["tool_choice"] == choice
    assert made["tools"] == [
        {"name": "f", "description": "does f", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        pytest.param({"stop": "END"}, {"stop_sequences": ["END"]}, id="one-stop"),
        pytest.param({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}, id="two-stops"),
        pytest.param({"max_tokens": 5}, {"max_tokens": 5}, id="max-tokens"),
        pytest.param({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}, id="the-newer-limit"),
        pytest.param({"tool_choice": "none"}, {}, id="a-choice-without-tools"),
        pytest.param({"seed": 1, "presence_penalty": 1, "frequency_penalty": 1, "temperature": 1, "top_k": 2}, {},
                     id="what-it-lacks"),
        pytest.param({"user": "u"}, {"metadata": {"user_id": "u"}}, id="user"),
        pytest.param({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
                     {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, id="schema"),
    ],
)  # fmt: skip
def test_settings_that_the_dialect_knows_go_on_and_no_others(
    fields: dict[str, Any], more: dict[str, Any]
) -> None:
    plain = {"model": "claude", "max_tokens": 4096, "messages": [says("user", "hello")]}
    assert translated(**fields) == plain | more


@pytest.mark.parametrize("text", ['{"a": ', "f(1)", '{"a":' * 100_000], ids=["cut", "prose", "deep"])
def test_history_with_arguments_that_are_no_json_is_still_a_request(text: str) -> None:
    made = translated([user("a"), assistant(None, ("c1", text)), result("c1", "error")])
    assert made["messages"][1]["content"][0]["type"] == "tool_use"


turns = st.sampled_from(
    [user("a"), user([TEXT]), assistant("b"), assistant("c", ("c1", "{}")), result("c1", "d")]
)


@settings(deadline=None)
@given(st.lists(turns, min_size=1, max_size=8))
def test_roles_always_alternate_and_no_word_is_lost(messages: list[Any]) -> None:
    made = translated(messages)["messages"]
    roles = [turn["role"] for turn in made]
    assert all(a != b for a, b in pairwise(roles))
    words = [block.get("text", block.get("content")) for turn in made for block in turn["content"]]
    sent = [m["content"] if isinstance(m["content"], str) else TEXT["text"] for m in messages]
    assert [word for word in words if word] == sent
