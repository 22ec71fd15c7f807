"""Row M3: whatever a model writes as a tool call or as JSON is judged, never run, and never a crash."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.lane_errors import LaneProtocolError
from serve.verdict import judge
from serve.wire.openai_answer import chunk, completion
from serve.wire.openai_chat import parse

CASES = 5000 if os.environ.get("POINTSMAN_NIGHTLY") else 300
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "object", "properties": {"deep": {"type": "object"}}},
    },
    "required": ["city"],
}  # fmt: skip
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
HELLO: list[Any] = [{"role": "user", "content": "x"}]
WITH_TOOLS = parse(json.dumps({"model": "auto", "messages": HELLO, "tools": TOOLS}).encode())
STRUCTURED = parse(json.dumps({"model": "auto", "messages": HELLO, "response_format": {
    "type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}}).encode())  # fmt: skip

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
written = st.one_of(
    st.text(max_size=200),
    json_like.map(json.dumps),
    json_like.map(repr),
    st.tuples(st.text("{[\"'\\:, }]`<>abcf0123456789\n", max_size=80)).map("".join),
    st.builds(lambda value, cut: json.dumps({"name": "f", "arguments": value})[:cut], json_like, st.integers(1, 200)),
    st.builds("<tool_call>{}</tool_call>".format, json_like.map(json.dumps)),
)  # fmt: skip


def answer(content: str | None, arguments: str | None = None, name: str = "f") -> str:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if arguments is not None:
        call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
        message["tool_calls"] = [call]
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "1", "created": 1, "model": "m", "choices": [choice]})


@settings(max_examples=CASES, deadline=None)
@given(written, written | st.none(), st.sampled_from(["f", "g", "a.f", "__import__", ""]))
def test_no_tool_call_breaks_the_verdict(content: str, arguments: str | None, name: str) -> None:
    """M3: valid, repaired or invalid; what is passed on as valid really is."""
    try:
        given_answer = completion("lane", answer(content, arguments, name))
    except LaneProtocolError:
        return
    verdict = judge(WITH_TOOLS, given_answer)
    judge(STRUCTURED, given_answer)
    if verdict.outcome != "invalid":
        for call in verdict.answer.choices[0].message.tool_calls or ():
            assert call.function.name == "f"
            assert isinstance(json.loads(call.function.arguments)["city"], str)


@pytest.mark.parametrize("depth", [50, 200, 400, 900, 5_000, 100_000])
@pytest.mark.parametrize("opening", ['{"deep":', "[", '{"city":"x","deep":{"deep":'])
@pytest.mark.parametrize("closed", [True, False])
def test_depth_is_no_way_to_crash(depth: int, opening: str, closed: bool) -> None:
    """M3: arguments and answers nested up to 100,000 levels deep."""
    closing = "".join({"{": "}", "[": "]"}[c] for c in reversed(opening) if c in "{[")
    text = opening * depth + ("1" + closing * depth if closed else "")
    for content, arguments in ((text, None), ("", text), (f"```json\n{text}\n```", None)):
        given_answer = completion("lane", answer(content, arguments))
        for request in (WITH_TOOLS, STRUCTURED):
            assert judge(request, given_answer).outcome in ("valid", "repaired", "invalid")


def test_code_in_arguments_is_only_text(tmp_path: Path) -> None:
    """M3: nothing a model writes is evaluated."""
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).write_text('x')"
    for arguments in (code, json.dumps({"city": code}), f"{{'city': {code}}}", f'{{"city": {code}}}'):
        judge(WITH_TOOLS, completion("lane", answer(None, arguments)))
        judge(WITH_TOOLS, completion("lane", answer(f'<tool_call>{{"name": "f", "arguments": {arguments}}}')))
        judge(STRUCTURED, completion("lane", answer(arguments)))
    assert not mark.exists()


counts = st.one_of(
    st.integers(), st.sampled_from([-1, 0, 10**9, 10**9 + 1, 10**12, 10**400]), st.floats(), st.text(max_size=4),
    st.none(), st.booleans(), st.lists(st.integers(), max_size=2),
)  # fmt: skip
usages = st.one_of(
    counts,
    st.fixed_dictionaries(
        {}, optional={"prompt_tokens": counts, "completion_tokens": counts, "total_tokens": counts}
    ),
)


@settings(max_examples=CASES, deadline=None)
@given(usages)
def test_any_usage_is_shown_bounded_or_not_at_all_and_marked(usage: object) -> None:
    """S9: usage never costs the answer; nonsense is left out and marked for whoever bills."""
    whole = completion("lane", json.dumps(json.loads(answer("hi")) | {"usage": usage}))
    part = chunk("lane", json.dumps({"id": "1", "created": 1, "model": "m", "choices": [], "usage": usage}))
    assert whole.usage == part.usage
    assert whole.choices[0].message.content == "hi"
    if whole.usage is None:
        assert bool(whole.usage_doubtful) is (usage is not None)
    else:
        assert 0 <= whole.usage.prompt_tokens <= 10**9
        assert 0 <= whole.usage.completion_tokens <= 10**9
        assert 0 <= whole.usage.total_tokens <= 2 * 10**9


PIECES = ["(", "[", "{", "f(", "f({", '[{"', "f(a='", "f(city=", '\\"', "'", "``` ", "<tool_call>", "<parameter=a>",
          "x = [\n",          '{"name": "f", "arguments": {', "f\n{", "[f(city=1), ", "aaaa"]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("size", [1_000, 19_000, 150_000])
def test_a_text_made_of_openings_is_judged_to_its_end(piece: str, size: int) -> None:
    """M3: what looks like the start of a call again and again costs a bounded number of readings, and no crash."""
    text = piece * (size // len(piece))
    for content, arguments in ((text, None), ("", text)):
        assert judge(WITH_TOOLS, completion("lane", answer(content, arguments))).outcome in (
            "valid",
            "repaired",
            "invalid",
        )
