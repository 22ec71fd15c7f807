"""What a small model botches is mended by rule, and what it did not botch is left alone."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serve import bend, repair, spoken
from serve.wire.openai_chat import FunctionSpec

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
SPECS = {name: FunctionSpec(name=name, parameters=WEATHER) for name in ("get_weather", "web.search")}
CALL = '{"name": "get_weather", "arguments": {"city": "Bern", "days": 2}}'
BERN = {"city": "Bern", "days": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('{"a": 1}', {"a": 1}, id="plain"),
        pytest.param(' \n{"a": 1}\n ', {"a": 1}, id="space-around"),
        pytest.param("[1, 2]", [1, 2], id="list"),
        pytest.param('```json\n{"a": 1}\n```', {"a": 1}, id="fenced"),
        pytest.param('```\n{"a": 1}\n```', {"a": 1}, id="fenced-without-language"),
        pytest.param('```json\n{"a": 1}', {"a": 1}, id="fence-never-closed"),
        pytest.param('Here you are:\n```json\n{"a": 1}\n```\nAnything else?', {"a": 1}, id="fenced-in-prose"),
        pytest.param('Sure! {"a": 1} Hope it helps.', {"a": 1}, id="bare-in-prose"),
        pytest.param('<tool_call>{"a": 1}</tool_call>', {"a": 1}, id="tagged"),
        pytest.param('<tool_call>\n{"a": 1}', {"a": 1}, id="tag-never-closed"),
        pytest.param('{"a": {"b": 1}', {"a": {"b": 1}}, id="missing-brace"),
        pytest.param('{"a": [1, 2}', {"a": [1, 2]}, id="missing-bracket"),
        pytest.param('{"a": 1,}', {"a": 1}, id="trailing-comma"),
        pytest.param("{'a': 'b'}", {"a": "b"}, id="single-quotes"),
        pytest.param("{a: 1}", {"a": 1}, id="bare-key"),
        pytest.param('{"a": True, "b": None}', {"a": True, "b": None}, id="python-words"),
        pytest.param('{"a": "Zürich \U0001f600"}', {"a": "Zürich \U0001f600"}, id="unicode"),
        pytest.param("5", 5, id="number"),
        pytest.param('"x"', "x", id="string"),
    ],
)
def test_the_json_that_a_text_means_is_found(text: str, value: Any) -> None:
    assert repair.parsed(text) == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("The answer is four.", id="prose"),
        pytest.param("", id="nothing"),
        pytest.param("NaN", id="nan"),
        pytest.param("[" * 100_000, id="100000-deep"),
        pytest.param('{"a": 1}' + " " * repair.MOST_CHARS, id="too-long-to-be-meant"),
    ],
)
def test_a_text_without_a_value_is_unreadable(text: str) -> None:
    with pytest.raises(repair.Unreadable):
        repair.parsed(text)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"code": "```json {}```"}, id="a-fence-in-a-string"),
        pytest.param({"code": "```[1]```"}, id="a-short-fence-in-a-string"),
        pytest.param({"doc": "<tool>{}</tool>"}, id="a-tag-in-a-string"),
        pytest.param("use {} or [1]", id="braces-in-a-bare-string"),
    ],
)
def test_valid_json_is_read_as_a_whole_whatever_its_strings_hold(value: Any) -> None:
    assert repair.parsed(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        pytest.param(CALL, [("get_weather", BERN)], id="bare"),
        pytest.param(f"```json\n{CALL}\n```", [("get_weather", BERN)], id="fenced"),
        pytest.param(f"<tool_call>\n{CALL}\n</tool_call>", [("get_weather", BERN)], id="tagged"),
        pytest.param(f"I will look: {CALL}", [("get_weather", BERN)], id="after-prose"),
        pytest.param(f"[{CALL}, {CALL}]", [("get_weather", BERN)] * 2, id="a-list"),
        pytest.param(CALL[:-1], [("get_weather", BERN)], id="missing-brace"),
        pytest.param(CALL.replace("arguments", "parameters"), [("get_weather", BERN)], id="parameters"),
        pytest.param(CALL.replace("get_weather", "functions.get_weather"), [("get_weather", BERN)], id="prefixed"),
        pytest.param(CALL.replace("get_weather", "Search"), [("web.search", BERN)], id="only-its-last-part"),
        pytest.param(f'{{"function": {CALL}}}', [("get_weather", BERN)], id="wrapped"),
        pytest.param(json.dumps({"name": "get_weather", "arguments": json.dumps(BERN)}), [("get_weather", BERN)],
                     id="arguments-as-text"),
        pytest.param('{"city": "Bern", "days": 2}', [], id="json-without-a-name"),
        pytest.param(CALL.replace("get_weather", "rm_rf"), [], id="a-tool-nobody-offered"),
        pytest.param(f'Like this: {{"a": 1}}, or {CALL[:20]}', [], id="prose-with-json"),
        pytest.param('{"name": "get_weather"}', [], id="no-arguments"),
        pytest.param(json.dumps({"doc": f"<tool_call>{CALL}</tool_call>".replace('"', "'")}), [],
                     id="valid-json-that-quotes-a-call"),
        pytest.param('{"name": "get_weather", "arguments": [1]}', [], id="arguments-a-list"),
        pytest.param(f"[{CALL}, 5]", [], id="a-list-of-other-things-too"),
        pytest.param('{"name": ["get_weather"], "arguments": {}}', [], id="name-a-list"),
        pytest.param("You would write get_weather(city='Bern') in Python.", [], id="prose-that-shows-python"),
        pytest.param("", [], id="nothing"),
        pytest.param("[]", [], id="empty-list"),
        pytest.param("[" * 100_000, [], id="100000-deep"),
        pytest.param(CALL + " " * repair.MOST_CHARS, [], id="too-long-to-be-meant"),
    ],
)  # fmt: skip
def test_a_call_written_as_text_is_a_call_only_of_an_offered_tool(text: str, calls: list[Any]) -> None:
    found = spoken.calls_in_text(text, SPECS)
    assert [(call.function.name, json.loads(call.function.arguments)) for call in found] == calls
    assert len({call.id for call in found}) == len(found)


def test_a_last_part_that_two_tools_share_means_neither() -> None:
    specs = {name: FunctionSpec(name=name) for name in ("web.search", "mail.search")}
    assert spoken.Offered(specs).known("search") is None
    assert spoken.Offered(specs).known("mail.search") == "mail.search"


PROPERTIES = {
    "n": {"type": "integer"}, "x": {"type": "number"}, "b": {"type": "boolean"}, "s": {"type": "string"},
    "l": {"type": "array", "items": {"type": "integer"}},
    "o": {"type": "object", "properties": {"n": {"type": "integer"}}},
}  # fmt: skip
OPEN: dict[str, Any] = {"type": "object", "properties": PROPERTIES, "required": ["s"]}
CLOSED: dict[str, Any] = OPEN | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("value", "bent"),
    [
        pytest.param({"n": "5"}, {"n": 5}, id="integer-as-text"),
        pytest.param({"n": " 5 "}, {"n": 5}, id="integer-in-spaces"),
        pytest.param({"n": 5.0}, {"n": 5}, id="whole-float"),
        pytest.param({"n": 5.5}, {"n": 5.5}, id="a-fraction-is-not-rounded"),
        pytest.param({"n": "5.5"}, {"n": "5.5"}, id="a-fraction-as-text-is-not-rounded"),
        pytest.param({"n": "five"}, {"n": "five"}, id="a-word-is-no-number"),
        pytest.param({"n": True}, {"n": True}, id="true-is-not-1"),
        pytest.param({"n": "true"}, {"n": "true"}, id="true-as-text-is-not-1"),
        pytest.param({"x": "1e3"}, {"x": 1000.0}, id="number-as-text"),
        pytest.param({"x": "NaN"}, {"x": "NaN"}, id="nan-is-no-number"),
        pytest.param({"b": "True"}, {"b": True}, id="boolean-as-text"),
        pytest.param({"b": 1}, {"b": 1}, id="1-is-not-true"),
        pytest.param({"s": 5}, {"s": "5"}, id="number-for-text"),
        pytest.param({"s": True}, {"s": True}, id="true-for-text"),
        pytest.param({"l": "5"}, {"l": "5"}, id="text-that-is-no-list"),
        pytest.param({"l": "[1, 2]"}, {"l": [1, 2]}, id="list-as-text"),
        pytest.param({"l": 5}, {"l": [5]}, id="one-item"),
        pytest.param({"l": ["1", 2]}, {"l": [1, 2]}, id="items-as-text"),
        pytest.param({"o": '{"n": 1}'}, {"o": {"n": 1}}, id="object-as-text"),
        pytest.param({"o": {"n": "1"}}, {"o": {"n": 1}}, id="nested"),
        pytest.param({"n": None}, {}, id="null-for-an-optional-field"),
        pytest.param({"s": None}, {"s": None}, id="null-for-a-required-field"),
        pytest.param({"other": 1}, {"other": 1}, id="unknown-where-it-is-allowed"),
    ],
)  # fmt: skip
def test_types_are_bent_only_where_nothing_is_lost(value: Any, bent: Any) -> None:
    made = bend.coerced(value, OPEN)
    assert json.dumps(made) == json.dumps(bent)


def test_unknown_arguments_are_dropped_where_the_schema_is_closed() -> None:
    assert bend.coerced({"s": "a", "other": 1}, CLOSED) == {"s": "a"}


numbers: st.SearchStrategy[Any] = st.integers(-(10**15), 10**15) | st.floats(
    allow_nan=False, allow_infinity=False
)
leaves: st.SearchStrategy[Any] = st.none() | st.booleans() | numbers | st.text(max_size=8)
plain_leaves = leaves.filter(lambda leaf: not isinstance(leaf, str) or not set("`<") & set(leaf))


def containers(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.text("abcn_ é", max_size=4)
    inner = st.recursive(
        leaf, lambda more: st.lists(more, max_size=3) | st.dictionaries(keys, more, max_size=3)
    )
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)


noise = st.sampled_from(
    ["```", "```json\n", "<tool_call>", "</tool_call>", "{", "}", "[", "]", '"', ":", ",", CALL, "null"]
)
scribble = st.lists(noise | st.text(max_size=5), max_size=12).map("".join)


@settings(deadline=None, max_examples=300)
@given(containers(plain_leaves), st.sampled_from([None, 1]), st.booleans())
def test_valid_json_without_fences_or_tags_is_read_as_it_is(
    value: Any, indent: int | None, ascii: bool
) -> None:
    assert repair.parsed(json.dumps(value, indent=indent, ensure_ascii=ascii)) == value


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60) | scribble)
@example('{"a": "\\ud800"}')
@example("]{")
@example("{]")
@example("```{```")
def test_no_text_breaks_it_and_a_call_is_always_of_an_offered_tool(text: str) -> None:
    with suppress(repair.Unreadable):
        repair.parsed(text)
    for call in spoken.calls_in_text(text, SPECS):
        assert call.function.name in SPECS
        assert isinstance(json.loads(call.function.arguments), dict)


@settings(deadline=None, max_examples=300)
@given(containers(leaves), st.sampled_from([OPEN, CLOSED, {}, {"type": "array"}, {"items": [1]}, True, None]))
def test_bending_a_value_twice_bends_it_no_further(value: Any, schema: Any) -> None:
    once = bend.coerced(value, schema)
    assert bend.coerced(once, schema) == once


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param("%s", id="bare"),
        pytest.param("```python\n%s\n```", id="fenced"),
        pytest.param("<tool_call>%s</tool_call>", id="tagged"),
        pytest.param('{"name": "get_weather", "arguments": %s}', id="as-arguments"),
        pytest.param('{"name": "get_weather", "arguments": {"city": %s}}', id="as-a-value"),
    ],
)
def test_nothing_a_model_wrote_is_evaluated(tmp_path: Path, wrap: str) -> None:
    trap = tmp_path / "trap"
    text = wrap % f'__import__("pathlib").Path("{trap}").touch()'
    with suppress(repair.Unreadable):
        repair.parsed(text)
    spoken.calls_in_text(text, SPECS)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("text", "kind", "made"),
    [
        ('{\\n  "a": "b"\\n}', "object", {"a": "b"}),
        ("[\\n1,\\t2]", "array", [1, 2]),
        ("3, 1,-2.5", "array", [3, 1, -2.5]),
        ("1,200", "array", "1,200"),
        ("one, two", "array", "one, two"),
        ("3,1", "object", "3,1"),
    ],
)
def test_a_text_that_means_a_structure_becomes_one(text: str, kind: str, made: object) -> None:
    """`1,200` may be one number: what is not plain stays for the verdict to refuse."""
    found = bend.coerced({"x": text}, {"type": "object", "properties": {"x": {"type": kind}}})
    assert found == {"x": made}
