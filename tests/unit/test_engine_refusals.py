"""What an engine's refusal becomes: vLLM's words about a length are told, any others might quote the request."""

import pytest

from serve.engine import refusal
from serve.lane_errors import LaneTooLong

LENGTH = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains 5000 input tokens, which "
    "exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
)


def test_a_prompt_that_the_engine_counts_as_too_long_is_named_so() -> None:
    error = refusal("here", f"{LENGTH} (parameter=input_tokens, value=5000)\nmore")
    assert isinstance(error, LaneTooLong)
    assert error.message.startswith(LENGTH)
    assert "more" not in error.message


@pytest.mark.parametrize(
    "message", ["", "no such tool: my secret", "your text 'maximum context length is' is bad"]
)
def test_any_other_refusal_repeats_nothing(message: str) -> None:
    error = refusal("here", message)
    assert not isinstance(error, LaneTooLong)
    assert error.message == "the engine refused the request"
