"""Chat requests as bytes: what is refused and at which field, what is dropped, and what goes on unchanged."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.errors import InvalidRequest
from serve.wire.bounded import MAX_SCHEMA_DEPTH
from serve.wire.openai_chat import parse

CANARY = "xyzzy-canary"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
BASE: dict[str, Any] = {"model": "auto", "messages": HELLO}
NOT_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"]


def body(**changes: Any) -> bytes:
    return json.dumps(BASE | changes).encode()


def spliced(text: str, **changes: Any) -> bytes:
    """A body with `text` in the place of the string "HERE": bytes that json.dumps would not write."""
    return body(**changes).replace(b'"HERE"', text.encode())


def refused(raw: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        parse(raw)
    return error.value


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def tool(parameters: Any, **more: Any) -> list[Any]:
    return [{"type": "function", "function": {"name": "f", "parameters": parameters} | more}]


def answer_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="unfinished"),
        pytest.param(body() + b" x", id="more-after-it"),
        pytest.param(body(messages=user("x")).replace(b'"x"', b'"\xff"'), id="invalid-utf-8"),
        pytest.param(body(messages=user("x")).replace(b'"x"', b'"\xed\xa0\x80"'), id="utf-8-surrogate"),
        pytest.param(spliced(r'"\ud800"', messages=user("HERE")), id="lone-lead"),
        pytest.param(spliced(r'"\udc00"', messages=user("HERE")), id="lone-trail"),
        pytest.param(spliced(r'{"\udc00": 1}', tools=tool("HERE")), id="lone-surrogate-in-a-key"),
        pytest.param(spliced(r'{"a": "\ud800x"}', metadata="HERE"), id="lone-surrogate-in-a-field-we-drop"),
        pytest.param(spliced("9" * 5000, n="HERE"), id="5000-digits"),
        pytest.param(json.dumps(BASE).encode("utf-16"), id="utf-16"),
        pytest.param(f'{{"model": "{CANARY}\\q"}}'.encode(), id="unknown-escape"),
        pytest.param(f'{{"{CANARY}": tru}}'.encode(), id="unknown-word"),
    ],
)  # fmt: skip
def test_bytes_that_are_not_json_are_refused_as_such(raw: bytes) -> None:
    error = refused(raw)
    assert (error.status, error.code, error.param) == (400, "invalid_json", None)
    assert CANARY not in error.message


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        pytest.param(b"[1]", "(body)", id="a-list"),
        pytest.param(b"null", "(body)", id="null"),
        pytest.param(b'"x"', "(body)", id="a-string"),
        pytest.param(b'{"model": "auto"}', "messages", id="no-messages"),
        pytest.param(body(messages=[]), "messages", id="empty-messages"),
        pytest.param(body(messages=CANARY), "messages", id="messages-a-string"),
        pytest.param(b'{"messages": [{"role": "user", "content": "x"}]}', "model", id="no-model"),
        pytest.param(body(model=""), "model", id="empty-model"),
        pytest.param(body(model=["auto"]), "model", id="model-a-list"),
        pytest.param(body(messages=[CANARY]), "messages[0]", id="a-message-is-a-string"),
        pytest.param(body(messages=[{"content": CANARY}]), "messages[0]", id="no-role"),
        pytest.param(body(messages=[*HELLO, {"role": CANARY, "content": "x"}]), "messages[1]", id="unknown-role"),
        pytest.param(body(messages=[{"role": {CANARY: 1}, "content": "x"}]), "messages[0]", id="role-an-object"),
        pytest.param(body(messages=[{"role": "user"}]), "messages[0].content", id="no-content"),
        pytest.param(body(messages=user(None)), "messages[0].content", id="null-content"),
        pytest.param(body(messages=user(5)), "messages[0].content", id="content-a-number"),
        pytest.param(body(messages=user([])), "messages[0].content", id="no-parts"),
        pytest.param(body(messages=user({CANARY: 1})), "messages[0].content", id="content-an-object"),
        pytest.param(body(messages=user([{"type": CANARY}])), "messages[0].content[0]", id="unknown-part"),
        pytest.param(body(messages=user([{"type": "text"}])), "messages[0].content[0].text", id="part-without-text"),
        pytest.param(body(messages=user([{"type": "image_url", "image_url": {"url": 5}}])),
                     "messages[0].content[0].image_url.url", id="image-url-a-number"),
        pytest.param(body(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id", id="no-call-id"),
        pytest.param(body(messages=[{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]),
                     "messages[0].tool_calls[0].function.arguments", id="call-without-arguments"),
        pytest.param(body(stop=5), "stop", id="stop-a-number"),
        pytest.param(body(stop={}), "stop", id="stop-an-object"),
        pytest.param(body(stop=["a"] * 5), "stop", id="five-stops"),
        pytest.param(body(n=0), "n", id="n-0"),
        pytest.param(body(n=16384), "n", id="n-16384"),
        pytest.param(body(max_tokens=10**12), "max_tokens", id="max-tokens"),
        pytest.param(body(temperature=CANARY), "temperature", id="temperature-a-word"),
        pytest.param(body(top_p=0), "top_p", id="top-p-0"),
        pytest.param(body(seed=2**63), "seed", id="seed"),
        pytest.param(body(user="u" * 513), "user", id="long-user"),
        pytest.param(body(functions=[]), "functions", id="legacy-functions"),
        pytest.param(body(tools=[{"type": CANARY, "function": {"name": "f"}}]), "tools[0].type", id="tool-type"),
        pytest.param(body(tools=[{"type": "function"}]), "tools[0].function", id="tool-without-function"),
        pytest.param(body(tools=tool({}, name=f"{CANARY} {CANARY}")), "tools[0].function.name", id="tool-name"),
        pytest.param(body(tools=tool([CANARY])), "tools[0].function.parameters", id="parameters-a-list"),
        pytest.param(body(tools=tool({}) * 513), "tools", id="513-tools"),
        pytest.param(body(tool_choice=CANARY), "tool_choice", id="tool-choice-word"),
        pytest.param(body(tool_choice={}), "tool_choice.type", id="tool-choice-empty"),
        pytest.param(body(tool_choice="required"), "tool_choice", id="tool-choice-without-tools"),
        pytest.param(body(tools=tool({}), tool_choice={"type": "function", "function": {"name": CANARY}}),
                     "tool_choice.function.name", id="tool-choice-of-no-tool"),
        pytest.param(body(response_format={"type": CANARY}), "response_format", id="format"),
        pytest.param(body(response_format={"type": "json_schema"}), "response_format.json_schema", id="no-schema"),
        pytest.param(body(response_format=answer_schema(CANARY)), "response_format.json_schema.schema",
                     id="schema-a-string"),
        pytest.param(body(top_logprobs=2), "top_logprobs", id="top-logprobs-alone"),
        pytest.param(body(stream_options=[]), "stream_options", id="stream-options-a-list"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_its_content_is_not_repeated(raw: bytes, param: str) -> None:
    error = refused(raw)
    assert (error.status, error.code, error.param) == (400, "invalid_request", param)
    assert CANARY not in error.message


@pytest.mark.parametrize("number", NOT_NUMBERS)
@pytest.mark.parametrize(
    "field", ["temperature", "top_p", "presence_penalty", "frequency_penalty", "n", "seed"]
)
def test_what_is_no_finite_number_is_refused_as_a_setting(field: str, number: str) -> None:
    assert refused(spliced(number, **{field: "HERE"})).param == field


@pytest.mark.parametrize("number", NOT_NUMBERS)
@pytest.mark.parametrize("schema", [{"maximum": "HERE"}, {"properties": {"a": {"enum": [1, ["HERE"]]}}}])
def test_what_is_no_finite_number_is_refused_inside_schemas(schema: Any, number: str) -> None:
    assert refused(spliced(number, tools=tool(schema))).param == "tools[0].function.parameters"
    raw = spliced(number, response_format=answer_schema(schema))
    assert refused(raw).param == "response_format.json_schema.schema"


@pytest.mark.parametrize("number", NOT_NUMBERS)
@pytest.mark.parametrize("place", [{"logit_bias": {"5": "HERE"}}, {"messages": [HELLO[0] | {"x": "HERE"}]}])
def test_what_is_no_finite_number_never_goes_on_in_a_field_we_drop(place: Any, number: str) -> None:
    assert "logit_bias" not in (sent := parse(spliced(number, **place)).sent())
    assert sent["messages"] == HELLO


def test_a_schema_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    def deep(levels: int) -> Any:
        return {"properties": deep(levels - 1)} if levels else {}

    assert parse(body(tools=tool(deep(MAX_SCHEMA_DEPTH - 1)))).tools
    assert refused(body(tools=tool(deep(MAX_SCHEMA_DEPTH)))).param == "tools[0].function.parameters"


def test_a_schema_that_is_too_large_for_a_grammar_is_refused() -> None:
    assert refused(body(tools=tool({"enum": list(range(70_000))}))).param == "tools[0].function.parameters"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(
    [
        "messages",
        "model",
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "n",
        "temperature",
        "functions",
        "stream",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(FIELDS, json_values, max_size=3))
def test_whatever_stands_in_a_field_is_a_request_or_invalid_and_nothing_else(changes: dict[str, Any]) -> None:
    try:
        json.dumps(parse(body(**changes)).sent(), allow_nan=False).encode()
    except InvalidRequest:
        return


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_whatever_the_bytes_are_they_are_a_request_or_invalid(raw: bytes) -> None:
    assert refused(raw).status == 400
