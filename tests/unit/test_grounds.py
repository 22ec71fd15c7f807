"""Signs that a call in valid form does not stand on what was said."""

import json
from typing import Any

import pytest

from serve import grounds
from serve.wire.openai_answer import ChatCompletion
from serve.wire.openai_chat import ChatRequest, parse

TOOLS = ["book_table", "send_mail"]
ELSEWHERE = "a call has an argument that stands nowhere in the conversation"
LEFT_OUT = "a number of the request is in no call"
UNCALLED = "the request names a tool that was not called"


def asked(*messages: str | dict[str, Any]) -> ChatRequest:
    put = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    kinds = {
        "type": "object",
        "properties": {"unit": {"type": "string", "description": "kelvin, say, or 37"}},
    }
    offered = [{"type": "function", "function": {"name": name, "parameters": kinds}} for name in TOOLS]
    return parse(json.dumps({"model": "auto", "messages": put, "tools": offered}).encode())


def told(*arguments: dict[str, Any], name: str = "book_table") -> ChatCompletion:
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(one)}}
        for n, one in enumerate(arguments)
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "tool_calls": calls or None},
        "finish_reason": "stop",
    }
    return ChatCompletion.model_validate({"id": "1", "created": 1, "model": "m", "choices": [choice]})


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        ("A table in Rome for 4", {"city": "Rome", "guests": 4}, ""),
        ("A table in Rome for four, on July 9 2026", {"city": "Rome, IT", "guests": 4, "day": "2026-07-09"}, ""),
        ("At 5 pm in Rome", {"city": "Rome", "at": "17:00"}, ""),
        ("5% of $1,200, compounded quarterly", {"rate": 0.05, "of": 1200, "n": 4}, ""),
        ("The mean of [200,300]", {"of": [200, 300]}, ""),
        ("Accelerate at 4 m/s^2 for 3km", {"by": 4, "for": 3000}, ""),
        ("Translating texts", {"what": "translation", "unit": "kelvin", "at": 37, "deep": {"on": [True, None]}}, ""),
        ("Write to Ann", {"text": "Dear Ann, many thanks indeed for these wonderful flowers"}, ""),
        ("A table in Rome", {"city": "Paris"}, ELSEWHERE),
        ("A table in Rome", {"city": "Rome", "at": {"guests": [3]}}, ELSEWHERE),
        ("A table in Rome tomorrow", {"city": "Rome", "day": "2023-10-06"}, ELSEWHERE),
        ("A table in Rome for 4", {"city": "Rome"}, LEFT_OUT),
        ("A table in Rome", {"city": "Rome", "name": " "}, "an argument of a call is empty"),
        ("book_table in Rome, then send mail", {"city": "Rome"}, UNCALLED),
    ],
)  # fmt: skip
def test_what_an_argument_stands_on(text: str, arguments: dict[str, Any], why: str) -> None:
    assert grounds.doubt(asked(text), told(arguments)) == why


def test_the_same_call_twice_is_doubted_and_two_calls_share_what_was_asked() -> None:
    request = asked("Tables for 3 and for 4")
    assert grounds.doubt(request, told({"guests": 3}, {"guests": 3})) == "the same call came twice"
    assert grounds.doubt(request, told({"guests": 3}, {"guests": 4})) == ""


def test_results_of_tools_are_ground_and_leave_nothing_to_ask_for() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "send_mail", "arguments": '{"to": "Bob"}'}}
    before = {"role": "assistant", "content": None, "tool_calls": [call]}
    request = asked("For 4, please", before, {"role": "tool", "tool_call_id": "1", "content": "Room 812"})
    assert grounds.doubt(request, told({"room": 812, "who": "Bob"})) == ""


def test_answers_without_calls_and_long_conversations_are_not_judged() -> None:
    assert grounds.doubt(asked("For 4, please"), told()) == ""
    assert grounds.doubt(asked("x" * grounds.MOST_CHARS), told({"city": "Paris"})) == ""


def test_a_number_too_big_for_a_float_is_a_number_that_nobody_said() -> None:
    assert grounds.doubt(asked("A table for 4"), told({"guests": 10**400, "at": 4})) == ELSEWHERE


@pytest.mark.parametrize(
    "text",
    ["1," * 40_000, "9" * 90_000, "1.1." * 20_000, "pm " * 30_000, "\U0001f600" * 9_000, "12,345" * 9_000],
)
def test_hostile_texts_are_read(text: str) -> None:
    """In linear time: the test would not end otherwise."""
    grounds.doubt(asked(text), told({"a": text[:1000], "b": 10**300, "c": -0.0}))
