"""Checks that a client declares: what they mean, and which of them are refused."""

import json
from typing import Any

import pytest

from serve.checks import HEADER, Checks, Unmet, read
from serve.errors import InvalidRequest
from serve.verdict import judge
from tests.unit.test_verdict import TOOLS, asked, said


def checks(value: Any) -> Checks:
    made = read({HEADER: json.dumps(value)})
    assert made is not None
    return made


def fault(value: Any, content: str | None, *calls: tuple[str, str]) -> str | None:
    try:
        checks(value).check(said(content, *calls).choices[0])
    except Unmet as unmet:
        return str(unmet).removeprefix(f"{HEADER}: ")
    return None


NOTE = '{"price": 12.5, "tags": ["new", "old"], "lines": [{"n": 1}, {"n": 3}], "ok": true}'


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ({"max_words": 2}, "two words", None),
        ({"max_words": 2}, "now three words", "max_words is not met"),
        ({"min_words": 3}, "two words", "min_words is not met"),
        ({"enum": ["yes", "no"]}, " yes\n", None),
        ({"enum": ["yes", "no"]}, "Yes.", "enum is not met"),
        ({"pattern": "^[0-9]{4}$"}, "2026", None),
        ({"pattern": "^[0-9]{4}$"}, "in 2026", "pattern is not met"),
        ({"pattern": "^é$"}, "é", None),
        ({"minimum": 1, "maximum": 10}, "7", None),
        ({"minimum": 1, "maximum": 10}, "70", "maximum is not met"),
        ({"minimum": 1}, "seven", "minimum is not met"),
        ({"minimum": 0}, "true", "minimum is not met"),
        ({"words": ["Refund", "14 days"]}, "A refund takes 14 days.", None),
        ({"words": ["fund"]}, "A refund takes 14 days.", "words is not met"),
        ({"at": {"price": {"maximum": 20}}}, NOTE, None),
        ({"at": {"price": {"maximum": 12}}}, NOTE, "maximum is not met at place 1 of at"),
        ({"at": {"$.tags[*]": {"enum": ["new"]}}}, NOTE, "enum is not met at place 1 of at"),
        ({"at": {"tags[0]": {"enum": ["new"]}}}, NOTE, None),
        ({"at": {"price": {}, "lines[*].n": {"maximum": 2}}}, NOTE, "maximum is not met at place 2 of at"),
        ({"at": {"tags[2]": {}}}, NOTE, "place 1 of at is missing"),
        ({"at": {"colour": {}}}, NOTE, "place 1 of at is missing"),
        ({"at": {"colour": {"optional": True, "enum": ["red"]}}}, NOTE, None),
        ({"at": {"ok": {"enum": [1]}}}, NOTE, "enum is not met at place 1 of at"),
        ({"at": {"$": {"max_words": 3}}}, '"three words here"', None),
        ({"at": {"price": {}}}, "no JSON", "the answer is not JSON, and at is about JSON"),
    ],
)  # fmt: skip
def test_what_passes_and_what_does_not(value: Any, text: str, found: str | None) -> None:
    assert fault(value, text) == found


def test_an_answer_of_calls_is_checked_by_the_checks_of_their_tools_alone() -> None:
    value = {"max_words": 0, "at": {"x": {}}, "calls": {"get_weather": {"days": {"maximum": 7}}}}
    assert fault(value, None, ("get_weather", '{"city": "Oslo", "days": 3}'), ("now", "{}")) is None
    late = ("get_weather", '{"city": "Oslo", "days": 30}')
    assert fault(value, None, late) == "maximum is not met at place 1 of calls"


def test_the_mended_answer_is_the_one_that_is_checked() -> None:
    request = asked(tools=TOOLS)
    answer = said(None, ("get_weather", '{"city": "Oslo", "days": "3"}'))
    of_days = {"calls": {"get_weather": {"days": {"maximum": 7}}}}
    assert judge(request, answer, checks(of_days)).outcome == "repaired"
    of_days["calls"]["get_weather"]["days"]["maximum"] = 2
    assert judge(request, answer, checks(of_days)).outcome == "invalid"


def test_what_the_clients_own_limit_cut_is_spared() -> None:
    assert judge(asked(), said("one two", finish="length"), checks({"min_words": 9})).outcome == "valid"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, ""),
        ([], ""),
        ({"maximum": "7"}, ".maximum"),
        ({"maximum": True}, ".maximum"),
        ({"colour": 1}, ".colour"),
        ({"minimum": 2, "maximum": 1}, ""),
        ({"max_words": -1}, ".max_words"),
        ({"pattern": "("}, ".pattern"),
        ({"pattern": "(?=a)"}, ".pattern"),
        ({"pattern": r"\p{L}{900}"}, ".pattern"),
        ({"pattern": "a" * 501}, ".pattern"),
        ({"enum": []}, ".enum"),
        ({"enum": [{}]}, ".enum"),
        ({"at": {"a..b": {}}}, ".at.a..b"),
        ({"at": {"a": {"optional": 1}}}, ".at.a.optional"),
        ({"calls": {"f": {}}}, ".calls.f"),
        ({"at": {f"a{i}": {"pattern": "a"} for i in range(11)}}, ""),
    ],
)
def test_what_means_nothing_is_refused_by_name(value: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        checks(value)
    assert error.value.param is not None
    assert error.value.param.startswith(HEADER + field)


LONG = json.dumps({"enum": ["x" * 8192]})
TWICE = '{"max_words": 1}, {"max_words": 1}'


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, TWICE, LONG, "\xff", "NaN"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read({HEADER: text})
    assert error.value.param == HEADER


def test_a_header_may_carry_utf_8() -> None:
    raw = json.dumps({"enum": ["größer"]}, ensure_ascii=False).encode().decode("latin-1")
    made = read({HEADER: raw})
    assert made is not None
    assert made.enum == ["größer"]


def test_text_that_is_none_breaks_no_pattern_search() -> None:
    found = fault({"at": {"$": {"pattern": "a"}}}, r'"\ud800"')
    assert found == "pattern is not met at place 1 of at"
