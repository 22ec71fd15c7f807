"""Sessions over real HTTP: who answered last goes on, unless something that weighs more says otherwise."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from tests.http.conftest import Scene
from tests.support.databases import KINDS, database
from tests.support.serving import config, reloadable, serving
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
PATIENT = {"wait_s": 30}
NAMED = {"x-pointsman-session": "monday"}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a city up.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def start(scene: Start, tmp_path: Path) -> Start:
    """A scene whose sessions are kept in a database of its own, and waited for."""

    def started(**more: Any) -> Scene:
        state = {"url": f"sqlite:///{tmp_path}/state.db"}
        return scene(**{"state": state, "sessions": PATIENT} | more)

    return started


def post(s: Scene, text: str = "hello", headers: dict[str, str] = NAMED, **more: Any) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
    return httpx2.post(f"{s.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def lane(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-pointsman-lane"]


def route(s: Scene, headers: dict[str, str] = NAMED, **more: Any) -> Any:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]} | more
    answer = httpx2.post(f"{s.url}/v1/route", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def moved(start: Start, **more: Any) -> Scene:
    """A session that its rule had placed at home and that the cloud answered last, because home was broken then."""
    s = start(**more)
    s.local.play("500")
    assert lane(post(s)) == "cloud-openai"
    s.local.play("")
    return s


def test_a_named_session_stays_on_the_lane_that_answered_last(start: Start) -> None:
    s = moved(start)
    again = post(s, "and then?")
    assert lane(again) == "cloud-openai"
    assert again.headers["x-pointsman-reason"] == "session"
    assert lane(post(s, "another one", headers={})) == "local-general"
    assert lane(post(s, "another one", headers={"x-pointsman-session": "tuesday"})) == "local-general"


def test_the_route_says_that_it_is_the_session_and_why(start: Start) -> None:
    s = moved(start)
    told = route(s)
    assert (told["lane"], told["reason"]) == ("cloud-openai", "session")
    assert [one["code"] for one in told["reasons"]] == ["session", "local_first"]
    assert told["signals"]["session"] == {"lane": "cloud-openai", "rule": "local_first", "known_by": "header"}
    assert "answered last in this session" in told["explanation"]
    assert route(s, headers={})["signals"]["session"] is None
    assert route(s)["chain"][1] == "local-general"


def test_to_ask_for_the_route_moves_no_session(start: Start) -> None:
    s = start()
    route(s)
    assert route(s)["signals"]["session"] is None


def test_a_rule_with_conditions_that_did_not_place_the_session_wins(start: Start) -> None:
    s = moved(start)
    assert lane(post(s, tools=[TOOL])) == "local-tools"
    back = post(s, "and now?")
    assert lane(back) == "local-tools"
    assert back.headers["x-pointsman-reason"] == "session"


@pytest.mark.parametrize(("sticky", "stays"), [(None, True), (True, True), (False, False)])
def test_a_rule_may_say_whether_sessions_stay(start: Start, sticky: bool | None, stays: bool) -> None:
    rule = {
        "name": "local_first",
        "prefer": ["local-general", "cloud-openai"],
        "because": "the default",
        "sticky": sticky,
    }
    s = moved(start, policy={"rules": [rule]})
    assert lane(post(s, "more")) == ("cloud-openai" if stays else "local-general")


def test_a_sticky_rule_keeps_sessions_of_other_rules(start: Start) -> None:
    rules = [
        {
            "name": "tools",
            "when": {"tools": True},
            "prefer": ["local-tools"],
            "because": "they are tools",
            "sticky": True,
        },
        {"name": "default", "prefer": ["local-general", "cloud-openai"], "because": "the default"},
    ]
    s = moved(start, policy={"rules": rules})
    assert lane(post(s, "more", tools=[TOOL])) == "cloud-openai"


def test_a_raised_class_wins_and_nothing_leaves(start: Start) -> None:
    s = moved(start)
    s.cloud.clear()
    secret = post(s, "My card is 4111 1111 1111 1111")
    assert lane(secret).startswith("local-")
    assert lane(post(s, headers=NAMED | {"x-pointsman-sensitivity": "confidential"})).startswith("local-")
    assert not s.cloud.requests


def test_what_the_client_asks_for_wins_and_moves_nothing(start: Start) -> None:
    s = start()
    assert lane(post(s)) == "local-general"
    assert lane(post(s, headers=NAMED | {"x-pointsman-prefer": "tier3"})) == "cloud-anthropic"
    assert lane(post(s, model="cloud-openai")) == "cloud-openai"
    assert lane(post(s)) == "local-general"


def test_a_lane_that_is_switched_off_has_no_sessions(tmp_path: Path) -> None:
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        settings = config(
            local.url,
            cloud.url,
            sessions=PATIENT,
            state={"url": f"sqlite:///{tmp_path}/state.db"},
        )
        url, router, proxy = stack.enter_context(reloadable(settings))
        s = Scene(url, stack.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key="x")), local, cloud)
        local.play("500")
        assert lane(post(s)) == "cloud-openai"
        local.play("")
        for part in (router, proxy):
            part({"lanes": {"cloud-openai": {"enabled": False}}})
        assert lane(post(s)) == "local-general"
        for part in (router, proxy):
            part({"sessions": {"enabled": False}})
        assert route(s)["signals"]["session"] is None


def test_a_lane_that_fails_is_left_and_the_session_moves_on(start: Start) -> None:
    s = moved(start)
    s.cloud.play("500")
    assert lane(post(s, "more")) == "local-general"
    s.cloud.play("")
    assert lane(post(s, "and more")) == "local-general"


# --- tool loops ------------------------------------------------------------------------------------------------


def steps(s: Scene, count: int, stream: bool = False) -> list[str]:
    """The lanes of an agent's loop of so many tool calls, whose first one finds every local lane broken."""
    s.local.play("500")
    messages: list[Any] = [{"role": "user", "content": "Compare the cities of Peru."}]
    lanes = []
    for number in range(count):
        raw = s.ask.chat.completions.with_raw_response.create(
            model="auto", messages=messages, tools=[TOOL], stream=stream, tool_choice="required"
        )
        lanes.append(raw.headers["x-pointsman-lane"])
        s.local.play("")
        parsed: Any = raw.parse()
        calls = streamed(parsed) if stream else [c.model_dump() for c in parsed.choices[0].message.tool_calls]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": c["id"], "content": f"city {number}"} for c in calls]
    return lanes


def streamed(chunks: Any) -> list[dict[str, Any]]:
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            for delta in choice.delta.tool_calls or ():
                call = calls.setdefault(
                    delta.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                )
                call["id"] += delta.id or ""
                call["function"]["name"] += delta.function.name or ""
                call["function"]["arguments"] += delta.function.arguments or ""
    return [calls[index] for index in sorted(calls)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_loop_stays_where_its_first_call_came_from(start: Start, stream: bool) -> None:
    """Twenty steps: the lane that failed at the first one is not tried again in the middle of the loop."""
    s = start()
    assert steps(s, 20, stream) == ["cloud-openai"] * 20


def test_without_sessions_the_loop_goes_back_to_the_lane_of_its_rule(start: Start) -> None:
    s = start(sessions={"enabled": False})
    assert steps(s, 2) == ["cloud-openai", "local-tools"]


def test_a_tool_loop_of_the_anthropic_client_stays_too(start: Start) -> None:
    s = start()
    s.local.play("500")
    tool: Any = {"name": "look_up", "input_schema": TOOL["function"]["parameters"]}
    messages: list[Any] = [{"role": "user", "content": "Compare the cities of Peru."}]
    lanes = []
    with anthropic.Anthropic(base_url=s.url, api_key="x", max_retries=0) as client:
        for number in range(3):
            raw = client.messages.with_raw_response.create(
                model="auto", max_tokens=100, messages=messages, tools=[tool], tool_choice={"type": "any"}
            )
            lanes.append(raw.headers["x-pointsman-lane"])
            s.local.play("")
            content = [block.model_dump(exclude_none=True) for block in raw.parse().content]
            results = [
                {"type": "tool_result", "tool_use_id": block["id"], "content": f"city {number}"}
                for block in content
                if block["type"] == "tool_use"
            ]
            assert results
            messages.append({"role": "assistant", "content": content})
            messages.append(
                {"role": "user", "content": [*results, {"type": "text", "text": f"Note {number}."}]}
            )
    assert lanes == ["cloud-openai"] * 3


# --- whose, where and how long ---------------------------------------------------------------------------------


def test_a_session_belongs_to_one_key(start: Start, tmp_path: Path) -> None:
    keys = f"sqlite:///{tmp_path}/keys.db"
    ann, bob = (made(keys, name) for name in ("ann", "bob"))
    s = start(keys={"mode": "required", "url": keys})
    s.local.play("500")
    assert lane(post(s, headers=NAMED | ann)) == "cloud-openai"
    s.local.play("")
    assert lane(post(s, "2", headers=NAMED | ann)) == "cloud-openai"
    assert route(s, headers=NAMED | bob)["signals"]["session"] is None


def made(url: str, name: str, **grant: Any) -> dict[str, str]:
    public, key, sha256 = credential.mint()
    KeyStore(url).add(KeyEntry(id=public, name=name, sha256=sha256, grant=Grant.model_validate(grant)))
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("kind", KINDS)
def test_routers_that_share_a_database_share_their_sessions(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        state = {"url": stack.enter_context(database(kind, tmp_path))}
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        settings = config(local.url, cloud.url, sessions=PATIENT, state=state)
        one, two = (stack.enter_context(serving(settings)) for _ in range(2))
        client = stack.enter_context(openai.OpenAI(base_url=f"{one}/v1", api_key="x"))
        local.play("500")
        assert lane(post(Scene(one, client, local, cloud))) == "cloud-openai"
        local.play("")
        answer = post(Scene(two, client, local, cloud), "and then?")
        assert (lane(answer), answer.headers["x-pointsman-reason"]) == ("cloud-openai", "session")


def test_nothing_of_a_session_but_hashes_and_lanes_is_kept(start: Start, tmp_path: Path) -> None:
    s = start()
    s.local.play("500")
    post(s, "What is a pangolin?", headers={"x-pointsman-session": "pangolins"})
    steps(s, 2)
    connection = sqlite3.connect(f"file:{tmp_path}/state.db?mode=ro", uri=True)
    found = connection.execute("SELECT id, lane, rule FROM sessions ORDER BY id").fetchall()
    connection.close()
    assert [(one[0].partition(":")[0], *one[1:]) for one in found] == [
        ("header", "cloud-openai", "local_first"),
        ("tools", "cloud-openai", "tool_call"),
    ]
    assert not any(word in json.dumps(found) for word in ("pangolin", "Peru", "call_"))


def test_a_database_that_cannot_be_used_stops_no_answer(start: Start, tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("")
    s = start(state={"url": f"sqlite:///{tmp_path / 'no-folder' / 'state.db'}"}, audit={"enabled": False})
    assert [lane(post(s, str(number))) for number in range(3)] == ["local-general"] * 3
