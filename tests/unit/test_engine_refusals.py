"""What an engine's refusal becomes: vLLM's words about a length are told, any others might quote the request."""

import pytest

from serve.engine import _chunk_or_raise, refusal
from serve.lane_errors import LaneError, LaneFull, LaneTooLong, LaneUnavailable

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


@pytest.mark.parametrize(
    ("name", "kind"),
    [("QueueOverflowError", LaneFull), ("MaxQueuedTokensError", LaneFull), (None, LaneUnavailable)],
)
def test_a_full_queue_is_no_fault_of_the_engine_in_a_stream_either(name: str | None, kind: type) -> None:
    """vLLM tells a stream of it by an event."""
    said = pytest.importorskip("vllm.exceptions", reason="the CPU engine is not installed")
    events = pytest.importorskip("vllm.entrypoints.serve.exception_handling.error_response")
    error = getattr(said, name)() if name else RuntimeError("my secret")
    with pytest.raises(LaneError) as caught:
        _chunk_or_raise("here", events.create_error_response(error).model_dump_json())
    assert type(caught.value) is kind
    assert "secret" not in caught.value.message
