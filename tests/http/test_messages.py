"""Anthropic's API over HTTP: the official SDK with nothing changed but its base URL, on every kind of lane."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from pydantic import BaseModel

from tests.http.conftest import Scene
from tests.http.test_keys import Desk
from tests.support.serving import client as openai_client
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOLS: list[Any] = [{"name": "get_weather", "description": "Weather of a city", "input_schema": SCHEMA}]
OFFERED: dict[str, Any] = {"max_tokens": 100, "messages": HELLO, "tools": TOOLS}
CARD = "4111 1111 1111 1111"
EVERY_LANE = pytest.mark.parametrize("lane", ["local-general", "cloud-openai", "cloud-anthropic"])


LANES = ("local-general", "local-tools", "cloud-openai", "cloud-anthropic")
PATIENT: dict[str, Any] = {"cooldown_s": 0, "last_wait_s": 0.1, "retries": {"floor": 10_000}}


@pytest.fixture(scope="module")
def house() -> Iterator[Scene]:
    """Every lane plays the fault that the prompt begins with, and is well where it begins with none."""
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        models = dict.fromkeys(LANES, "as_told")
        url = stack.enter_context(serving(config(local.url, cloud.url, models=models, dispatch=PATIENT)))
        yield Scene(url, stack.enter_context(openai_client(url)), local, cloud)


@pytest.fixture
def s(house: Scene) -> Scene:
    """The house, whose upstreams have forgotten the test before."""
    house.local.clear()
    house.cloud.clear()
    return house


def hello(fault: str) -> list[Any]:
    return [{"role": "user", "content": f"{fault} hello there"}]


def sdk(url: str, **more: Any) -> anthropic.Anthropic:
    options: dict[str, Any] = {"api_key": "any", "max_retries": 0} | more
    return anthropic.Anthropic(base_url=url, **options)


def behind(s: Scene, lane: str) -> Any:
    """The last body that reached the upstream of `lane`."""
    return (s.local if lane == "local-general" else s.cloud).requests[-1].json


@EVERY_LANE
def test_a_whole_answer(s: Scene, lane: str) -> None:
    with sdk(s.url) as client:
        raw = client.messages.with_raw_response.create(
            model=lane, max_tokens=50, messages=HELLO, system="Be kind."
        )
    message = raw.parse()
    assert raw.headers["x-pointsman-lane"] == lane
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    [block] = message.content
    assert block.type == "text"
    assert "hello there" in block.text
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    body = behind(s, lane)
    assert body["max_tokens"] == 50
    assert "Be kind." in json.dumps(body)


@EVERY_LANE
def test_a_stream_has_anthropics_events_in_their_order(s: Scene, lane: str) -> None:
    with sdk(s.url) as client, client.messages.stream(model=lane, max_tokens=50, messages=HELLO) as stream:
        kinds = [event.type for event in stream if event.type != "text"]
        final = stream.get_final_message()
    deltas = kinds.count("content_block_delta")
    assert deltas > 1
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "hello there" in final.content[0].text  # type: ignore[union-attr]
    assert final.stop_reason == "end_turn"
    assert final.usage.input_tokens > 0
    assert final.usage.output_tokens > 0


@EVERY_LANE
def test_the_asynchronous_client(s: Scene, lane: str) -> None:

    async def ask() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(base_url=s.url, api_key="any", max_retries=0) as client:
            whole = await client.messages.create(model=lane, max_tokens=50, messages=HELLO)
            async with client.messages.stream(model=lane, max_tokens=50, messages=HELLO) as stream:
                words = [text async for text in stream.text_stream]
        return whole.content[0].text, "".join(words)  # type: ignore[union-attr]

    whole, streamed = asyncio.run(ask())
    assert whole == streamed
    assert "hello there" in whole


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("lane", ["local-tools", "cloud-anthropic"])
def test_a_loop_of_tools(s: Scene, lane: str, stream: bool) -> None:
    """Question, call, result, again, and an answer: ids and inputs arrive at the lane as the client sent them."""
    said: list[Any] = [{"role": "user", "content": "What is the weather?"}]
    choice: Any = {"type": "any"}
    with sdk(s.url) as client:
        for step in range(3):
            asked: dict[str, Any] = {"model": lane, "max_tokens": 100, "tools": TOOLS}
            answer = ask(client, stream, messages=said, tool_choice=choice, **asked)
            assert answer.stop_reason == "tool_use"
            [call] = [block for block in answer.content if block.type == "tool_use"]
            assert isinstance(call.input["days"], int)
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"sunny {step}"}]
            said += [
                {
                    "role": "assistant",
                    "content": [block.model_dump(exclude_none=True) for block in answer.content],
                },
                {"role": "user", "content": results},
            ]
        answer = ask(client, stream, messages=said, **asked)
    assert answer.stop_reason == "end_turn"
    ids = [turn["content"][0]["tool_use_id"] for turn in said[2::2]]
    assert ids_seen(s, lane) == ids


def ask(client: anthropic.Anthropic, stream: bool, **asked: Any) -> Any:
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def ids_seen(s: Scene, lane: str) -> list[str]:
    """Ids of the results in the last request of `lane`, whose calls must have the same."""
    if lane == "cloud-anthropic":
        blocks = [block for turn in s.cloud.requests[-1].json["messages"] for block in turn["content"]]
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        found = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    else:
        turns = s.local.requests[-1].json["messages"]
        called = [call["id"] for turn in turns for call in turn.get("tool_calls", ())]
        found = [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"]
    assert called == found
    return found


def test_what_an_anthropic_client_sends_is_what_an_anthropic_lane_gets(s: Scene) -> None:
    """Tools, ids, several results, images and their order survive the way through a chat."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    calls = [{"type": "tool_use", "id": f"toolu_{i}", "name": "get_weather", "input": {"city": "x", "days": i}}
             for i in range(2)]  # fmt: skip
    results = [{"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": f"sun {i}"} for i in range(2)]
    turns: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {"role": "assistant", "content": [{"type": "text", "text": "I look it up."}, *calls]},
        {"role": "user", "content": [*results, {"type": "text", "text": "and now?"}]},
    ]
    tools: list[Any] = [TOOLS[0] | {"cache_control": {"type": "ephemeral"}}]
    # Nobody can read a picture here, so it counts as confidential.
    own: Any = {"model": "cloud-anthropic", "max_tokens": 64, "stop_sequences": ["END"], "system": "Be kind."}
    choice: Any = {"type": "auto", "disable_parallel_tool_use": True}
    with sdk(s.url) as client:
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            client.messages.create(messages=turns, tools=tools, tool_choice=choice, **own)
        assert caught.value.body["error"]["code"] == "egress_denied"  # type: ignore[index]
        turns[0]["content"].pop()
        client.messages.create(messages=turns, tools=tools, tool_choice=choice, **own)
    sent = s.cloud.requests[-1].json
    assert sent["messages"] == turns
    assert sent["tools"] == tools
    assert {name: sent[name] for name in ("max_tokens", "stop_sequences", "system", "tool_choice")} == {
        "max_tokens": 64,
        "stop_sequences": ["END"],
        "system": "Be kind.",
        "tool_choice": choice,
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("lane", "more", "reason"),
    [
        ("local-general", {"max_tokens": 1}, "max_tokens"),
        ("cloud-anthropic", {"max_tokens": 1}, "max_tokens"),
        ("cloud-anthropic", {"stop_sequences": ["there"]}, "stop_sequence"),
        ("cloud-anthropic", {"stop_sequences": ["there"], "tools": TOOLS, "tool_choice": {"type": "none"}},
         "stop_sequence"),
        ("local-general", {"stop_sequences": ["there"]}, "end_turn"),  # OpenAI does not say what stopped it
    ],
)  # fmt: skip
def test_stop_reasons(s: Scene, lane: str, more: dict[str, Any], reason: str, stream: bool) -> None:
    with sdk(s.url) as client:
        answer = ask(client, stream, **{"model": lane, "max_tokens": 50, "messages": HELLO} | more)
    assert answer.stop_reason == reason
    assert answer.stop_sequence == ("there" if reason == "stop_sequence" else None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("lane", ["local-tools", "cloud-anthropic"])
def test_the_sdks_tool_runner_goes_on_with_the_whole_history(s: Scene, lane: str, stream: bool) -> None:
    """Its first request asks for a thread; refused in Anthropic's words, it sends everything each time."""
    asked: list[str] = []

    @anthropic.beta_tool
    def get_weather(city: str, days: int) -> str:
        """Weather of a city."""
        asked.append(f"{city} {days}")
        return "sunny"

    first: list[Any] = [{"role": "user", "content": "What is the weather?"}]
    with sdk(s.url) as client:
        runner: Any = client.beta.messages.tool_runner(
            model=lane, max_tokens=100, tools=[get_weather], messages=first, stream=stream, max_iterations=2
        )
        answers = [turn.get_final_message() if stream else turn for turn in runner]
    assert [answer.stop_reason for answer in answers] == ["tool_use", "end_turn"]
    assert len(asked) == 1
    [call] = [block for block in answers[0].content if block.type == "tool_use"]
    assert ids_seen(s, lane) == [call.id]
    upstream = s.local if lane == "local-tools" else s.cloud
    assert len(upstream.requests) == 2  # what was refused reached no lane


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_thread_is_refused_in_words_that_the_sdk_acts_on(s: Scene, path: str) -> None:
    asked: dict[str, Any] = {"model": "auto", "messages": HELLO}
    body = asked | ({"max_tokens": 50} if path == "/v1/messages" else {})
    answer = httpx2.post(
        s.url + path, json=body | {"thread": {"type": "create"}}, trust_env=False, timeout=30
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", "thread")
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert not s.local.requests + s.cloud.requests
    fine = httpx2.post(s.url + path, json=body | {"thread": None}, trust_env=False, timeout=60)
    assert fine.status_code == 200
    worse = httpx2.post(s.url + path, json=body | {"nonsense": 1}, trust_env=False, timeout=30)
    assert "details" not in worse.json()["error"]


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("lane", ["local-general", "cloud-anthropic"])
def test_an_answer_of_a_declared_shape(s: Scene, lane: str) -> None:
    with sdk(s.url) as client:
        answer = client.messages.parse(
            model=lane, max_tokens=100, messages=hello("json_fenced"), output_format=Person
        )
    assert isinstance(answer.parsed_output, Person)


@pytest.mark.parametrize("fault", ["tool_fenced", "tool_wrong_type", "tool_bad_json"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_botched_call_of_a_small_model_comes_as_a_valid_one(s: Scene, fault: str, stream: bool) -> None:
    with sdk(s.url) as client:
        answer = ask(client, stream, model="local-tools", **OFFERED | {"messages": hello(fault)})
    [call] = answer.content
    assert call.type == "tool_use"
    assert isinstance(call.input["days"], int)


# --- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "kind", "field"),
    [
        ({"model": "claude-opus-4-1"}, anthropic.NotFoundError, "model"),
        ({"nonsense": 1}, anthropic.BadRequestError, "nonsense"),
        ({"messages": [{"role": "user", "content": [{"type": "video", "x": 1}]}]}, anthropic.BadRequestError,
         "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "colour": 1}]}]},
         anthropic.BadRequestError, "messages[0].content[0].colour"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, anthropic.BadRequestError, "tools[0]"),
        ({"tools": [{"name": "f", "input_schema": {"type": "nonsense"}}]}, anthropic.BadRequestError,
         "tools[0].input_schema"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "max_tokens"),
        ({"tool_choice": {"type": "any"}}, anthropic.BadRequestError, "tool_choice"),
        ({"stop_sequences": list("abcde")}, anthropic.BadRequestError, "stop_sequences"),
        ({"mcp_servers": []}, anthropic.BadRequestError, "mcp_servers"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(
    s: Scene, more: dict[str, Any], kind: type[anthropic.APIStatusError], field: str
) -> None:
    body: dict[str, Any] = {"model": "auto", "max_tokens": 50, "messages": HELLO} | more
    with sdk(s.url) as client, pytest.raises(kind) as caught:
        client.post("/v1/messages", body=body, cast_to=object)
    told: Any = caught.value.body
    assert told["type"] == "error"
    assert told["error"]["type"] in ("invalid_request_error", "not_found_error")
    assert told["error"]["param"].startswith(field)
    assert not s.local.requests + s.cloud.requests


@pytest.mark.parametrize(
    ("models", "kind", "type_"),
    [
        ("bad_json", anthropic.InternalServerError, "api_error"),
        ("503", anthropic.ServiceUnavailableError, "overloaded_error"),
    ],
)
def test_failing_lanes_are_the_sdks_own_exceptions(scene: Start, models: str, kind: Any, type_: str) -> None:
    s = scene(models=dict.fromkeys(("local-general", "local-tools", "cloud-openai", "cloud-anthropic"), models),
              dispatch={"last_wait_s": 0.1})  # fmt: skip
    with sdk(s.url) as client, pytest.raises(kind) as caught:
        client.messages.create(model="auto", max_tokens=50, messages=HELLO)
    told: Any = caught.value.body
    assert told["error"]["type"] == type_
    assert "x-pointsman-trail" in caught.value.response.headers


@pytest.mark.parametrize("lane", ["local-general", "cloud-anthropic"])
def test_a_stream_that_breaks_off_ends_in_one_error_event(s: Scene, lane: str) -> None:
    words: list[str] = []
    with (
        sdk(s.url) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(model=lane, max_tokens=50, messages=hello("err_in_stream_3")) as stream,
    ):
        words.extend(stream.text_stream)
    assert words
    told: Any = caught.value.body
    assert (told["type"], told["error"]["code"]) == ("error", "upstream_interrupted")


@pytest.mark.parametrize(
    ("method", "path", "status", "type_"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/messages/nonsense", 404, "not_found_error"),
        ("POST", "/v1/messages", 415, "invalid_request_error"),
        ("POST", "/v1/messages/count_tokens", 415, "invalid_request_error"),
    ],
)
def test_every_error_below_the_path_has_anthropics_shape(
    s: Scene, method: str, path: str, status: int, type_: str
) -> None:
    answer = httpx2.request(method, s.url + path, trust_env=False, timeout=30)
    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == type_
    assert "type" not in httpx2.get(f"{s.url}/nowhere", trust_env=False, timeout=60).json()


# --- keys ------------------------------------------------------------------------------------------------------


def test_keys_by_x_api_key_and_by_bearer(scene: Start, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    s, key = scene(keys=desk.section), desk.key()
    by_either: list[dict[str, Any]] = [{"api_key": key}, {"api_key": None, "auth_token": key}]
    for shown in by_either:
        with sdk(s.url, **shown) as client:
            assert client.messages.create(model="auto", max_tokens=50, messages=HELLO).content
    with sdk(s.url, api_key="sk-ant-nobody") as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(model="auto", max_tokens=50, messages=HELLO)
        told: Any = caught.value.body
        assert (told["type"], told["error"]["type"]) == ("error", "authentication_error")
        with pytest.raises(anthropic.AuthenticationError):
            client.messages.count_tokens(model="auto", messages=HELLO)


def test_a_rate_limit_is_a_rate_limit_error(scene: Start, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    s, key = scene(keys=desk.section), desk.key(requests_per_minute=1)
    with sdk(s.url, api_key=key) as client:
        client.messages.create(model="auto", max_tokens=50, messages=HELLO)
        with pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(model="auto", max_tokens=50, messages=HELLO)
    told: Any = caught.value.body
    assert told["error"]["type"] == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0


# --- counting and privacy --------------------------------------------------------------------------------------


def test_count_tokens_asks_nobody_and_counts_what_the_router_decides_by(s: Scene) -> None:
    with sdk(s.url) as client:
        plain = client.messages.count_tokens(model="auto", messages=HELLO).input_tokens
        more = client.messages.count_tokens(
            model="auto", messages=HELLO, system="Be kind.", tools=TOOLS
        ).input_tokens
        with pytest.raises(anthropic.NotFoundError):
            client.messages.count_tokens(model="claude-opus-4-1", messages=HELLO)
    chat = {"model": "auto", "messages": HELLO}
    decided = httpx2.post(f"{s.url}/v1/route", json=chat, trust_env=False, timeout=30).json()
    assert plain == decided["signals"]["input_tokens"]
    assert more > plain + 10
    assert not s.local.requests + s.cloud.requests


SECRETS: dict[str, dict[str, Any]] = {
    "system": {"system": [{"type": "text", "text": f"The card is {CARD}."}]},
    "metadata": {"metadata": {"user_id": f"card {CARD}"}},
    "tool": {"tools": [{"name": "f", "input_schema": {"type": "object", "description": f"card {CARD}"}}]},
    "stop": {"stop_sequences": [CARD]},
    "document": {"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": f"card {CARD}"}}]}]},
    "call": {"messages": [*HELLO, {"role": "assistant", "content": [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"card": CARD}}]}, *HELLO]},
    "result": {"messages": [*HELLO, {"role": "assistant", "content": [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}}]}, {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": f"card {CARD}"}]}]}]},
    "thinking": {"messages": [*HELLO, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": f"card {CARD}", "signature": "x"}]}, *HELLO]},
    "hints": {"service_tier": CARD, "user_profile_id": CARD, "cache_control": {"type": "ephemeral", "x": CARD}},
}  # fmt: skip


def test_confidential_text_leaves_in_no_field(s: Scene) -> None:
    """Each of them asks for a cloud lane; where it gets one, the text was dropped."""
    asked = {"model": "auto", "max_tokens": 50, "messages": HELLO}
    prefer = {"x-pointsman-prefer": "cloud"}
    for field, more in SECRETS.items():
        answer = httpx2.post(
            f"{s.url}/v1/messages", json=asked | more, headers=prefer, trust_env=False, timeout=60
        )
        assert answer.status_code == 200, (field, answer.text)
        dropped = field in ("thinking", "hints")
        assert answer.headers["x-pointsman-lane"].startswith("cloud" if dropped else "local"), field
    digits = CARD.replace(" ", "").encode()
    assert s.cloud.requests
    assert CARD.encode() not in s.cloud.received_bytes
    assert digits not in s.cloud.received_bytes


def test_an_answer_for_a_reviewer_is_held_here_too(scene: Start) -> None:
    """202 and a place to look; nothing of the answer."""
    plain = config("http://127.0.0.1:9", "http://127.0.0.1:9").model_dump(mode="json")
    rule = {"name": "careful", "when": {"class_at_least": "confidential"}, "because": "the tests want it"}
    s = scene(policy=plain["policy"] | {"review": [rule]})
    with sdk(s.url) as client:
        raw = client.messages.with_raw_response.create(
            model="auto", max_tokens=50, messages=[{"role": "user", "content": f"My card is {CARD}"}]
        )
    assert raw.http_response.status_code == 202
    assert raw.headers["location"].startswith("/v1/reviews/")
    assert "upstream answers" not in raw.http_response.text
