"""Prose is let through and calls are kept, however the text is cut into chunks; no character is lost."""

import json
import os
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.holdback import HeldBack, applies
from serve.lane_errors import AnswerInvalid, LaneError, LaneUnavailable
from serve.wire.openai_answer import ChatChunk
from serve.wire.openai_chat import ChatRequest, parse

CASES = 5000 if os.environ.get("POINTSMAN_NIGHTLY") else 300
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
CALL = '{"name": "weather", "arguments": {"city": "B\\"e{r}n"}}'


def request(**fields: Any) -> ChatRequest:
    raw = {"model": "auto", "messages": [{"role": "user", "content": "x"}], "tools": TOOLS} | fields
    return parse(json.dumps(raw).encode())


def chunk(delta: dict[str, Any], finish: str | None = None) -> ChatChunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return ChatChunk.model_validate({"id": "1", "created": 1, "model": "m", "choices": [choice]})


START, END = chunk({"role": "assistant", "content": ""}), chunk({}, "stop")


def say(*parts: str) -> list[ChatChunk]:
    return [chunk({"content": part}) for part in parts]


def call(arguments: str, index: int = 0, id: str | None = "c", name: str | None = "weather") -> ChatChunk:
    function = {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})


async def shown(*chunks: ChatChunk) -> list[ChatChunk]:
    """What a client would get, without the signs of life."""

    async def source() -> AsyncGenerator[ChatChunk, None]:
        for item in chunks:
            yield item

    return [item async for item in HeldBack("lane", request()).filtered(source()) if item.choices]


def text(chunks: list[ChatChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks)


def calls(chunks: list[ChatChunk]) -> list[tuple[str | None, Any]]:
    deltas = [call for c in chunks for call in c.choices[0].delta.tool_calls or ()]
    return [(d.function.name, json.loads(d.function.arguments or "")) for d in deltas if d.function]


def cut(whole: str, cuts: set[int]) -> list[str]:
    places = sorted({0, len(whole), *(c for c in cuts if c < len(whole))})
    return [whole[a:b] for a, b in pairwise(places)]


prose = st.text(st.sampled_from("ab \n`<>{}[]\"'\\:,.tool_c"), max_size=60)
cuts = st.sets(st.integers(0, 200), max_size=30)


@settings(max_examples=CASES, deadline=None)
@given(prose.filter(str.strip), cuts)
async def test_text_without_a_call_arrives_unchanged(said: str, places: set[int]) -> None:
    chunks = await shown(START, *say(*cut(said, places)), END)
    assert text(chunks) == said
    assert not calls(chunks)
    assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
    assert sum(bool(c.choices[0].delta.role) for c in chunks) == 1


DISGUISES = [CALL, f"[{CALL}]", f"```json\n{CALL}\n```", f"```\n{CALL}\n```", f"<tool_call>{CALL}</tool_call>",
             f"<tool_call>\n{CALL}\n</tool_call>"]  # fmt: skip


@settings(max_examples=CASES, deadline=None)
@given(st.sampled_from(["", "Let me see: ", "Use `x` {y} [z](u) <b>\n"]), st.sampled_from(DISGUISES), cuts)
async def test_a_call_in_text_is_never_shown_as_text(before: str, disguise: str, places: set[int]) -> None:
    chunks = await shown(START, *say(*cut(before + disguise, places)), END)
    assert text(chunks) == before
    assert calls(chunks) == [("weather", {"city": 'B"e{r}n'})]
    assert [c.choices[0].finish_reason for c in chunks][-1] == "tool_calls"


async def test_code_is_let_through_line_by_line() -> None:
    """A fence that holds no JSON, and braces that are no JSON, hold nothing back."""
    lines = ["Here:\n", "```python\n", "x = {y for y in z}\n", "if a < b:\n", "```\n", "done"]
    seen: list[str] = []

    async def source() -> AsyncGenerator[ChatChunk, None]:
        for line in lines:
            seen.append(line)
            yield chunk({"content": line})
        yield END

    got = ""
    async for item in HeldBack("lane", request()).filtered(source()):
        got += text([item] if item.choices else [])
        # A fence waits for what follows it, nothing for more than that.
        assert got.startswith("".join(seen[:-1]))


async def test_reasoning_waits_with_what_follows_it() -> None:
    """A client that has read reasoning has read something: then no other lane could take over."""
    thought = chunk({"reasoning_content": "hm"})
    chunks = await shown(START, thought, *say("Hello"), END)
    assert [c.choices[0].delta.reasoning_content for c in chunks if c.choices[0].delta.reasoning_content] == [
        "hm"
    ]
    with pytest.raises(AnswerInvalid):
        await shown(START, thought, call('{"town": 1}'), END)


async def test_a_refusal_is_shown_at_once() -> None:
    chunks = await shown(START, chunk({"refusal": "I will "}), chunk({"refusal": "not"}), END)
    assert "".join(c.choices[0].delta.refusal or "" for c in chunks) == "I will not"


@pytest.mark.parametrize(
    ("deltas", "wanted"),
    [
        pytest.param([call('{"ci'), call('ty": "a"}', id=None, name=None)], ["a"], id="one-in-parts"),
        pytest.param([call('{"city": "a"}'), call('{"city": "b"}', 1, "d")], ["a", "b"], id="two"),
        pytest.param([call('{"city": "a"}'), call('{"city": "b"}', 0, "d")], ["a", "b"], id="two-with-one-number"),
        pytest.param([call('{"ci'), call('{"city"', 1, "d"), call('ty": "a"}', 0, None, None),
                      call(': "b"}', 1, None, None)], ["a", "b"], id="interleaved"),
    ],
)  # fmt: skip
async def test_deltas_become_whole_calls(deltas: list[ChatChunk], wanted: list[str]) -> None:
    chunks = await shown(START, *deltas, chunk({}, "tool_calls"))
    assert [arguments["city"] for _, arguments in calls(chunks)] == wanted


async def test_text_around_native_calls_is_kept() -> None:
    chunks = await shown(
        START, *say("before "), call('{"city": "a"}'), *say("after"), chunk({}, "tool_calls")
    )
    assert text(chunks) == "before after"
    assert calls(chunks) == [("weather", {"city": "a"})]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([START, call("{}"), chunk({}, "tool_calls")], id="invalid"),
        pytest.param([START, call('{"city": "a"}', name="other"), chunk({}, "tool_calls")], id="unknown"),
        pytest.param([START, *say("  \n"), END], id="nothing-but-space"),
        pytest.param([START, END], id="nothing"),
        pytest.param([START, *say('{"name": "weather", "arguments": {}}'), END], id="invalid-in-text"),
    ],
)
async def test_what_is_not_fit_is_refused_before_anything_is_shown(chunks: list[ChatChunk]) -> None:
    async def source() -> AsyncGenerator[ChatChunk, None]:
        for item in chunks:
            yield item

    got: list[ChatChunk] = []
    with pytest.raises(AnswerInvalid):
        await _collect(HeldBack("lane", request()).filtered(source()), got)
    assert not [item for item in got if item.choices]


async def _collect(chunks: AsyncGenerator[ChatChunk, None], into: list[ChatChunk]) -> None:
    async for item in chunks:
        into.append(item)


async def test_a_stream_without_an_end_is_not_judged() -> None:
    with pytest.raises(LaneUnavailable):
        await shown(START, call('{"city": "a"}'))


async def test_endless_arguments_are_an_error() -> None:
    with pytest.raises(LaneError):
        await shown(START, *[call("x" * 100_000, id=None)] * 11)


async def test_endless_white_space_is_no_answer() -> None:
    with pytest.raises(AnswerInvalid):
        await shown(START, *say(*["\n" * 100] * 50))


@pytest.mark.parametrize("piece", ["```x", "``` ", "```\n", "{", '{"', "[{", "<tool", '{"a":1}', "`"])
async def test_text_made_to_look_like_calls_is_let_through_in_the_end(piece: str) -> None:
    """190,000 suspicious characters at once: no work that grows with their square."""
    said = "prose " + piece * (190_000 // len(piece))
    assert text(await shown(START, *say(said), END)) == said


@pytest.mark.parametrize(
    ("fields", "does"),
    [
        ({}, True),
        ({"tool_choice": "auto"}, True),
        ({"tool_choice": "none"}, False),
        ({"tool_choice": "required"}, False),
        ({"tools": None}, False),
        ({"n": 2}, False),
        ({"response_format": {"type": "json_object"}}, False),
    ],
)
def test_which_answers_may_be_shown_in_parts(fields: dict[str, Any], does: bool) -> None:
    assert applies(request(**fields)) is does
