"""Streams with tools on offer: prose at once, calls when they are whole and valid."""

import json
from typing import Any

import pytest

from tests.http.conftest import Scene
from tests.http.test_streams import DIALECTS, FIRST, TOOLS, errors, hello, lane, said, stream, told
from tests.support.rawclient import Raw
from tests.support.record import Request

__all__ = ["told"]

PIN = {"openai": "local-tools", "anthropic": "cloud-anthropic"}


def calls(raw: Raw) -> list[Any]:
    choices = [choice for payload in raw.payloads for choice in payload.get("choices", ())]
    return [call for choice in choices for call in choice["delta"].get("tool_calls", ())]


def finish(raw: Raw) -> str:
    choices = [choice for payload in raw.payloads for choice in payload.get("choices", ())]
    return str(choices[-1]["finish_reason"])


def the_request(scene: Scene, dialect: str) -> Request:
    return (scene.local if dialect == "openai" else scene.cloud).requests[-1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_prose_is_streamed_though_tools_are_on_offer(told: Scene, dialect: str) -> None:
    """Every chunk comes as the upstream made it, and the first before the last was made."""
    tools: Any = TOOLS
    fault = "plain+slow_chunks_100"
    with told.ask.chat.completions.create(
        model="auto", messages=hello(fault), tools=tools, stream=True, extra_headers=FIRST[dialect]
    ) as chunks:
        assert next(filter(None, (chunk.choices[0].delta.content for chunk in chunks)))
        assert the_request(told, dialect).chunks < 20
    raw = stream(told, "plain+long_20", dialect, tools=TOOLS, stream_options={"include_usage": True})
    assert the_request(told, dialect).json["stream"] is True
    assert len(said(raw)) == 20
    assert finish(raw) == "stop"
    assert raw.payloads[-1]["usage"]["completion_tokens"] == 20
    assert sum(1 for p in raw.payloads for c in p["choices"] if c["delta"].get("role")) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["ok", "tool_fenced", "tool_bare", "tool_wrong_type", "tool_bad_json"])
def test_a_call_comes_whole_and_valid_and_no_text_of_it(told: Scene, dialect: str, fault: str) -> None:
    """A call in any disguise becomes one valid tool call; its text is not shown."""
    raw = stream(told, fault, dialect, tools=TOOLS)
    [call] = calls(raw)
    assert call["function"]["name"] == "get_weather"
    assert isinstance(json.loads(call["function"]["arguments"])["days"], int)
    assert not said(raw)
    assert finish(raw) == "tool_calls"
    assert raw.headers["x-pointsman-trail"].endswith("=ok" if fault == "ok" else "=repaired")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_after_prose_is_shown_when_it_is_valid(told: Scene, dialect: str) -> None:
    """Prose first, then one whole call."""
    raw = stream(told, "talk_first_3", dialect, tools=TOOLS)
    assert said(raw) == ["talk0 ", "talk1 ", "talk2 "]
    [call] = calls(raw)
    assert isinstance(json.loads(call["function"]["arguments"])["days"], int)
    assert finish(raw) == "tool_calls"
    assert raw.events[-1][1] == "[DONE]"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_written_after_a_sentence_is_not_shown_as_text(told: Scene, dialect: str) -> None:
    """A model that talks and then writes its call as text: the sentence, then a proper call."""
    raw = stream(told, "tool_chatty", dialect, tools=TOOLS)
    assert "".join(said(raw)).strip() == "Let me look that up."
    [call] = calls(raw)
    assert set(json.loads(call["function"]["arguments"])) == {"city", "days"}
    assert finish(raw) == "tool_calls"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["tool_missing_required", "cut_mid_frame_6", "err_in_stream_5"])
def test_a_bad_call_after_prose_is_one_error_event(told: Scene, dialect: str, fault: str) -> None:
    """Nobody takes over once prose was shown, and nothing of the bad call is."""
    told.local.clear()
    told.cloud.clear()
    raw = stream(told, f"talk_first_3+{fault}", dialect, tools=TOOLS)
    assert said(raw) == ["talk0 ", "talk1 ", "talk2 "]
    assert not calls(raw)
    [error] = errors(raw)
    assert error["code"] == "upstream_interrupted"
    assert "[DONE]" not in {data for _, data in raw.events}
    assert len(told.local.requests) + len(told.cloud.requests) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_bad_call_before_any_prose_goes_to_the_next_lane(told: Scene, dialect: str) -> None:
    """As without a stream: nothing was shown, so another lane may answer."""
    raw = stream(told, "tool_missing_required", dialect, tools=TOOLS)
    first = PIN[dialect]
    assert raw.headers["x-pointsman-trail"].startswith(f"{first}=invalid")
    assert lane(raw) != first
    assert set(json.loads(calls(raw)[0]["function"]["arguments"])) == {"city", "days"}


@pytest.mark.parametrize("fault", ["ok", "tool_missing_required"])
@pytest.mark.parametrize(
    "more", [{"tool_choice": "required"}, {"n": 2}, {"response_format": {"type": "json_object"}}]
)
def test_what_must_be_whole_is_still_asked_for_as_a_whole(
    told: Scene, fault: str, more: dict[str, Any]
) -> None:
    """A forced call, several choices and structured answers are held back entirely."""
    told.local.clear()
    raw = stream(told, fault, "openai", tools=TOOLS, **more)
    assert told.local.requests[0].json.get("stream") is not True
    assert raw.events[-1][1] == "[DONE]"


def test_the_official_client_reads_prose_and_call(told: Scene) -> None:
    """The SDK's own accumulation sees the content and the call."""
    tools: Any = TOOLS
    with told.ask.chat.completions.stream(
        model="auto", messages=hello("talk_first_2"), tools=tools
    ) as events:
        final = events.get_final_completion()
    message = final.choices[0].message
    assert message.content == "talk0 talk1 "
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.name == "get_weather"
