"""JSON is read as its reader will see it, at every depth, and what only looks like JSON loses nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve import egress
from serve.attempts import body_of
from serve.config import HttpLane
from serve.egress import Permit
from serve.lane_errors import LaneEgressDenied
from serve.request import view_of
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity import read, unquote
from serve.signals.sensitivity.own import Own
from serve.sweeps import judge
from serve.sweeps.agreement import Spoken
from serve.wire.openai_chat import ChatRequest, parse
from tests.support.serving import config

TOKEN = "9fKx2LmQ8vTz4RbW7nYc3HdJ6sPg1AeU"
BOLD_CARD = "".join(chr(0x1D7CE + int(digit)) for digit in "4111111111111111")
OPENS_A_LINE = {
    "marking": "STRICTLY CONFIDENTIAL\n\nWe close the plant in May.\n",
    "second-line": "Report\r\nCONFIDENTIAL\r\nthe plant closes\r\n",
    "tlp": "TLP:RED\nThe breach began in March.\n",
    "key": "DEBUG=1\nAWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI7K7MDENGbPxRfiCYzzzzzzzzKEq\nPORT=80\n",
    "bare-token": f"the token of it\n{TOKEN}\n",
    "nino": "name\tnino\nx\tAB123456C\n",
    "hetu": "nimi,hetu\nMatti,\n131052-308T\n",
    "diary": "Notes\nI was diagnosed with bipolar disorder in March.\n",
    "base64": "data\nU1NOIDUzNi05MC00Mzk5IGlzIGhlcnM=\n",
    "json": '{"user":"a","password":"Tr0ub4dor3xyz"}',
    "code": f'import os\napi_key = "{TOKEN}"\nprint(1)\n',
}
WRAPPED: dict[str, Callable[[str], str]] = {
    "once": lambda text: json.dumps({"path": "a.txt", "content": text}),
    "twice": lambda text: json.dumps({"r": json.dumps({"content": text})}),
    "six-times": lambda text: nested(text, 6),
    "string": json.dumps,
    "lines": lambda text: f'{{"n": 1}}\n{json.dumps({"content": text})}\n',
    "huge-number": lambda text: json.dumps({"content": text})[:-1] + f', "n": {"1" * 5000}}}',
    "deep-list": lambda text: f'{{"n": {"[" * 3000}{"]" * 3000}, "content": {json.dumps(text)}}}',
    "same-key": lambda text: json.dumps({"a": text})[:-1] + ', "a": 1}',
    "cut-off": lambda text: json.dumps({"content": text + "The rest of it is"})[:-6],
    "fenced": lambda text: f"Look:\n```json\n{json.dumps({'content': text}, indent=1)}\n```\n",
    "behind-braces": lambda text: "f({ }) or [ ] and {x}: " + json.dumps({"content": text}),
}


def nested(text: str, depth: int) -> str:
    for _ in range(depth):
        text = json.dumps([text])
    return text


def called(arguments: str) -> ChatRequest:
    function = {"name": "write", "arguments": arguments}
    turns = [
        {"role": "user", "content": "go on"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    return parse(json.dumps({"model": "auto", "messages": turns}).encode())


def level(arguments: str) -> Sensitivity:
    return read(view_of(called(arguments))).level


def passes_the_gate(request: ChatRequest) -> bool:
    settings = config("http://127.0.0.1:9", "http://127.0.0.1:9")
    cloud = settings.lane("cloud-openai")
    assert isinstance(cloud, HttpLane)
    try:
        egress.check(cloud, Permit(Sensitivity.PUBLIC, frozenset({"global"})), body_of(request), settings)
    except LaneEgressDenied:
        return False
    return True


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("kind", OPENS_A_LINE)
def test_what_opens_a_line_is_found_inside_json(kind: str, wrap: str) -> None:
    assert level(WRAPPED[wrap](OPENS_A_LINE[kind])) is Sensitivity.CONFIDENTIAL


def test_the_gate_reads_json_as_well() -> None:
    assert passes_the_gate(called(json.dumps({"content": "The plant stays open.\n"})))
    assert not passes_the_gate(called(json.dumps({"content": OPENS_A_LINE["marking"]})))


def test_what_a_judge_is_asked_is_read_as_the_answer_it_holds() -> None:
    settings = config("http://127.0.0.1:9", "http://127.0.0.1:9")
    asked = parse(json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}).encode())
    cloud = settings.lane("cloud-openai")
    assert passes_the_gate(judge.question("How good is it?", asked, Spoken("Fine.\n", ()), cloud))
    said = Spoken(OPENS_A_LINE["marking"], ())
    assert not passes_the_gate(judge.question("How good is it?", asked, said, cloud))


def test_the_words_of_an_organisation_are_found_behind_an_escape() -> None:
    own = Own({Sensitivity.CONFIDENTIAL: ("Bluebird",)})
    arguments = json.dumps({"content": "Status\nBluebird is late\n"})
    assert read(view_of(called(arguments)), own).level is Sensitivity.CONFIDENTIAL


def test_no_escape_makes_an_address_of_a_decorator() -> None:
    code = "import typer\n\napp = typer.Typer()\n\n@app.command()\ndef run() -> None:\n\t@app.command()\n"
    assert level(json.dumps({"content": code})) is Sensitivity.PUBLIC
    assert level(nested(code, 4)) is Sensitivity.PUBLIC


def test_source_files_are_as_public_in_arguments_as_they_are_as_text() -> None:
    for file in sorted(Path(__file__).parents[2].joinpath("serve", "keys").glob("*.py")):
        text = file.read_text()
        assert level(json.dumps({"content": text})) <= level(text), file


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(r'{"file": "C:\\new\\table", "password": "Tr0ub4dor3xyz\n"}', id="blank-behind"),
        pytest.param(r'{"password": "Tr0ub4dor3\"xyz"}', id="quote-within"),
        pytest.param(r"C:\new { password=Tr0ub4dor3xyz\next", id="no-json"),
        pytest.param(r"{C:\new\n4111 1111 1111 1111\n", id="not-even-a-string"),
        pytest.param(json.dumps({"card": BOLD_CARD}), id="pairs"),
        pytest.param(json.dumps({"card": f"{BOLD_CARD} q"})[:-2] + r'\q"}', id="pairs-in-bad-json"),
        pytest.param('{"number": 4111111111111111}', id="number"),
        pytest.param('{"536-90-4399": null}', id="key"),
    ],
)
def test_reading_the_escapes_loses_nothing(arguments: str) -> None:
    assert level(arguments) is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(json.dumps({"id": TOKEN, "etag": TOKEN[::-1], "n": "a\nb"}), id="identifiers"),
        pytest.param(json.dumps({"pattern": r"\bnew\b", "path": "C:\\temp\\new.txt"}), id="pattern-and-path"),
        pytest.param('print("Confidential?\\n", {"a": "CONFIDENTIAL\\n"})', id="code"),
    ],
)
def test_ordinary_arguments_stay_public(arguments: str) -> None:
    assert level(arguments) is Sensitivity.PUBLIC


@pytest.mark.parametrize(
    "start", ['const a = { "id": next(), };\n', '{"', '["a", x], ', '{"k": "' + "v " * 900 + '", }\n']
)
@pytest.mark.parametrize("times", [16, 3000])
def test_a_document_is_found_behind_what_only_looks_like_json(start: str, times: int) -> None:
    document = json.dumps({"content": OPENS_A_LINE["marking"]})
    assert level(f"x = {start * times}; {document} .") is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize("size", [*range(40, 72), 255, 256, 257, 5000])
def test_a_document_is_found_whole_at_any_length(size: int) -> None:
    document = json.dumps({"c": "a\nb", "d": [True, -1.5e9, "q" * size, "\u00e9\n", None]})
    assert [one.whole for one in unquote.unquote(f"see {document} there")][1:] == [
        unquote.unquote(document)[0].whole
    ]


def test_code_with_many_braces_stays_public() -> None:
    assert level('log({ "id": next(), "to": C("\\n") });\n' * 2000) is Sensitivity.PUBLIC


def test_what_is_nested_too_deep_to_read_is_confidential() -> None:
    assert level(nested("hello", 6)) is Sensitivity.PUBLIC
    assert level(nested("hello", 12)) is Sensitivity.CONFIDENTIAL


def test_layers_that_hardly_grow_end_at_the_same_depth() -> None:
    text = "hello"
    for _ in range(200):
        text = '["' + text.replace("\\", "\\u005c").replace('"', "\\u0022") + '"]'
    (reading,) = unquote.unquote(text)
    assert not reading.settled


def test_text_without_json_is_read_once() -> None:
    for text in ("hello", '"quoted"', "[1] see below", "{ x }", "", "C:\\new", "a\\nb"):
        assert [(one.whole, one.strings) for one in unquote.unquote(text)] == [(text, ())]


@given(st.text(), st.integers(1, 4))
def test_every_text_is_found_whole_in_its_json(text: str, depth: int) -> None:
    reading = unquote.unquote(nested(text, depth))[0]
    assert (
        any(text in one for one in reading.strings)
        or len(text.split()) < 2
        or text.lstrip()[:1] in ("{", "[", '"')
    )


@given(st.text(alphabet='{}[]"\\nu0:, a\n', max_size=200))
def test_no_text_is_too_odd_to_read(text: str) -> None:
    readings = unquote.unquote(text)
    assert len(readings) == 1 or readings[0].whole == text
