"""Legacy completions over HTTP with the official client."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import openai
import pytest

from tests.http.conftest import Scene
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

PINS = ["local-general", "cloud-openai", "cloud-anthropic"]
IBAN = "DE89370400440532013000"


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    """One that runs for all tests of this file."""
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        broken = {"local-tools": "err_in_stream_2"}
        url = stack.enter_context(serving(config(local.url, cloud.url, models=broken)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def s(shared: Scene) -> Scene:
    """The shared scene with upstreams that remember nothing."""
    shared.local.clear()
    shared.cloud.clear()
    return shared


def post(s: Scene, **body: Any) -> httpx2.Response:
    asked = {"model": "auto", "prompt": "hello"} | body
    return httpx2.post(f"{s.url}/v1/completions", json=asked, trust_env=False, timeout=60)


@pytest.mark.parametrize("pin", PINS)
@pytest.mark.parametrize("prompt", ["hello there", ["hello there"]], ids=["text", "list"])
def test_a_completion_whole_and_streamed(s: Scene, pin: str, prompt: Any) -> None:
    whole = s.ask.completions.create(model=pin, prompt=prompt, max_tokens=50)
    assert "hello there" in whole.choices[0].text
    assert (whole.object, whole.choices[0].finish_reason) == ("text_completion", "stop")
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0
    options: Any = {"include_usage": True}
    chunks = list(
        s.ask.completions.create(model=pin, prompt=prompt, max_tokens=50, stream=True, stream_options=options)
    )
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None


def test_echo_stop_and_the_default_limit(s: Scene) -> None:
    echoed = s.ask.completions.create(model="auto", prompt="hello", echo=True)
    assert echoed.choices[0].text.startswith("hello")
    chunks = list(s.ask.completions.create(model="auto", prompt="hello", echo=True, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == echoed.choices[0].text
    sent = s.local.requests[-1].json
    assert isinstance(sent, dict)
    assert sent["max_tokens"] == 16
    cut = s.ask.completions.create(model="auto", prompt="hello", max_tokens=1)
    assert cut.choices[0].finish_reason == "length"
    assert (
        "answers"
        not in s.ask.completions.create(model="auto", prompt="hello", stop="answers").choices[0].text
    )


def test_several_answers(s: Scene) -> None:
    answer = s.ask.completions.create(model="local-general", prompt="hello", n=2, best_of=2)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_a_stream_that_breaks_ends_in_an_error(s: Scene) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        list(s.ask.completions.create(model="local-tools", prompt="hello", max_tokens=50, stream=True))


@pytest.mark.parametrize("where", ["prompt", "user", "stop"])
def test_confidential_text_never_reaches_the_cloud(s: Scene, where: str) -> None:
    for stream in (False, True):
        answer = httpx2.post(
            f"{s.url}/v1/completions",
            json={"model": "auto", "prompt": "hello", "stream": stream} | {where: f"pay {IBAN}"},
            headers={"x-pointsman-prefer": "cloud"},
            trust_env=False,
            timeout=60,
        )
        assert answer.status_code == 200
    assert not s.cloud.received_bytes


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt[0]"),
        ({"prompt": None}, "prompt"),
        ({"logprobs": 3}, "logprobs"),
        ({"suffix": "the end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": "nobody"}, "model"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(s: Scene, body: dict[str, Any], param: str) -> None:
    answer = post(s, **body)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["param"] == param
    assert not s.local.received_bytes
