"""How sure a model was of its answer, by the probabilities that it gave its own tokens.

Reads log probabilities. Does not know what is sure enough: that is measured per task and configured.
"""

import math
from typing import Literal

from pydantic import JsonValue

from serve.wire.openai_answer import ChatCompletion

Measure = Literal["min", "mean"]


def read(answer: ChatCompletion, measure: Measure) -> tuple[float, int] | None:
    """The confidence, 0 to 1, of the least sure choice, and its number of tokens; None where a lane told none.

    Tokens without a letter or digit do not count: brackets and white space are sure of themselves, and would hide the
    one that was a guess. `min` is the probability of the least likely token, `mean` the geometric mean.
    """
    found = [_of(choice.logprobs, measure) for choice in answer.choices]
    told = [one for one in found if one is not None]
    return min(told) if told and len(told) == len(found) else None


def without(answer: ChatCompletion) -> ChatCompletion:
    """The answer for a client that did not ask for probabilities."""
    choices = [choice.model_copy(update={"logprobs": None}) for choice in answer.choices]
    return answer.model_copy(update={"choices": choices})


def _of(logprobs: dict[str, JsonValue] | None, measure: Measure) -> tuple[float, int] | None:
    content = (logprobs or {}).get("content")
    if not isinstance(content, list):
        return None
    values = [value for token in content if (value := _value(token)) is not None]
    if not values:
        return None
    at = min(values) if measure == "min" else sum(values) / len(values)
    return math.exp(min(0.0, at)), len(values)


def _value(token: JsonValue) -> float | None:
    """The log probability of a token that says something."""
    if not isinstance(token, dict):
        return None
    text, value = token.get("token"), token.get("logprob")
    says = isinstance(text, str) and any(character.isalnum() for character in text)
    return float(value) if says and isinstance(value, int | float) and not math.isnan(value) else None
