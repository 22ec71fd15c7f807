"""What real clients send, replayed: the bodies in `fixtures` have the shapes that the named versions were seen to send.

Each on a lane that speaks Chat Completions and on one that speaks Messages, in one piece and as a stream. The words are
made up; what is huge is made here.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from serve.request import view_of
from serve.signals import sensitivity
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import parse
from tests.http.conftest import Scene
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

FIXTURES = {
    path.stem: json.loads(path.read_text("utf-8")) for path in Path(__file__).parent.glob("fixtures/*.json")
}
LANES = pytest.mark.parametrize("lane", ["cloud-openai", "cloud-anthropic"])
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
STEPS = 20
LONG = " ".join(
    f"Rule {n}: keep file {n} as short as it can be." for n in range(1600)
)  # 20,000 tokens and some
PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        patient = {"deadline_s": 60}  # a slow machine must not take a long prompt for confidential
        url = stack.enter_context(serving(config(local.url, cloud.url, signals=patient)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def s(shared: Scene) -> Scene:
    shared.local.clear()
    shared.cloud.clear()
    return shared


def offered(path: str) -> list[dict[str, Any]]:
    """Thirty tools in the words of one API."""
    names = [f"tool_{n}" for n in range(30)]
    if path == "/v1/messages":
        return [{"name": name, "description": "Does it", "input_schema": DRAFT | PATH} for name in names]
    spec = [{"name": name, "description": "Does it", "parameters": DRAFT | PATH} for name in names]
    if path == "/v1/responses":
        return [{"type": "function", "strict": False, **one} for one in spec]
    return [{"type": "function", "function": one} for one in spec]


def body_of(name: str, lane: str, stream: bool) -> dict[str, Any]:
    """A fixture's body, grown to its real size."""
    fixture = FIXTURES[name]
    body: dict[str, Any] = json.loads(
        json.dumps(fixture["body"]).replace("(20,000 tokens of system prompt are put here by the test)", LONG)
    )
    if fixture.get("huge"):
        body["tools"] = [*offered(fixture["path"]), *body["tools"][1:]]
    return body | {"model": lane, "stream": stream}


def answered(url: str, path: str, body: dict[str, Any]) -> Any:
    """What the official SDK makes of the answer, as one object."""
    headers = {"x-api-key": "any", "authorization": "Bearer any", "x-some-agent-session": "1"}
    answer = httpx2.post(url + path, json=body, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    if not body["stream"]:
        return answer.json()
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert (
        events[-1] == "[DONE]"
        if path == "/v1/chat/completions"
        else '_stop"' in events[-1] or "completed" in events[-1]
    )
    return [json.loads(event) for event in events if event != "[DONE]"]


def said(path: str, answer: Any) -> tuple[str, list[tuple[str, str]]]:
    """The text, and name and arguments of each call, of an answer in one piece or in events."""
    if isinstance(answer, list):
        return _streamed(path, answer)
    if path == "/v1/messages":
        blocks = answer["content"]
        calls = [(b["name"], json.dumps(b["input"])) for b in blocks if b["type"] == "tool_use"]
        return "".join(b["text"] for b in blocks if b["type"] == "text"), calls
    if path == "/v1/responses":
        texts = [part["text"] for item in answer["output"] for part in item.get("content") or ()]
        calls = [
            (item["name"], item["arguments"]) for item in answer["output"] if item["type"] == "function_call"
        ]
        return "".join(texts), calls
    message = answer["choices"][0]["message"]
    called = [call["function"] for call in message.get("tool_calls") or ()]
    return message.get("content") or "", [(one["name"], one["arguments"]) for one in called]


def _streamed(path: str, events: list[Any]) -> tuple[str, list[tuple[str, str]]]:
    if path == "/v1/responses":
        return said(path, events[-1]["response"])
    text, calls = "", []
    for event in events:
        if path == "/v1/messages":
            block, delta = event.get("content_block") or {}, event.get("delta") or {}
            if block.get("type") == "tool_use":
                calls.append([block["name"], ""])
            text += delta.get("text") or ""
            if "partial_json" in delta:
                calls[-1][1] += delta["partial_json"]
            continue
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls") or ():
                function = call["function"]
                if function.get("name"):
                    calls.append([function["name"], ""])
                calls[-1][1] += function.get("arguments") or ""
    return text, [(name, arguments) for name, arguments in calls]


@STREAM
@LANES
@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_what_a_client_sends_is_answered(s: Scene, name: str, lane: str, stream: bool) -> None:
    fixture = FIXTURES[name]
    text, calls = said(fixture["path"], answered(s.url, fixture["path"], body_of(name, lane, stream)))
    match fixture["expect"]:
        case "call":
            assert calls
            assert all(isinstance(json.loads(arguments), dict) for _, arguments in calls)
        case "json":
            assert json.loads(text).keys() == {"name", "age"}
        case _:
            assert text
            assert not calls


@LANES
@pytest.mark.parametrize("name", sorted(name for name in FIXTURES if FIXTURES[name].get("huge")))
def test_a_coding_agents_prompt_arrives_whole_and_begins_alike(s: Scene, name: str, lane: str) -> None:
    """So that a provider's cache of prefixes finds the second request in the first."""
    path = FIXTURES[name]["path"]
    first = body_of(name, lane, stream=True)
    second = json.loads(json.dumps(first))
    second["input" if path == "/v1/responses" else "messages"].append({"role": "user", "content": "And now?"})
    for body in (first, second):
        answered(s.url, path, body)
    one, two = (request.json for request in s.cloud.requests[-2:])
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert LONG in json.dumps(one)
    assert len(one["tools"]) == len(two["tools"]) == 30
    assert (one["tools"], one.get("system")) == (two["tools"], two.get("system"))
    kept = one["messages"][: len(one["messages"]) - (lane == "cloud-anthropic")]
    assert two["messages"][: len(kept)] == kept


@LANES
def test_an_agent_takes_20_steps_by_chat(s: Scene, lane: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "Go."}]
    tools: Any = offered("/v1/chat/completions")
    for _ in range(STEPS):
        reply = s.ask.chat.completions.create(
            model=lane, messages=messages, tools=tools, tool_choice="required"
        )
        message = reply.choices[0].message
        assert message.tool_calls
        messages.append(message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "done"} for call in message.tool_calls
        ]
    last = s.ask.chat.completions.create(model=lane, messages=messages, tools=tools)
    assert last.choices[0].message.content
    _same_ids(s, messages[1]["tool_calls"][0]["id"])


@LANES
def test_an_agent_takes_20_steps_by_responses(s: Scene, lane: str) -> None:
    tools: Any = offered("/v1/responses")
    asked: Any = "Go."
    earlier: str | None = None
    for _ in range(STEPS):
        reply = s.ask.responses.create(
            model=lane, input=asked, tools=tools, tool_choice="required", previous_response_id=earlier
        )
        calls = [item for item in reply.output if item.type == "function_call"]
        assert calls
        asked = [{"type": "function_call_output", "call_id": c.call_id, "output": "done"} for c in calls]
        earlier = reply.id
    assert s.ask.responses.create(
        model=lane, input=asked, tools=tools, previous_response_id=earlier
    ).output_text


@LANES
def test_an_agent_takes_20_steps_by_messages(s: Scene, lane: str) -> None:
    messages: list[Any] = [{"role": "user", "content": "Go."}]
    tools: Any = offered("/v1/messages")
    with anthropic.Anthropic(base_url=s.url, api_key="any", max_retries=0) as sdk:
        for _ in range(STEPS):
            reply = sdk.messages.create(
                model=lane, max_tokens=99, messages=messages, tools=tools, tool_choice={"type": "any"}
            )
            calls = [block for block in reply.content if block.type == "tool_use"]
            assert calls
            messages.append(
                {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in reply.content]}
            )
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": "done"} for call in calls]
            messages.append({"role": "user", "content": results})
        last = sdk.messages.create(model=lane, max_tokens=99, messages=messages, tools=tools)
    assert last.stop_reason == "end_turn"
    _same_ids(s, messages[1]["content"][0]["id"])


def _same_ids(s: Scene, call_id: str) -> None:
    """The lane finds its own ids in every later step."""
    assert len(s.cloud.requests) == STEPS + 1
    assert all(call_id in json.dumps(request.json) for request in s.cloud.requests[1:])


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ("End the message with Co-Authored-By: An Agent <noreply@provider.com>", Sensitivity.PUBLIC),
        ("Pass --fix to apply it, or pass arrays/objects as values.", Sensitivity.PUBLIC),
        ('A cron line in local time: "M H DoM Mon DoW".', Sensitivity.PUBLIC),
        ("Write to ann.lee@provider.com", Sensitivity.CONFIDENTIAL),
        ("pass: k3rmit/the-frog", Sensitivity.CONFIDENTIAL),
    ],
)
def test_the_words_of_agents_prompts_are_not_taken_for_data(words: str, level: Sensitivity) -> None:
    body = {"model": "auto", "messages": [{"role": "system", "content": words}]}
    assert sensitivity.read(view_of(parse(json.dumps(body).encode()))).level is level


def test_the_docs_name_each_client_and_the_version_that_was_tried() -> None:
    words = (Path(__file__).parents[2] / "docs" / "clients-tried.md").read_text("utf-8")
    assert all(fixture["client"].split(",")[0] in words for fixture in FIXTURES.values())


def test_a_foreign_tool_that_is_demanded_is_refused(s: Scene) -> None:
    search = {"type": "web_search"}
    for more in (
        {"tools": [search]},
        {"tools": [*offered("/v1/responses"), search], "tool_choice": "required"},
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            s.ask.responses.create(model="auto", input="a", **more)
        assert refused.value.param == f"tools[{len(more['tools']) - 1}].type"
