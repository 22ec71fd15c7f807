"""What opens a line is found behind a line break that is written as an escape, and code stays what it is."""

import json
from collections.abc import Callable

import pytest

from serve.request import view_of
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity import breaks, read
from serve.wire.openai_chat import parse
from tests.unit.test_sensitivity_unquote import OPENS_A_LINE, level, passes_the_gate

SUBJECT = {"subject": "From: a\nSubject: CONFIDENTIAL: plant\nWe close it.\n"}
WRITTEN: dict[str, Callable[[str], str]] = {
    "repr": repr,
    "bytes": lambda text: repr(text.encode()),
    "repr-twice": lambda text: repr(repr(text)),
    "windows": lambda text: repr(text.replace("\r\n", "\n").replace("\n", "\r\n")),
    "dict": lambda text: f"got {{'n': 1, 'text': {text!r}}}",
    "behind-a-number": lambda text: f"12 {json.dumps(text)}",
    "logfmt": lambda text: f"ts=2024-01-01T00:00:00Z level=info msg={json.dumps(text)} n=1",
    "repr-in-json": lambda text: json.dumps({"out": repr(text)}),
    "log-in-json": lambda text: json.dumps({"out": f"2024 msg={json.dumps(text)}"}),
    "cut-off": lambda text: "Here it is: " + json.dumps({"a": 1, "content": f"{text}The rest"})[:-6],
    "cut-off-twice": lambda text: (
        "Look: " + json.dumps({"a": json.dumps({"c": f"{text}The rest"})[:-6]})[:-6]
    ),
    "cut-off-behind-others": lambda text: (
        'f({"a"}) {"b": "c\\nd"} ' + json.dumps([{"c": f"{text}The rest"}])[:-6]
    ),
}


def said(text: str) -> Sensitivity:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return read(view_of(parse(json.dumps(body).encode()))).level


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("kind", OPENS_A_LINE | SUBJECT)
def test_what_opens_a_line_is_found_behind_an_escaped_break(kind: str, how: str) -> None:
    text = WRITTEN[how]((OPENS_A_LINE | SUBJECT)[kind])
    assert said(text) is Sensitivity.CONFIDENTIAL
    assert level(text) is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize("how", ["repr", "logfmt", "dict"])
def test_a_marking_in_the_last_line_of_a_literal_is_found(how: str) -> None:
    assert said(WRITTEN[how]("We close the plant in May.\nCONFIDENTIAL")) is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('print("Confidential?\\n", {"a": "CONFIDENTIAL\\n"})', id="a-line-printed"),
        pytest.param('puts("Is it\\nCONFIDENTIAL or not?\\n")', id="prose"),
        pytest.param(r"open C:\new\notes\nino.txt and C:\temp\nordic\internal\names.txt", id="paths"),
        pytest.param(r"$\nabla f \neq \theta$ and \newcommand{\nu}{\tau} \noindent Text", id="latex"),
        pytest.param('re.split(r"\\r\\n|\\n|\\t", x)  # "a\\nb".split("\\n")', id="patterns"),
        pytest.param('x = {"class": "CONFIDENTIAL", "text": "one\\ntwo"}', id="a-word-beside-it"),
    ],
)
def test_ordinary_escapes_stay_public(text: str) -> None:
    assert said(text) is Sensitivity.PUBLIC


def test_the_gate_reads_escaped_breaks_as_well() -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": repr(SUBJECT["subject"])}]}
    assert not passes_the_gate(parse(json.dumps(body).encode()))


def test_only_lines_with_a_break_inside_are_read_again() -> None:
    assert breaks.broken('printf("one\\n");\nprintf("two\\n");') == ""
    assert breaks.broken("no escape\nat all") == ""
    assert breaks.broken('text += "\\tData Group\\n"') == ""
    assert breaks.broken("'a\\tAB123456C'") == "'a\tAB123456C'"
    assert breaks.broken('x\nmsg="a\\tb\\r\\nc" n=1\ny') == "msg=\na\tb\nc\n n=1"
