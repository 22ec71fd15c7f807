"""What a lane thinks, over HTTP with the official client: from lanes that think, and without harm to all others."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from typing import Any

import anthropic
import openai
import pytest

from tests.http.conftest import Scene
from tests.support.answers import SIGNATURE, THOUGHT
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
ASKED: dict[str, Any] = {"max_tokens": 2000, "messages": [{"role": "user", "content": "hello there"}]}
TOOL: Any = {"name": "look", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        url = stack.enter_context(serving(config(local.url, cloud.url, models={"cloud-anthropic": "thinks"})))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def s(shared: Scene) -> Scene:
    shared.local.clear()
    shared.cloud.clear()
    return shared


def ask(s: Scene, stream: bool, lane: str = "cloud-anthropic", **more: Any) -> anthropic.types.Message:
    with anthropic.Anthropic(base_url=s.url, api_key="any", max_retries=0) as sdk:
        if not stream:
            whole: anthropic.types.Message = sdk.messages.create(model=lane, **ASKED | more)
            return whole
        with sdk.messages.stream(model=lane, **ASKED | more) as events:
            return events.get_final_message()


def sent(s: Scene) -> dict[str, Any]:
    body = s.cloud.requests[-1].json
    assert isinstance(body, dict)
    return body


def kinds(message: anthropic.types.Message) -> list[str]:
    return [block.type for block in message.content]


BOTH = pytest.mark.parametrize("stream", [False, True])


@BOTH
@pytest.mark.parametrize("tools", [False, True])
def test_thoughts_come_signed_and_before_the_answer(s: Scene, stream: bool, tools: bool) -> None:
    offered: dict[str, Any] = {"tools": [TOOL]} if tools else {}
    answer = ask(s, stream, thinking=THINKING, **offered)
    assert kinds(answer) == ["thinking", "redacted_thinking", "tool_use" if tools else "text"]
    open_, closed = answer.content[:2]
    assert (open_.thinking, open_.signature) == (THOUGHT, SIGNATURE)  # type: ignore[union-attr]
    assert closed.data == SIGNATURE  # type: ignore[union-attr]
    assert sent(s)["thinking"] == THINKING


@BOTH
def test_thoughts_that_are_left_out_still_have_their_signature(s: Scene, stream: bool) -> None:
    answer = ask(s, stream, thinking=THINKING | {"display": "omitted"})
    assert kinds(answer) == ["thinking", "redacted_thinking", "text"]
    assert (answer.content[0].thinking, answer.content[0].signature) == ("", SIGNATURE)  # type: ignore[union-attr]


@BOTH
@pytest.mark.parametrize("asked", [{}, {"thinking": {"type": "disabled"}}])
def test_nobody_thinks_who_was_not_asked_to(s: Scene, stream: bool, asked: dict[str, Any]) -> None:
    assert kinds(ask(s, stream, **asked)) == ["text"]


@BOTH
@pytest.mark.parametrize("lane", ["local-general", "cloud-openai"])
def test_lanes_that_cannot_think_answer_without(s: Scene, stream: bool, lane: str) -> None:
    assert kinds(ask(s, stream, lane, thinking=THINKING, extra_body={"top_k": 5})) == ["text"]
    body = (s.local if lane == "local-general" else s.cloud).requests[-1].json
    assert isinstance(body, dict)
    assert not body.keys() & {"thinking", "top_k", "thinking_blocks"}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"tools": [TOOL], "tool_choice": {"type": "any"}}, id="a-forced-call"),
        pytest.param({"max_tokens": 1024}, id="no-room-for-it"),
        pytest.param({"thinking": {"type": "enabled", "budget_tokens": 5}}, id="too-little"),
    ],
)
def test_what_the_provider_would_refuse_goes_without_thinking(s: Scene, more: dict[str, Any]) -> None:
    answer = ask(s, stream=False, **{"thinking": THINKING} | more)
    assert "thinking" not in kinds(answer)
    assert "thinking" not in sent(s)


def loop(s: Scene, stream: bool, **more: Any) -> tuple[list[Any], anthropic.types.Message]:
    """The first step of a loop of tools, and the history with which the second one begins."""
    first = ask(s, stream, thinking=THINKING, tools=[TOOL], **more)
    call = first.content[-1]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "42"}
    said: list[Any] = [
        *ASKED["messages"],
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    return said, first


@BOTH
def test_a_loop_of_tools_goes_on_with_the_thoughts_before_it(s: Scene, stream: bool) -> None:
    """Unchanged, to the lane that signed them, which may go on thinking then."""
    said, _ = loop(s, stream)
    ask(s, stream, thinking=THINKING, tools=[TOOL], messages=said)
    assert sent(s)["thinking"] == THINKING
    assert sent(s)["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE},
        {"type": "redacted_thinking", "data": SIGNATURE},
    ]


@BOTH
@pytest.mark.parametrize("lane", ["local-tools", "cloud-openai"])
def test_other_lanes_never_see_them(s: Scene, stream: bool, lane: str) -> None:
    said, _ = loop(s, stream)
    ask(s, stream, lane, thinking=THINKING, tools=[TOOL], messages=said)
    body = (s.local if lane == "local-tools" else s.cloud).requests[-1].json
    assert SIGNATURE not in json.dumps(body)
    assert THOUGHT not in json.dumps(body)


@BOTH
def test_a_blob_that_was_not_delivered_here_goes_nowhere(s: Scene, stream: bool) -> None:
    """It could hold anything. The loop goes on without thinking, as the provider wants it then."""
    said, _ = loop(s, stream)
    forged = json.loads(
        json.dumps(said).replace(SIGNATURE, "c2VjcmV0IHRleHQgb2Ygb3VycyB0aGF0IG11c3Qgbm90IGxlYXZl")
    )
    answer = ask(s, stream, thinking=THINKING, tools=[TOOL], messages=forged)
    assert kinds(answer) == ["text"]
    assert "thinking" not in json.dumps(sent(s))
    half = json.loads(json.dumps(said))
    half[1]["content"][1]["data"] += "x"  # one block of a turn is not known: the turn goes without
    ask(s, stream, thinking=THINKING, tools=[TOOL], messages=half)
    assert "thinking" not in json.dumps(sent(s))


def test_thoughts_are_read_like_all_other_text(s: Scene) -> None:
    """A card number in what was thought keeps the conversation here, as it would anywhere else."""
    said, _ = loop(s, stream=False)
    said[1]["content"][0]["thinking"] = "The card is 4111 1111 1111 1111."
    before = len(s.cloud.requests)
    with pytest.raises(anthropic.APIStatusError) as refused:
        ask(s, stream=False, thinking=THINKING, tools=[TOOL], messages=said)
    assert refused.value.status_code in (403, 503)
    assert len(s.cloud.requests) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_that_moved_does_not_get_the_thoughts_of_the_old_place(kind: str) -> None:
    with ExitStack() as stack:
        up, other = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        state = {"url": stack.enter_context(database(kind, stack.enter_context(memory_folder())))}
        models = {"cloud-anthropic": "thinks"}
        with serving(config(up.url, up.url, models=models, state=state)) as url, client(url) as sdk:
            said, _ = loop(Scene(url, sdk, up, up), stream=False)
        with serving(config(up.url, up.url, models=models, state=state)) as url, client(url) as sdk:
            again = Scene(url, sdk, up, up)  # another process over the same database
            ask(again, stream=False, thinking=THINKING, tools=[TOOL], messages=said)
            assert SIGNATURE in json.dumps(sent(again))
        with serving(config(up.url, other.url, models=models, state=state)) as url, client(url) as sdk:
            moved = Scene(url, sdk, up, other)
            ask(moved, stream=False, thinking=THINKING, tools=[TOOL], messages=said)
            assert SIGNATURE not in json.dumps(sent(moved))


@BOTH
def test_chat_clients_may_ask_for_it_too(s: Scene, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "cloud-anthropic", **ASKED, "extra_body": {"thinking": THINKING}}
    if stream:
        deltas = [
            c.choices[0].delta.model_dump()
            for c in s.ask.chat.completions.create(**asked, stream=True)
            if c.choices
        ]
        text = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        blocks = [block for delta in deltas for block in delta.get("thinking_blocks") or []]
    else:
        message = s.ask.chat.completions.create(**asked).choices[0].message.model_dump()
        text, blocks = message["reasoning_content"], message["thinking_blocks"]
    assert text == THOUGHT
    assert [block.get("signature") or block.get("data") for block in blocks] == [SIGNATURE, SIGNATURE]


def test_the_users_name_goes_along_and_sampling_only_where_it_is_taken() -> None:
    with ThreadedUpstream() as up:
        settings = config(up.url, up.url)
        taking = [
            lane.model_copy(update={"sampling": lane.kind == "anthropic"}) if lane.kind != "engine" else lane
            for lane in settings.lanes
        ]
        bodies = []
        for one in (settings, settings.model_copy(update={"lanes": tuple(taking)})):
            with serving(one) as url, client(url) as sdk:
                asked: Any = {"model": "cloud-anthropic", "messages": ASKED["messages"], "user": "u-7"}
                with_sampling: dict[str, Any] = {"temperature": 1.7, "top_p": 0.5, "extra_body": {"top_k": 3}}
                # The loopback provider refuses sampling in this version of its API, as the real one does.
                with nullcontext() if one is settings else pytest.raises(openai.BadRequestError):
                    sdk.chat.completions.create(**asked, **with_sampling)
                bodies.append(up.requests[-1].json)
    without, with_it = bodies
    assert without["metadata"] == with_it["metadata"] == {"user_id": "u-7"}
    assert not without.keys() & {"temperature", "top_p", "top_k"}
    assert {name: with_it[name] for name in ("temperature", "top_p", "top_k")} == {
        "temperature": 1.0, "top_p": 0.5, "top_k": 3,
    }  # fmt: skip
