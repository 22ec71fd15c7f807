"""A missed shape: a lane of ours is asked once more along a grammar, then the next lane, which is told why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene
from tests.http.test_metrics import scrape, total

HI: list[Any] = [{"role": "user", "content": "hi there"}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
TIME: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
REASK = {"dispatch": {"reask": {"lane": "local-tools"}}}
LOOSE = {"local-tools": "tool_loose", "local-general": "tool_loose"}


def post(s: Scene, **fields: Any) -> httpx2.Response:
    body = {"model": "auto", "messages": HI} | fields
    return httpx2.post(f"{s.url}/v1/chat/completions", json=body, timeout=30, trust_env=False)


def calls(answer: httpx2.Response) -> list[Any]:
    if "text/event-stream" not in answer.headers["content-type"]:
        return list(answer.json()["choices"][0]["message"]["tool_calls"])
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in json.loads(event)["choices"]]
    return [call for delta in deltas for call in delta.get("tool_calls", ())]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_call_that_cannot_be_mended_is_asked_for_along_its_schema(
    scene: Callable[..., Scene], stream: bool
) -> None:
    """The same question names the function, which leaves an engine no way to miss its arguments."""
    s = scene(models=LOOSE, **REASK)
    answer = post(s, tools=[TIME, *TOOLS][::-1], stream=stream)
    assert answer.headers["x-pointsman-trail"] == "local-tools=invalid, local-tools=reasked"
    [call] = calls(answer)
    assert set(json.loads(call["function"]["arguments"])) == {"city", "days"}
    first, second = (request.json for request in s.local.requests)
    assert "tool_choice" not in first
    assert second["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
    # vLLM leaves the arguments of a tool free that is not strict, even if it is named.
    assert [tool["function"].get("strict") for tool in first["tools"]] == [None, None]
    assert all(tool["function"]["strict"] is True for tool in second["tools"])
    assert second["messages"][: len(HI)] == HI
    assert "do not match its schema" in second["messages"][-1]["content"]
    assert not s.cloud.requests


def test_several_calls_are_asked_for_as_a_list(scene: Callable[..., Scene]) -> None:
    """Where a call was demanded and none came, none can be named: `required` is a grammar of any of them."""
    s = scene(models={"local-tools": "plain"}, **REASK)
    post(s, tools=[TIME, *TOOLS], tool_choice="required")
    assert [request.json["tool_choice"] for request in s.local.requests[:2]] == ["required", "required"]


@pytest.mark.parametrize("form", [FORM, {"type": "json_object"}], ids=["schema", "object"])
def test_an_answer_that_is_no_json_is_asked_for_along_its_schema(
    scene: Callable[..., Scene], form: Any
) -> None:
    s = scene(models={"local-general": "json_invalid"}, **REASK)
    answer = post(s, response_format=form)
    assert answer.headers["x-pointsman-trail"] == "local-general=invalid, local-tools=reasked"
    json.loads(answer.json()["choices"][0]["message"]["content"])
    shape = s.local.requests[-1].json["response_format"]
    assert shape["type"] == "json_schema"
    assert shape["json_schema"]["schema"] == (WEATHER if form is FORM else {"type": "object"})
    assert shape["json_schema"]["strict"] is True


def test_where_that_fails_too_the_next_lane_is_told_what_was_tried_and_why(
    scene: Callable[..., Scene],
) -> None:
    """Once, and not a third time on the same lane."""
    s = scene(models=dict.fromkeys(("local-general", "local-tools"), "tool_missing_required"), **REASK)
    answer = post(s, tools=TOOLS)
    assert answer.status_code == 200
    ends = [one.split("=")[1] for one in answer.headers["x-pointsman-trail"].split(", ")]
    assert ends[:2] == ["invalid", "invalid"]
    assert ends[-1] == "ok"
    asked = s.cloud.requests or s.local.requests[2:]
    note = json.dumps(asked[-1].json["messages"][-1])
    assert "get_weather(" in note
    assert "do not match its schema" in note
    assert sum("tool_choice" in request.json for request in s.local.requests) == 1


def test_who_need_not_know_is_not_told(scene: Callable[..., Scene]) -> None:
    lanes = ("local-general", "local-tools")
    s = scene(models=dict.fromkeys(lanes, "json_invalid"), dispatch={"tell_next": "on_premises"})
    answer = post(s, response_format=FORM)
    assert answer.headers["x-pointsman-lane"] == "cloud-openai"
    assert s.cloud.requests[-1].json["messages"] == HI


def test_what_may_not_leave_is_left_out_and_the_request_goes_alone(scene: Callable[..., Scene]) -> None:
    """A model that makes up a secret: the note about its answer stays here, the request does not suffer."""
    s = scene(models=dict.fromkeys(("local-general", "local-tools"), "tool_secret"))
    answer = post(s, tools=TOOLS)
    assert answer.headers["x-pointsman-lane"].startswith("cloud-")
    assert b"536-90-4399" not in s.cloud.received_bytes


def test_a_lane_that_is_pinned_is_the_only_one_that_is_asked_again(scene: Callable[..., Scene]) -> None:
    """What a client asks for by name no setting sends elsewhere."""
    s = scene(models={"local-general": "json_invalid"}, **REASK)
    answer = post(s, model="local-general", response_format=FORM)
    assert answer.status_code == 502
    assert len(s.local.requests) == 1


def test_it_counts_as_an_attempt_and_not_as_an_escalation(
    scene: Callable[..., Scene], tmp_path: Path
) -> None:
    """In a database of its own: what others counted would count here as well."""
    s = scene(models=LOOSE, state={"url": f"sqlite:///{tmp_path}/state.db"}, **REASK)
    post(s, tools=TOOLS)
    seen = scrape(s.url)
    assert total(seen, "pointsman_attempts_total", lane="local-tools", outcome="reasked") == 1
    assert total(seen, "pointsman_reasks_total", lane="local-tools") == 1
    assert total(seen, "pointsman_escalations_total") == total(seen, "pointsman_fallbacks_total") == 0


def test_off_is_off(scene: Callable[..., Scene]) -> None:
    s = scene(models=LOOSE, dispatch={"reask": {"enabled": False, "lane": "local-tools"}})
    assert "reasked" not in post(s, tools=TOOLS).headers["x-pointsman-trail"]
