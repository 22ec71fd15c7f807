"""The verdict on an answer: what is good stays as it is, what can be mended fits, and the rest is refused."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.verdict import Verdict, judge
from serve.wire.openai_answer import ChatCompletion, completion
from serve.wire.openai_chat import ChatRequest, parse

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def asked(schema: Any = None, **fields: Any) -> ChatRequest:
    raw: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "x"}]} | fields
    if schema is not None:
        raw["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return parse(json.dumps(raw).encode())


def said(content: str | None, *calls: tuple[str, str], finish: str | None = None) -> ChatCompletion:
    made = [{"id": f"c{i}", "function": {"name": n, "arguments": a}} for i, (n, a) in enumerate(calls)]
    message = {"role": "assistant", "content": content} | ({"tool_calls": made} if calls else {})
    choice = {"message": message, "finish_reason": finish or ("tool_calls" if calls else "stop")}
    return completion("lane", json.dumps({"id": "1", "created": 1, "model": "m", "choices": [choice]}))


def text_of(verdict: Verdict) -> str:
    return verdict.answer.choices[0].message.content or ""


def calls_of(verdict: Verdict) -> list[tuple[str, str]]:
    return [
        (c.function.name, c.function.arguments) for c in verdict.answer.choices[0].message.tool_calls or []
    ]


ADA = '{"name": "Ada", "age": 36}'


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(asked(), said("anything at all {"), id="text"),
        pytest.param(asked(PERSON), said(ADA), id="structure"),
        pytest.param(asked(PERSON), said(f"\n {ADA}\n\n"), id="structure-with-space"),
        pytest.param(asked({"type": "string"}), said('"Paris"'), id="a-bare-string"),
        pytest.param(asked({"type": "integer"}), said("5"), id="a-bare-number"),
        pytest.param(asked({"type": ["object", "null"]}), said("null"), id="null"),
        pytest.param(asked(response_format={"type": "json_object"}), said('{"x": 1e3}'), id="json-object"),
        pytest.param(asked(tools=TOOLS), said("no tool needed"), id="text-though-tools-are-offered"),
        pytest.param(asked(tools=TOOLS), said('Like {"a": 1}.'), id="prose-that-shows-json"),
        pytest.param(asked(tools=TOOLS), said('```\n{"name": "rm_rf", "arguments": {}}\n```'), id="other-tool"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", ' {"city":  "Z\\u00fcrich"} ')), id="call"),
        pytest.param(asked(tools=TOOLS), said("wait", ("now", "{}"), ("get_weather", '{"city":"a"}')), id="two-calls"),
        pytest.param(asked(tools=TOOLS, tool_choice="none"), said('{"name": "now", "arguments": {}}'), id="unwanted"),
        pytest.param(asked(tools=TOOLS, tool_choice=NAMED), said(None, ("get_weather", '{"city":"a"}')), id="forced"),
        pytest.param(asked(PERSON), said('{"name": "Ad', finish="length"), id="cut-by-the-clients-own-limit"),
        pytest.param(asked(PERSON), said("I may not.", finish="content_filter"), id="refused"),
        pytest.param(asked({"type": "object", "required": ["code"]}), said(json.dumps({"code": "```{}```"})),
                     id="structure-with-a-fence"),
        pytest.param(asked({"type": "string"}), said('"use {} here"'), id="string-with-braces"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", json.dumps({"city": "<tool>{}</tool>"}))),
                     id="call-with-a-tag"),
    ],
)  # fmt: skip
def test_a_good_answer_is_passed_on_byte_for_byte(request_: ChatRequest, answer: ChatCompletion) -> None:
    verdict = judge(request_, answer)
    assert (verdict.outcome, verdict.fault) == ("valid", "")
    assert verdict.answer is answer


@pytest.mark.parametrize(
    ("request_", "answer", "mended"),
    [
        pytest.param(asked(PERSON), said(f"```json\n{ADA}\n```"), json.loads(ADA), id="fenced"),
        pytest.param(asked(PERSON), said(f"Sure: {ADA}"), json.loads(ADA), id="in-prose"),
        pytest.param(asked(PERSON), said(ADA[:-1]), json.loads(ADA), id="missing-brace"),
        pytest.param(asked(PERSON), said('{"name": "Ada", "age": "36", "x": 1}'), json.loads(ADA), id="types"),
        pytest.param(asked({"type": "array"}), said("```\n[1]\n```"), [1], id="list"),
        pytest.param(asked(response_format={"type": "json_object"}), said("{'a': 1}"), {"a": 1}, id="json-object"),
    ],
)  # fmt: skip
def test_a_botched_structure_is_mended(request_: ChatRequest, answer: ChatCompletion, mended: Any) -> None:
    verdict = judge(request_, answer)
    assert verdict.outcome == "repaired"
    assert json.loads(text_of(verdict)) == mended


CALL = '{"name": "get_weather", "arguments": {"city": "Bern"}}'
BERN = ("get_weather", '{"city": "Bern"}')


@pytest.mark.parametrize(
    ("request_", "answer", "calls"),
    [
        pytest.param(asked(tools=TOOLS), said(CALL), [BERN], id="a-call-as-text"),
        pytest.param(asked(tools=TOOLS), said(f"```json\n{CALL}\n```"), [BERN], id="a-fenced-call"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", "{'city': 'Bern'}")), [BERN], id="bad-quotes"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", '{"city": "Bern"')), [BERN], id="missing-brace"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", '{"city": 5}')), [("get_weather", '{"city": "5"}')],
                     id="wrong-type"),
        pytest.param(asked(tools=TOOLS), said(None, ("functions.get_weather", BERN[1])), [BERN], id="prefixed-name"),
        pytest.param(asked(tools=TOOLS), said(None, BERN, finish="stop"), [BERN], id="wrong-finish-reason"),
        pytest.param(asked(tools=TOOLS, tool_choice=NAMED), said(CALL), [BERN], id="forced-as-text"),
        pytest.param(asked(tools=TOOLS), said("[get_weather(city='Bern')]"), [BERN], id="python"),
        pytest.param(asked(tools=TOOLS, tool_choice="required"), said("You could use `get_weather(city='Bern')`."),
                     [BERN], id="python-in-prose-where-a-call-was-demanded"),
        pytest.param(asked(tools=TOOLS), said("get_weather(city='Bern', days='2')\nnow()"),
                     [("get_weather", '{"city": "Bern", "days": 2}'), ("now", "{}")], id="two-lines-of-python"),
        pytest.param(asked(tools=TOOLS, parallel_tool_calls=False), said(CALL), [BERN], id="one-at-a-time"),
        pytest.param(asked(tools=TOOLS, tool_choice=NAMED), said(None, ("functions.get_weather", BERN[1])), [BERN],
                     id="forced-with-a-prefix"),
    ],
)  # fmt: skip
def test_a_botched_call_is_mended(request_: ChatRequest, answer: ChatCompletion, calls: Any) -> None:
    verdict = judge(request_, answer)
    assert verdict.outcome == "repaired"
    assert calls_of(verdict) == calls
    assert verdict.answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("request_", "answer", "fault"),
    [
        pytest.param(asked(), said(""), "empty", id="nothing"),
        pytest.param(asked(), said(" \n"), "empty", id="only-space"),
        pytest.param(asked(PERSON), said("I cannot."), "not JSON", id="prose-for-a-structure"),
        pytest.param(asked(PERSON), said('{"name": "Ada"}'), "required", id="missing-field"),
        pytest.param(asked(PERSON), said('{"name": "Ada", "age": "old"}'), "type", id="a-type-that-cannot-be-bent"),
        pytest.param(asked({"not": {}}), said("{}"), "not", id="a-schema-nothing-fits"),
        pytest.param(asked(response_format={"type": "json_object"}), said("[1]"), "type", id="a-list-for-an-object"),
        pytest.param(asked(tools=TOOLS, tool_choice="required"), said("no"), "required", id="no-call"),
        pytest.param(asked(tools=TOOLS, tool_choice=NAMED), said(None, ("now", "{}")), "asked for", id="other-tool"),
        pytest.param(asked(tools=TOOLS), said(None, ("rm_rf", "{}")), "not offered", id="a-tool-nobody-offered"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", "{}")), "required", id="missing-argument"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", "[]")), "object", id="arguments-a-list"),
        pytest.param(asked(tools=TOOLS), said(None, BERN, ("rm_rf", "{}")), "not offered", id="one-bad-call-of-two"),
        pytest.param(asked(tools=TOOLS, parallel_tool_calls=False), said(None, BERN, ("now", "{}")), "one at a time",
                     id="two-calls-where-one-was-asked-for"),
        pytest.param(asked(tools=TOOLS, tool_choice="required"), said("[get_weather(city='Bern'), rm_rf(a=1)]"),
                     "required", id="one-call-of-two-in-a-list-is-of-no-offered-tool"),
        pytest.param(asked({"type": ["string", "null"]}), said("Paris"), "", id="prose-where-null-would-fit"),
        pytest.param(asked({}), said("Paris"), "", id="prose-where-anything-would-fit"),
        pytest.param(asked({}), said("[" * 100_000), "", id="100000-deep-where-anything-would-fit"),
    ],
)  # fmt: skip
def test_a_hopeless_answer_is_refused_with_a_reason(
    request_: ChatRequest, answer: ChatCompletion, fault: str
) -> None:
    verdict = judge(request_, answer)
    assert verdict.outcome == "invalid"
    assert fault in verdict.fault
    assert verdict.answer is answer


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(asked(PERSON), said('{"name": "Ada", "age": "xyzzy"}'), id="value"),
        pytest.param(asked(tools=TOOLS), said(None, ("xyzzy", "{}")), id="tool-name"),
        pytest.param(asked(tools=TOOLS), said(None, ("get_weather", "xyzzy")), id="arguments"),
        pytest.param(asked({"additionalProperties": {"type": "integer"}}), said('{"xyzzy": []}'), id="free-key"),
    ],
)  # fmt: skip
def test_the_fault_is_told_without_quoting_the_answer(request_: ChatRequest, answer: ChatCompletion) -> None:
    verdict = judge(request_, answer)
    assert verdict.outcome == "invalid"
    assert "xyzzy" not in verdict.fault


# Whatever a model writes: the verdict never raises, and what it lets through fits.

SCHEMAS: list[dict[str, Any]] = [
    PERSON,
    {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}, "b": {"enum": ["x", 1]}},
    },
    {"type": "array", "items": {"type": "number", "minimum": 0}},
    {"type": "string", "maxLength": 3},
    {"anyOf": [{"type": "integer"}, {"type": "object", "minProperties": 1}]},
]
VALIDATORS = [jsonschema_rs.validator_for(schema) for schema in SCHEMAS]
which = st.integers(0, len(SCHEMAS) - 1)
scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-9, 99) | st.text('ab é{}[]"\\', max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "age", "a", "b", "z"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
SCRAPS = [
    "```",
    "```json\n",
    "<tool_call>",
    "</tool_call>",
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    ADA,
    CALL,
    "null",
    "1",
]
scraps = st.lists(st.sampled_from(SCRAPS) | st.text(max_size=4), max_size=10).map("".join)
texts = values.map(json.dumps) | scraps | st.text(max_size=40)


@settings(deadline=None, max_examples=400)
@given(which, texts)
def test_a_structure_that_is_let_through_is_json_that_fits_its_schema(schema: int, text: str) -> None:
    verdict = judge(asked(SCHEMAS[schema]), said(text))
    if verdict.outcome != "invalid":
        assert VALIDATORS[schema].is_valid(json.loads(text_of(verdict)))
    assert (verdict.outcome == "valid") == (verdict.answer == said(text) and not verdict.fault)


@settings(deadline=None, max_examples=300)
@given(which, values)
def test_a_structure_that_fits_is_never_changed(schema: int, value: Any) -> None:
    if VALIDATORS[schema].is_valid(value) and isinstance(value, dict | list | int):
        assert text_of(judge(asked(SCHEMAS[schema]), said(json.dumps(value)))) == json.dumps(value)


@settings(deadline=None, max_examples=400)
@given(texts, st.sampled_from(["get_weather", "now", "x.now", "rm_rf", ""]), texts, st.booleans())
def test_a_call_that_is_let_through_is_of_an_offered_tool_and_fits(
    text: str, name: str, arguments: str, forced: bool
) -> None:
    request = asked(tools=TOOLS, tool_choice="required" if forced else "auto")
    for answer in (said(text), said(text, (name, arguments))):
        verdict = judge(request, answer)
        if verdict.outcome == "invalid":
            continue
        calls = calls_of(verdict)
        assert calls or not forced
        for called, given_ in calls:
            assert called in ("get_weather", "now")
            assert called == "now" or jsonschema_rs.is_valid(WEATHER, json.loads(given_))
            assert isinstance(json.loads(given_), dict)


@pytest.mark.parametrize("argument", ["%s", '{"city": %s}', '{"city": "%s"}'])
def test_no_argument_is_evaluated(tmp_path: Path, argument: str) -> None:
    trap = tmp_path / "trap"
    code = f"__import__('pathlib').Path('{trap}').touch()"
    judge(asked(tools=TOOLS), said(argument % code, ("get_weather", argument % code)))
    assert not trap.exists()


def test_a_mended_answer_can_always_be_written_as_utf_8() -> None:
    verdict = judge(asked({"type": "object"}), said('```json\n{"x": "\\ud800"}\n```'))
    verdict.answer.model_dump_json()
