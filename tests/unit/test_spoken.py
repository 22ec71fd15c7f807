"""Calls that models write as text, in the formats of the common chat templates and in the syntax of languages."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import spoken
from serve.wire.openai_chat import FunctionSpec

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}, "tags": {"type": "array"}, "near": {"type": "object"},
    },
    "required": ["city"],
}  # fmt: skip
SPECS = {name: FunctionSpec(name=name, parameters=PARAMETERS) for name in ("get_weather", "geo.find")}
BERN = {"city": "Bern", "days": 2}
JSON = '{"name": "get_weather", "arguments": {"city": "Bern", "days": 2}}'
ARGS = '{"city": "Bern", "days": 2}'


def found(text: str, demanded: bool = True) -> list[tuple[str, Any]]:
    calls = spoken.calls_in_text(text, SPECS, demanded=demanded)
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"<tool_call>\n{JSON}\n</tool_call>", id="hermes"),
        pytest.param(f'[TOOL_CALLS] [{JSON}]', id="mistral"),
        pytest.param(f"[TOOL_CALLS]get_weather[ARGS]{ARGS}", id="mistral-11"),
        pytest.param(f"<|python_tag|>{JSON}", id="llama"),
        pytest.param(f"<function=get_weather>{ARGS}</function>", id="llama-function"),
        pytest.param(f"functools[{JSON}]", id="functools"),
        pytest.param(f"get_weather\n{ARGS}", id="glm-4"),
        pytest.param("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Bern</arg_value>\n"
                     "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>", id="glm-4.5"),
        pytest.param("<tool_call>\n<function=get_weather>\n<parameter=city>\nBern\n</parameter>\n"
                     "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>", id="qwen-coder"),
        pytest.param('<invoke name="get_weather"><parameter name="city">Bern</parameter>'
                     '<parameter name="days">2</parameter></invoke>', id="invoke"),
        pytest.param("<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
                     f"<|tool_call_argument_begin|>{ARGS}<|tool_call_end|>", id="kimi"),
        pytest.param("<|tool_call_begin|>function<|tool_sep|>get_weather\n```json\n"
                     f"{ARGS}\n```<|tool_call_end|>", id="deepseek"),
        pytest.param("<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
                     f"{ARGS}<|call|>", id="harmony"),
        pytest.param(f">>>get_weather\n{ARGS}", id="functionary"),
        pytest.param(f'Action: ```json\n[{{"tool_name": "get_weather", "parameters": {ARGS}}}]\n```', id="command-r"),
        pytest.param("```tool_code\nget_weather(city='Bern', days=2)\n```", id="gemma"),
        pytest.param(f'{{"tool_calls": [{JSON}]}}', id="wrapped-list"),
        pytest.param(f'[{{"get_weather": {ARGS}}}]', id="keyed"),
        pytest.param(f'["get_weather", {ARGS}]', id="pair"),
        pytest.param(f'{{"name": "get_weather", {ARGS[1:]}', id="arguments-beside-the-name"),
    ],
)  # fmt: skip
def test_the_formats_of_chat_templates_are_read(text: str) -> None:
    [(name, arguments)] = found(text)
    assert (name, arguments["city"], int(arguments["days"])) == ("get_weather", "Bern", 2)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        pytest.param("get_weather(city='Bern', days=2)", BERN, id="plain"),
        pytest.param("[get_weather(city='Bern', days=2)]", BERN, id="list"),
        pytest.param('["get_weather(city=\'Bern\', days=2)"]', BERN, id="list-of-strings"),
        pytest.param("print(default_api.get_weather(city='Bern', days=2))", BERN, id="printed"),
        pytest.param("get_weather('Bern', 2)", BERN, id="by-place"),
        pytest.param("get_weather({'city': 'Bern', 'days': 2})", BERN, id="one-object"),
        pytest.param("get_weather(**{'city': 'Bern', 'days': 2})", BERN, id="spread"),
        pytest.param("get_weather({city: 'Bern', days: 2});", BERN, id="javascript"),
        pytest.param("get_weather(city=Bern, days=2)", BERN, id="no-quotes"),
        pytest.param("get\\_weather(city='Bern', days=2)", BERN, id="markdown"),
        pytest.param("get_weather(city='Bern', days=2", BERN, id="never-closed"),
        pytest.param("where = 'Bern'\nget_weather(city=where, days=2)", BERN, id="a-variable"),
        pytest.param("get_weather(city='St John's, NL')", {"city": "St John's, NL"}, id="a-quote-in-quotes"),
        pytest.param("get_weather(city=Boston, MA)", {"city": "Boston, MA"}, id="a-comma-without-quotes"),
        pytest.param("get_weather(city='a', tags=['x', True, None, -1.5e1, (2,)], near={'k': [1]})",
                     {"city": "a", "tags": ["x", True, None, -15.0, [2]], "near": {"k": [1]}}, id="nested"),
    ],
)  # fmt: skip
def test_the_syntax_of_languages_is_read(text: str, arguments: Any) -> None:
    assert found(text) == [("get_weather", arguments)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Write get_weather(city='Bern') to ask.", id="python"),
        pytest.param(f"The format is\nget_weather\n{ARGS}", id="name-and-object"),
        pytest.param("def get_weather(city, days): ...", id="a-definition"),
        pytest.param("get_weather and geo.find are my tools (both free).", id="names"),
    ],
)
def test_prose_stays_prose_unless_a_call_was_demanded(text: str) -> None:
    assert found(text, demanded=False) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[get_weather(city='Bern'), rm_rf(path='/')]", id="the-second-is-unknown"),
        pytest.param("[rm_rf(path='/'), get_weather(city='Bern')]", id="the-first-is-unknown"),
        pytest.param("get_weather()", id="what-it_demands-is-missing"),
        pytest.param("get_weather(city, days)", id="names-of-arguments-are-no-values"),
        pytest.param("get_weather('a', 1, [], {}, 5)", id="more-values-than-arguments"),
        pytest.param("Weather is fine.", id="prose"),
    ],
)
def test_what_is_not_wholly_read_is_no_call(text: str) -> None:
    assert found(text) == []


def test_several_calls_keep_their_order_and_an_explanation_adds_none() -> None:
    text = "[get_weather(city='a'), geo.find(city='b')]\n\nThis calls get_weather(city='a') first."
    assert [(name, arguments["city"]) for name, arguments in found(text)] == [
        ("get_weather", "a"),
        ("geo.find", "b"),
    ]


@pytest.mark.parametrize(
    ("name", "known"),
    [("get_weather", "get_weather"), ("Get-Weather", "get_weather"),
     ("geo_find", "geo.find"), ("api.geo.find", "geo.find"),
     ("functions.get_weather", "get_weather"), ("FIND", "geo.find"), ("get_weathers", None), ("", None)],
)  # fmt: skip
def test_a_name_means_a_tool_only_where_one_alone_fits(name: str, known: str | None) -> None:
    assert spoken.Offered(SPECS).known(name) == known


pieces = st.lists(
    st.sampled_from(["get_weather", "geo.find", "(", ")", "[", "]", "{", "}", "=", ":", ",", "'", '"', "\\", "\n",
                     "```", "city", "1", " ", "<tool_call>", "</tool_call>", "<parameter=city>",
                     "<function=get_weather>",
                     "x = "])
    | st.text(max_size=3),
    max_size=30,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(pieces, st.booleans())
def test_no_text_breaks_the_reader(text: str, demanded: bool) -> None:
    for name, arguments in found(text, demanded):
        assert name in SPECS
        assert isinstance(arguments, dict)
