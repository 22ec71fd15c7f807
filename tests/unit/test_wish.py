"""What a client may wish for, and where it may say so."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import wish
from serve.config import Config
from serve.errors import InvalidRequest, UnknownModel
from serve.keys.rights import Rights
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import ChatRequest, parse
from serve.wish import PREFIXES, Wish

NO_HEADERS: Mapping[str, str] = {}
CLASS, PREFER = "x-pointsman-sensitivity", "x-pointsman-prefer"


def config(**policy: Any) -> Config:
    url = "http://127.0.0.1:9"
    lanes = [
        {"name": "local", "kind": "openai", "model": "llama", "base_url": url, "location": "device", "context": 9},
        {"name": "claude", "kind": "anthropic", "model": "sonnet", "base_url": url, "location": "global", "context": 9},
    ]  # fmt: skip
    rules = [{"name": "default", "prefer": ["local"], "because": "the only rule"}]
    return Config.model_validate({"lanes": lanes, "policy": {"rules": rules} | policy})


def asked(*messages: Any, model: str = "auto") -> ChatRequest:
    return parse(json.dumps({"model": model, "messages": list(messages) or [says("hello")]}).encode())


def says(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


def read(
    request: ChatRequest, headers: Mapping[str, str] = NO_HEADERS, **policy: Any
) -> tuple[ChatRequest, Wish]:
    return wish.read(request, headers, config(**policy), Rights())


def last(request: ChatRequest) -> Any:
    sent: Any = request.sent()["messages"]
    return sent[-1]["content"]


@pytest.mark.parametrize(
    ("model", "pin"), [("auto", None), ("local", "local"), ("claude", "claude"), ("cloud/sonnet", "claude")]
)
def test_a_model_is_auto_or_a_lane_or_a_cloud_model(model: str, pin: str | None) -> None:
    assert read(asked(model=model))[1] == Wish(pin=pin)


@pytest.mark.parametrize("model", ["gpt-4", "Auto", "sonnet", "cloud/", "cloud/local", " local"])
def test_a_model_nobody_configured_is_unknown(model: str) -> None:
    with pytest.raises(UnknownModel) as error:
        read(asked(model=model))
    assert (error.value.status, error.value.param) == (404, "model")
    assert "auto, local, claude" in error.value.message


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("content", "rest"),
    [
        pytest.param("%s hello", "hello", id="text"),
        pytest.param("%shello", "hello", id="without-a-space"),
        pytest.param("%s", "", id="alone"),
        pytest.param([{"type": "text", "text": "%s hello"}, {"type": "text", "text": "[cloud]"}],
                     [{"type": "text", "text": "hello"}, {"type": "text", "text": "[cloud]"}], id="first-part"),
    ],
)  # fmt: skip
def test_a_prefix_of_the_last_question_is_a_wish_and_is_not_sent_on(
    prefix: str, content: Any, rest: Any
) -> None:
    spelled = json.loads(json.dumps(content).replace("%s", prefix))
    request = asked(says("[cloud] before"), says("ok", "assistant"), says(spelled))
    stripped, wished = read(request)
    assert wished == Wish(prefer=PREFIXES[prefix])
    assert last(stripped) == rest
    assert stripped.messages[:2] == request.messages[:2]


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([says(" [cloud] hello")], id="after-a-space"),
        pytest.param([says("[Cloud] hello")], id="another-case"),
        pytest.param([says("please [cloud]")], id="in-the-middle"),
        pytest.param([says("[cloud] a"), says("b")], id="an-earlier-question"),
        pytest.param([says("[cloud] obey", "system"), says("b")], id="system"),
        pytest.param([says("a"), says("[cloud] b", "assistant")], id="assistant"),
        pytest.param([says([{"type": "text", "text": "a"}, {"type": "text", "text": "[cloud]"}])], id="second-part"),
        pytest.param([says([{"type": "image_url", "image_url": {"url": "https://x.example/[cloud]"}}])], id="an-image"),
        pytest.param([says("[cloud] only", "system")], id="no-question-at-all"),
    ],
)  # fmt: skip
def test_anywhere_else_a_prefix_is_plain_text(messages: list[Any]) -> None:
    request = asked(*messages)
    assert read(request) == (request, Wish())


@pytest.mark.parametrize(
    ("headers", "wished"),
    [
        pytest.param({PREFER: "cloud"}, Wish(prefer="cloud"), id="cloud"),
        pytest.param({PREFER: " Tier3 "}, Wish(prefer="tier3"), id="case-and-space"),
        pytest.param({CLASS: "Confidential"}, Wish(at_least=Sensitivity.CONFIDENTIAL), id="class"),
        pytest.param({CLASS: "confidential, public"}, Wish(at_least=Sensitivity.CONFIDENTIAL), id="the-stricter"),
        pytest.param({CLASS: "internal", PREFER: "tier2"}, Wish(None, "tier2", Sensitivity.INTERNAL), id="both"),
    ],
)  # fmt: skip
def test_a_header_is_a_wish(headers: dict[str, str], wished: Wish) -> None:
    assert read(asked(), headers)[1] == wished


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (CLASS, "secret"),
        (CLASS, ""),
        (CLASS, "public, secret"),
        (PREFER, "heavy"),
        (PREFER, "cloud, tier2"),
        ("x-pointsman-stakes", "huge"),
        ("x-pointsman-latency", ""),
    ],
)
def test_a_header_that_means_nothing_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        read(asked(), {name: value})
    assert error.value.param == name


def test_stakes_and_latency_are_told_even_where_nobody_may_steer() -> None:
    headers = {"x-pointsman-stakes": " High", "x-pointsman-latency": "batch"}
    assert read(asked(), headers, overrides=False)[1] == Wish(stakes="high", latency="batch")


def test_a_header_beats_a_prefix_which_then_is_text() -> None:
    request = asked(says("[cloud] hello"))
    assert read(request, {PREFER: "tier3"}) == (request, Wish(prefer="tier3"))


def test_where_overrides_are_off_nobody_steers_but_a_class_can_still_be_raised() -> None:
    request = asked(says("[cloud] hello"))
    kept, wished = read(request, {PREFER: "cloud", CLASS: "confidential"}, overrides=False)
    assert kept == request
    assert wished == Wish(at_least=Sensitivity.CONFIDENTIAL)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["[cloud]", "[heavy]", " ", "a", "\n"]), max_size=5).map("".join))
def test_one_prefix_is_taken_and_the_rest_of_the_text_stays(text: str) -> None:
    stripped, wished = read(asked(says(text)))
    prefix = next((prefix for prefix in PREFIXES if text.startswith(prefix)), "")
    assert wished.prefer == PREFIXES.get(prefix)
    assert last(stripped) == (text.removeprefix(prefix).lstrip() if prefix else text)
