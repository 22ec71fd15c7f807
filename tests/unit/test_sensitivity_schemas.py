"""Values in schemas: numbers are read, and each value behind its name."""

import json
from typing import Any

import pytest

from serve.request import view_of
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity import read
from serve.wire.openai_chat import parse

Json = dict[str, Any]


def level(schema: Json) -> Sensitivity:
    tool = {"type": "function", "function": {"name": "t", "parameters": {"type": "object"} | schema}}
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    return read(view_of(parse(json.dumps(body).encode()))).level


@pytest.mark.parametrize(
    "schema",
    [
        {"examples": [{"card": 4111111111111111}]},
        {"examples": [{"ssn": 536904399}]},
        {"examples": [{"ssn": "536904399"}]},
        {"examples": [{"personnummer": 198112289874}]},
        {"examples": [{"user": "bob", "password": "Tr0ub4dor3xyz"}]},
        {"properties": {"password": {"default": "Tr0ub4dor3xyz"}}},
    ],
)
def test_a_value_in_a_schema_is_read_with_its_name(schema: Json) -> None:
    assert level(schema) is Sensitivity.CONFIDENTIAL


def test_bounds_are_nobodys_numbers() -> None:
    bounds = {"type": "integer", "minimum": 1000000000000, "maximum": 9007199254740991}
    assert level({"properties": {"ts": bounds, "token": {"enum": ["bearer", "basic"]}}}) is Sensitivity.PUBLIC


def sent_seed(seed: int) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "seed": seed}
    return parse(json.dumps(body).encode()).sent()["seed"]


@pytest.mark.parametrize("card", [4111111111111111, -4111111111111111, 378282246310005, 2**63 - 1])
def test_a_seed_that_could_be_a_number_of_somebody_is_replaced_by_the_same_one_each_time(card: int) -> None:
    assert sent_seed(card) == sent_seed(card) != sent_seed(card - 1)
    assert 0 <= sent_seed(card) < 2**31


@pytest.mark.parametrize("seed", [0, 1, -1, 42, 2**31 - 1, 2**32 - 1])
def test_a_seed_of_32_bits_is_sent_as_it_is(seed: int) -> None:
    assert sent_seed(seed) == seed
