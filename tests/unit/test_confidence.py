"""Confidence by log probabilities: what counts, and what tells nothing."""

import json
import math
from typing import Any

import pytest

from serve import confidence
from serve.wire.openai_answer import ChatCompletion, completion


def told(*choices: Any) -> ChatCompletion:
    made = [
        {"index": i, "message": {"role": "assistant", "content": "x"}, "logprobs": logprobs}
        for i, logprobs in enumerate(choices)
    ]
    return completion("lane", json.dumps({"id": "1", "created": 1, "model": "m", "choices": made}))


def tokens(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"content": [{"token": text, "logprob": value} for text, value in pairs]}


def rounded(answer: ChatCompletion, measure: confidence.Measure) -> tuple[float, int]:
    found = confidence.read(answer, measure)
    assert found is not None
    return round(found[0], 6), found[1]


SURE, GUESS = ("pos", math.log(0.9)), ("itive", math.log(0.4))


def test_the_least_likely_token_and_the_mean() -> None:
    answer = told(tokens(SURE, GUESS))
    assert rounded(answer, "min") == (0.4, 2)
    assert rounded(answer, "mean") == (0.6, 2)


def test_brackets_and_spaces_do_not_count() -> None:
    answer = told(tokens(('{"', -9.0), SURE, ('"}', -9.0), ("\n", -9.0)))
    assert rounded(answer, "min") == (0.9, 1)


def test_the_least_sure_choice_counts() -> None:
    assert rounded(told(tokens(SURE), tokens(GUESS)), "min") == (0.4, 1)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"content": None},
        {"content": []},
        {"content": [None, 1, {"token": 1, "logprob": -1}, {"token": "a"}, {"token": "a", "logprob": "x"}]},
        {"content": [{"token": "...", "logprob": -1.0}]},
    ],
)
def test_what_says_nothing_is_no_doubt(logprobs: Any) -> None:
    assert confidence.read(told(logprobs), "min") is None
    assert confidence.read(told(tokens(SURE), logprobs), "min") is None


def test_a_probability_over_one_is_one() -> None:
    assert confidence.read(told(tokens(("a", 5.0))), "mean") == (1.0, 1)


def test_a_client_that_did_not_ask_sees_none() -> None:
    assert confidence.without(told(tokens(SURE))).choices[0].logprobs is None
