"""Chat over HTTP: every shape of answer, from every kind of lane, to the official client."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from tests.http.conftest import Scene

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        },
    }
]
PERSON: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}
HEADERS = ("decision-id", "lane", "reason", "attempts", "overhead-ms")


def test_an_ordinary_question_stays_local(scene: Callable[..., Scene]) -> None:
    s = scene()
    raw = s.ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    assert "upstream" in (raw.parse().choices[0].message.content or "")
    assert raw.headers["x-pointsman-lane"] == "local-general"
    assert raw.headers["x-pointsman-reason"] == "local_first"
    assert raw.headers["x-pointsman-attempts"] == "1"
    assert all(f"x-pointsman-{name}" in raw.headers for name in HEADERS)
    assert float(raw.headers["x-pointsman-overhead-ms"]) >= 0
    assert not s.cloud.received_bytes


@pytest.mark.parametrize("pin", ["local-general", "cloud-openai", "cloud-anthropic"])
def test_a_stream_from_every_kind_of_lane(scene: Callable[..., Scene], pin: str) -> None:
    s = scene(models={"cloud-openai": "ok", "cloud-anthropic": "ok"})
    raw = s.ask.chat.completions.with_raw_response.create(
        model=pin, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert raw.headers["x-pointsman-lane"] == pin
    chunks = list(raw.parse())
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "upstream" in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert sum(1 for c in chunks if c.choices and c.choices[0].delta.role) == 1


def test_no_usage_chunk_unless_asked_for(scene: Callable[..., Scene]) -> None:
    chunks = list(scene().ask.chat.completions.create(model="auto", messages=HELLO, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("pin", ["local-tools", "cloud-openai", "cloud-anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_tool_call_from_every_kind_of_lane(scene: Callable[..., Scene], pin: str, stream: bool) -> None:
    s = scene()
    if stream:
        deltas = [
            call
            for chunk in s.ask.chat.completions.create(model=pin, messages=HELLO, tools=WEATHER, stream=True)
            for call in (chunk.choices[0].delta.tool_calls or [] if chunk.choices else [])
        ]
        assert deltas[0].function is not None
        name = deltas[0].function.name
        arguments = "".join((d.function.arguments or "") if d.function else "" for d in deltas)
    else:
        answer = s.ask.chat.completions.create(model=pin, messages=HELLO, tools=WEATHER)
        assert answer.choices[0].finish_reason == "tool_calls"
        call: Any = (answer.choices[0].message.tool_calls or [])[0]
        name, arguments = call.function.name, call.function.arguments
    assert name == "get_weather"
    assert isinstance(json.loads(arguments)["days"], int)


@pytest.mark.parametrize("fault", ["tool_fenced", "tool_bare", "tool_wrong_type", "tool_bad_json"])
def test_a_botched_tool_call_is_repaired_in_place(scene: Callable[..., Scene], fault: str) -> None:
    s = scene(models={"local-tools": fault})
    raw = s.ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO, tools=WEATHER)
    call: Any = (raw.parse().choices[0].message.tool_calls or [])[0]
    assert set(json.loads(call.function.arguments)) == {"city", "days"}
    assert isinstance(json.loads(call.function.arguments)["days"], int)
    assert raw.headers["x-pointsman-trail"] == "local-tools=repaired"
    assert not s.cloud.received_bytes


@pytest.mark.parametrize("fault", ["tool_missing_required"])
def test_a_hopeless_tool_call_goes_to_the_next_lane_with_the_same_messages_and_a_note(
    scene: Callable[..., Scene], fault: str
) -> None:
    s = scene(models={"local-tools": fault, "local-general": fault})
    raw = s.ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO, tools=WEATHER)
    assert raw.headers["x-pointsman-lane"] == "cloud-openai"
    assert raw.headers["x-pointsman-trail"].startswith("local-tools=invalid")
    sent, again = s.local.requests[0].json, s.cloud.requests[0].json
    note = again["messages"].pop()
    assert "do not match its schema" in note["content"]
    assert {k: v for k, v in sent.items() if k != "model"} == {k: v for k, v in again.items() if k != "model"}


@pytest.mark.parametrize("pin", ["local-general", "cloud-openai", "cloud-anthropic"])
def test_a_structured_answer_from_every_kind_of_lane(scene: Callable[..., Scene], pin: str) -> None:
    answer = scene().ask.chat.completions.create(model=pin, messages=HELLO, response_format=PERSON)
    value = json.loads(answer.choices[0].message.content or "")
    assert set(value) == {"name", "age"}


@pytest.mark.parametrize(
    ("fault", "lane"), [("json_fenced", "local-general"), ("json_missing_brace", "local-general")]
)
def test_a_botched_structure_is_repaired(scene: Callable[..., Scene], fault: str, lane: str) -> None:
    s = scene(models={"local-general": fault})
    raw = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=HELLO, response_format=PERSON
    )
    assert set(json.loads(raw.parse().choices[0].message.content or "")) == {"name", "age"}
    assert raw.headers["x-pointsman-lane"] == lane


def test_an_invalid_structure_goes_to_the_next_lane(scene: Callable[..., Scene]) -> None:
    s = scene(models={"local-general": "json_invalid", "local-tools": "json_invalid"})
    raw = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=HELLO, response_format=PERSON
    )
    assert set(json.loads(raw.parse().choices[0].message.content or "")) == {"name", "age"}
    assert raw.headers["x-pointsman-lane"] == "cloud-openai"


def test_every_sampling_field_reaches_the_lane(scene: Callable[..., Scene]) -> None:
    s = scene()
    s.ask.chat.completions.create(
        model="auto", messages=HELLO, n=2, stop=["END"], seed=7, logprobs=True, top_logprobs=2,
        max_completion_tokens=33, temperature=0.5, top_p=0.9,
    )  # fmt: skip
    sent = s.local.requests[-1].json
    wanted = {"n": 2, "stop": ["END"], "seed": 7, "logprobs": True, "top_logprobs": 2,
              "max_completion_tokens": 33, "temperature": 0.5, "top_p": 0.9}  # fmt: skip
    assert {key: sent[key] for key in wanted} == wanted


def test_fields_nobody_knows_are_not_forwarded(scene: Callable[..., Scene]) -> None:
    s = scene()
    extra = {
        "api_base": "http://evil",
        "guided_regex": "(a+)+",
        "chat_template": "{{x}}",
        "prompt_embeds": "AA==",
    }
    s.ask.chat.completions.create(
        model="auto", messages=HELLO, extra_body=extra, extra_headers={"x-evil": "1"}
    )
    request = s.local.requests[-1]
    assert not extra.keys() & request.json.keys()
    assert "x-evil" not in request.headers


def test_each_listed_model_is_found_by_its_name(scene: Callable[..., Scene]) -> None:
    """Models of others have slashes and colons in their names."""
    s = scene(models={"cloud-openai": "meta/llama-3:8b", "cloud-anthropic": "a b%2F?#"})
    listed = s.ask.models.list().data
    assert {"auto", "local-general", "cloud/meta/llama-3:8b", "cloud/a b%2F?#"} <= {one.id for one in listed}
    assert [s.ask.models.retrieve(one.id) for one in listed] == listed
    plain = httpx2.get(f"{s.url}/v1/models/cloud/meta/llama-3:8b", trust_env=False, timeout=60)
    assert plain.json()["id"] == "cloud/meta/llama-3:8b"
    for name in ("nothing", "cloud", "auto/", "meta/llama-3:8b"):
        with pytest.raises(openai.NotFoundError) as caught:
            s.ask.models.retrieve(name)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_models_lists_auto_lanes_and_cloud_models(scene: Callable[..., Scene]) -> None:
    names = {model.id for model in scene().ask.models.list()}
    assert {"auto", "local-general", "local-tools", "cloud-openai", "cloud/ok"} <= names


def test_readyz_names_every_lane(scene: Callable[..., Scene]) -> None:
    body = httpx2.get(f"{scene().url}/readyz", timeout=60).json()
    assert body["status"] == "ready"
    assert body["lanes"]["local-general"]["state"] == "ready"
    assert body["lanes"]["cloud-openai"]["location"] == "global"
