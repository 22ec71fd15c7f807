"""Preambles over real HTTP: what local lanes are told first, and that no cloud lane ever is."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, get_args

import httpx2
import pytest
from pydantic import ValidationError

from serve.config import Config
from serve.ledger import purse
from serve.signals.readings import TaskType
from tests.http.conftest import Scene
from tests.http.test_sessions import TOOL
from tests.support.serving import config, reloadable, serving
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
TEXT = "Answer directly. Use exactly the format that is asked for."
TASKS = sorted(get_args(TaskType))
DIRECT: dict[str, Any] = {
    "name": "direct",
    "version": "3",
    "tasks": TASKS,
    "sure_at": 0,
    "text": TEXT,
    "temperature": 0.2,
    "top_p": 0.9,
}
USER = {"role": "user", "content": "hello"}


def post(s: Scene, headers: Mapping[str, str] = {}, **more: Any) -> httpx2.Response:
    answer = httpx2.post(
        f"{s.url}/v1/chat/completions",
        json={"model": "auto", "messages": [USER]} | more,
        headers=dict(headers),
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer


def route(s: Scene, **more: Any) -> Any:
    return httpx2.post(
        f"{s.url}/v1/route", json={"model": "auto", "messages": [USER]} | more, timeout=60
    ).json()


def test_a_local_lane_is_told_and_the_answer_says_so(scene: Start) -> None:
    s = scene(preambles=[DIRECT])
    answer = post(s)
    assert answer.headers["x-pointsman-preamble"] == "direct/3"
    (sent,) = s.local.requests
    assert sent.json["messages"] == [{"role": "system", "content": TEXT}, USER]
    assert (sent.json["temperature"], sent.json["top_p"]) == (0.2, 0.9)
    told = route(s)["preambles"]
    assert told == {name: {"name": "direct", "version": "3"} for name in ("local-general", "local-tools")}


def test_without_one_nothing_is_added(scene: Start) -> None:
    s = scene()
    answer = post(s)
    assert "x-pointsman-preamble" not in answer.headers
    assert s.local.requests[0].json["messages"] == [USER]
    assert "temperature" not in s.local.requests[0].json
    assert route(s)["preambles"] == {}


@pytest.mark.parametrize(
    ("system", "becomes"),
    [
        pytest.param("Be kind.", f"{TEXT}\n\nBe kind.", id="text"),
        pytest.param(
            [{"type": "text", "text": "Be kind."}],
            [{"type": "text", "text": TEXT}, {"type": "text", "text": "Be kind."}],
            id="parts",
        ),
    ],
)
def test_what_the_client_wrote_stays_word_for_word_behind_it(
    scene: Start, system: object, becomes: object
) -> None:
    s = scene(preambles=[DIRECT])
    post(s, messages=[{"role": "system", "content": system}, USER])
    assert s.local.requests[0].json["messages"] == [{"role": "system", "content": becomes}, USER]


def test_sampling_alone_leaves_the_messages_and_their_length_as_they_are(scene: Start) -> None:
    plain, s = scene(), scene(preambles=[DIRECT | {"text": ""}])
    most = next(n for n in range(8192, 0, -1) if route(plain, max_tokens=n)["lane"] == "local-general")
    answer = post(s, max_tokens=most)
    assert answer.headers["x-pointsman-preamble"] == "direct/3"
    (sent,) = s.local.requests
    assert sent.json["messages"] == [USER]
    assert (sent.json["temperature"], sent.json["top_p"]) == (0.2, 0.9)


@pytest.mark.parametrize("sampling", [{"temperature": 1.0}, {"top_p": 0.5}])
def test_the_clients_own_sampling_stands(scene: Start, sampling: dict[str, Any]) -> None:
    s = scene(preambles=[DIRECT])
    post(s, **sampling)
    sent = s.local.requests[0].json
    assert {name: sent[name] for name in ("temperature", "top_p") if name in sent} == sampling


@pytest.mark.parametrize("stream", [False, True])
def test_a_cloud_lane_gets_what_the_client_wrote_also_after_a_local_one_failed(
    scene: Start, stream: bool
) -> None:
    """The answer of the local lane does not match the schema, so the cloud is asked: with the client's own words."""
    s = scene(
        models={"local-general": "json_wrong_schema", "local-tools": "json_wrong_schema"}, preambles=[DIRECT]
    )
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    body: dict[str, Any] = {
        "messages": [{"role": "system", "content": "Be kind."}, USER],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        "stream": stream,
    }
    answer = post(s, **body)
    assert answer.headers["x-pointsman-lane"].startswith("cloud-"), answer.headers
    assert "x-pointsman-preamble" not in answer.headers
    assert s.local.requests
    assert s.cloud.requests
    for sent in s.local.requests:
        assert sent.json["messages"][0]["content"].startswith(TEXT)
    for sent in s.cloud.requests:
        assert b"Answer directly" not in sent.body
        assert b"top_p" not in sent.body
    *words, note = s.cloud.requests[-1].json["messages"]
    assert words == body["messages"]
    assert "was tried and refused" in note["content"]


def test_both_dialects_of_the_cloud_get_the_clients_words_alone(scene: Start) -> None:
    s = scene(preambles=[DIRECT])
    for lane in ("cloud-openai", "cloud-anthropic"):
        answer = post(s, model=lane)
        assert "x-pointsman-preamble" not in answer.headers
        sent = s.cloud.requests[-1].json
        assert [message["role"] for message in sent["messages"]] == ["user"]
        assert "hello" in json.dumps(sent["messages"])
        assert not sent.keys() & {"system", "temperature", "top_p"}


def test_it_is_chosen_by_task_and_by_lane_and_the_first_one_counts(scene: Start) -> None:
    own = {
        "name": "calls",
        "version": "1",
        "tasks": ["tool_call"],
        "lanes": ["local-tools"],
        "text": "Call a tool.",
    }
    s = scene(preambles=[own, DIRECT | {"tasks": [task for task in TASKS if task != "tool_call"]}])
    assert post(s, tools=[TOOL], tool_choice="required").headers["x-pointsman-preamble"] == "calls/1"
    assert s.local.requests[0].json["messages"][0]["content"] == "Call a tool."
    assert "temperature" not in s.local.requests[0].json
    assert route(s, tools=[TOOL])["preambles"] == {"local-tools": {"name": "calls", "version": "1"}}
    assert post(s).headers["x-pointsman-preamble"] == "direct/3"


def test_its_length_counts_against_the_context_of_local_lanes(scene: Start) -> None:
    """8,192 tokens fit without it: the request and a thousand words of preamble do not."""
    asked = {"max_tokens": 8100}
    assert route(scene(), **asked)["lane"] == "local-general"
    told = route(scene(preambles=[DIRECT | {"text": "word " * 1000}]), **asked)
    assert told["lane"] == "cloud-openai"
    assert {one["lane"]: one["code"] for one in told["excluded"]} == {
        "local-general": "context",
        "local-tools": "context",
    }
    assert told["signals"]["input_tokens"] < 20


def test_it_changes_while_pointsman_runs() -> None:
    body = {"model": "auto", "messages": [USER]}
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        url, router, _ = stack.enter_context(reloadable(config(local.url, cloud.url)))
        before = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        router({"preambles": [DIRECT]})
        after = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert "x-pointsman-preamble" not in before.headers
    assert after.headers["x-pointsman-preamble"] == "direct/3"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lanes": ["cloud-openai"]}, "no lane on device or private"),
        ({"lanes": ["nobody"]}, "no lane on device or private"),
        ({"lanes": []}, "at least 1"),
        ({"tasks": []}, "at least 1"),
        ({"tasks": ["dancing"]}, "dancing|Input should be"),
        ({"text": "", "temperature": None, "top_p": None}, "changes nothing"),
        ({"version": ""}, "pattern"),
        ({"temperature": 3}, "less than or equal to 2"),
    ],
)
def test_one_that_can_never_be_right_is_refused_at_load(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config("http://127.0.0.1:9", "http://127.0.0.1:9", preambles=[DIRECT | wrong])


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="defined twice"):
        config("http://127.0.0.1:9", "http://127.0.0.1:9", preambles=[DIRECT, DIRECT])


@pytest.mark.parametrize(("text", "status"), [("Answer directly.", 200), ("Answer directly. " * 200, 429)])
def test_what_a_preamble_costs_is_reserved_with_the_request(text: str, status: int) -> None:
    """A thousandth of a dollar for each token, and a fifth of a dollar to spend."""
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        raw = json.loads(config(local.url, cloud.url).canonical)
        lane = raw["lanes"][0] | {"location": "private", "price": {"input": 1000, "output": 1000}}
        rules = [{"name": "all", "prefer": [lane["name"]], "because": "there is one"}]
        changes = {"lanes": [lane], "policy": {"rules": rules}, "preambles": [DIRECT | {"text": text}]}
        with serving(Config.model_validate(raw | changes)) as url:
            answer = httpx2.post(
                f"{url}/v1/chat/completions",
                json={"model": "auto", "messages": [USER], "max_tokens": 10},
                headers={purse.MOST_HEADER: "0.2"},
                timeout=60,
            )
    assert answer.status_code == status, answer.text
    assert len(local.requests) == (status == 200)
