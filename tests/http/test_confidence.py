"""A lane that is not sure of its answer: the next one is asked, and the client sees no probabilities."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene

# The upstream says 0.905 (a log probability of -0.1) of every token.
SURER = {"dispatch": {"confidence": {"classification": {"at_least": 0.95}}}}
SURE = {"dispatch": {"confidence": {"classification": {"at_least": 0.5}}}}
LABEL = (
    "Classify the sentiment of this review as positive or negative: I loved the food. Answer with one word."
)
DOWN = dict.fromkeys(("local-tools", "cloud-openai", "cloud-anthropic"), "500")


def post(s: Scene, path: str = "/v1/chat/completions", **fields: Any) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": LABEL}]} | fields
    return httpx2.post(s.url + path, json=body, timeout=30, trust_env=False)


def test_an_unsure_answer_goes_to_the_next_lane_with_what_was_tried(scene: Callable[..., Scene]) -> None:
    s = scene(**SURER)
    assert post(s, "/v1/route").json()["signals"]["task"] == "classification"
    answer = post(s)
    assert answer.headers["x-pointsman-trail"] == "local-general=unsure, cloud-openai=ok"
    [first], [second] = s.local.requests, s.cloud.requests
    assert first.json["logprobs"] is True
    assert "logprobs" not in second.json
    note = second.json["messages"][-1]["content"]
    assert "its confidence is 0.90, under 0.95" in note
    assert "upstream answers" in note


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_sure_answer_is_the_answer_without_its_probabilities(
    scene: Callable[..., Scene], stream: bool
) -> None:
    s = scene(**SURE)
    answer = post(s, stream=stream)
    assert answer.headers["x-pointsman-trail"] == "local-general=ok"
    assert s.local.requests[0].json["logprobs"] is True
    assert 'logprob"' not in answer.text
    assert "upstream answers" in answer.text
    assert not s.cloud.requests


def test_a_client_that_asked_for_probabilities_gets_them(scene: Callable[..., Scene]) -> None:
    s = scene(**SURE)
    assert post(s, logprobs=True).json()["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.1


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_where_nobody_else_answers_the_unsure_answer_is_better_than_none(
    scene: Callable[..., Scene], stream: bool
) -> None:
    s = scene(models=DOWN, **SURER)
    answer = post(s, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-pointsman-lane"] == "local-general"
    assert answer.headers["x-pointsman-trail"].startswith("local-general=unsure, ")
    assert "upstream answers" in answer.text


def test_other_tasks_are_not_measured(scene: Callable[..., Scene]) -> None:
    s = scene(**SURER)
    plain = [{"role": "user", "content": "hello there"}]
    assert post(s, messages=plain).headers["x-pointsman-trail"] == "local-general=ok"
    assert "logprobs" not in s.local.requests[0].json


def test_an_answer_of_too_few_tokens_is_too_short(scene: Callable[..., Scene]) -> None:
    rule = {"classification": {"at_least": 0.5, "least_tokens": 100}}
    s = scene(dispatch={"confidence": rule})
    assert post(s).headers["x-pointsman-trail"].startswith("local-general=unsure, ")
    assert "too short" in s.cloud.requests[0].json["messages"][-1]["content"]


# Calls that do not stand on what was said.

DOUBTS = {"dispatch": {"doubt_calls": True}}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY}}]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_call_that_stands_on_nothing_is_asked_of_the_next_lane(
    scene: Callable[..., Scene], stream: bool
) -> None:
    """The upstream's argument is its own. Who is told of it and says the same is believed."""
    s = scene(**DOUBTS)
    answer = post(s, tools=TOOLS, stream=stream)
    assert answer.headers["x-pointsman-trail"] == "local-tools=unsure, local-general=ok"
    assert "stands nowhere in the conversation" in s.local.requests[-1].json["messages"][-1]["content"]


def test_a_doubted_call_is_given_where_nobody_else_answers(scene: Callable[..., Scene]) -> None:
    s = scene(models=dict.fromkeys(("local-general", "cloud-openai", "cloud-anthropic"), "500"), **DOUBTS)
    answer = post(s, tools=TOOLS)
    assert answer.status_code == 200
    assert answer.headers["x-pointsman-lane"] == "local-tools"


def test_a_lane_that_is_alone_and_a_setting_that_is_off_doubt_nothing(scene: Callable[..., Scene]) -> None:
    s = scene(**DOUBTS)
    assert post(s, tools=TOOLS, model="local-tools").headers["x-pointsman-trail"] == "local-tools=ok"
    plain = scene()
    assert post(plain, tools=TOOLS).headers["x-pointsman-trail"] == "local-tools=ok"
