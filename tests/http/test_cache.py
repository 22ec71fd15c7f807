"""The response cache over real HTTP: for keys that opted in, the same deterministic request, and nothing else."""

import itertools
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from typer.testing import CliRunner

from serve.cli import app
from serve.keys.store import KeyStore
from tests.http.test_sessions import TOOL, made
from tests.support.serving import config, reloadable
from tests.support.upstream import ThreadedUpstream

PRICES = {"version": "test", "lanes": {"cloud-openai": {"input": 1.0, "output": 2.0}}}
CLOUD = {"x-pointsman-prefer": "cloud"}
REVIEW = {"name": "legal", "when": {"stakes": ["high"]}, "because": "somebody must look at it"}


@dataclass(frozen=True, slots=True)
class Running:
    """One Pointsman with a key that opted in and one that did not."""

    url: str
    opted: dict[str, str]
    plain: dict[str, str]
    local: ThreadedUpstream
    cloud: ThreadedUpstream
    change: Callable[[Any], None]
    folder: Path

    def post(self, text: str = "hello", headers: Mapping[str, str] = {}, **more: Any) -> httpx2.Response:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], "temperature": 0} | more
        answer = httpx2.post(
            f"{self.url}/v1/chat/completions", json=body, headers=self.opted | dict(headers), timeout=60
        )
        assert answer.status_code == 200, answer.text
        return answer

    def said(self, *args: Any, **more: Any) -> str:
        return self.post(*args, **more).headers["x-pointsman-cache"]

    def openai(self) -> openai.OpenAI:
        key = self.opted["authorization"].removeprefix("Bearer ")
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def start(tmp_path: Path) -> Any:
    with ExitStack() as stack:

        def started(models: dict[str, str] | None = None, **changes: Any) -> Running:
            keys = f"sqlite:///{tmp_path}/keys.db"
            opted = made(keys, "ann", cache=True, overrides=True)
            plain = made(keys, "bob", overrides=True)
            local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
            own = {
                "keys": {"mode": "required", "url": keys, "refresh_s": 0.1},
                "state": {"url": f"sqlite:///{tmp_path}/state.db"},
                "prices": PRICES,
            }
            settings = config(local.url, cloud.url, models=models, **own | changes)
            url, router, _ = stack.enter_context(reloadable(settings))
            return Running(url, opted, plain, local, cloud, router, tmp_path)

        yield started


Start = Callable[..., Running]


def table(folder: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{folder}/state.db?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if true():
            return
        pause.wait(0.05)
    pytest.fail("waited 60 s in vain")


def test_the_same_request_is_answered_once_and_costs_once(start: Start) -> None:
    s = start()
    first, second = (s.post(headers=CLOUD) for _ in range(2))
    assert [one.headers["x-pointsman-cache"] for one in (first, second)] == ["miss", "hit"]
    assert first.json() == second.json()
    assert len(s.cloud.requests) == 1
    assert float(first.headers["x-pointsman-cost-usd"]) > 0
    assert second.headers["x-pointsman-cost-usd"] == "0.000000"
    assert second.headers["x-pointsman-reason"] == "cached"
    assert second.headers["x-pointsman-lane"] == "cloud-openai"
    assert (second.headers["x-pointsman-attempts"], second.headers["x-pointsman-trail"]) == ("0", "")


def test_the_row_and_the_audit_log_say_that_nothing_left(start: Start) -> None:
    s = start()
    _, hit = (s.post(headers=CLOUD).headers["x-pointsman-decision-id"] for _ in range(2))
    row = "SELECT reason, lane, cost, billed, attempts, error FROM decisions WHERE decision_id = ?"
    until(lambda: bool(table(s.folder, row, hit)))
    assert table(s.folder, row, hit) == [("cached", "cloud-openai", 0, 0, 0, None)]
    log = "SELECT body FROM audit_records WHERE decision = ? ORDER BY seq"
    until(lambda: len(table(s.folder, log, hit)) == 2)
    intent, outcome = (json.loads(body) for (body,) in table(s.folder, log, hit))
    assert (intent["lanes"], intent["off_premises"]) == ([], False)
    assert (outcome["cloud_egress"], outcome["tried"], outcome["cost_microusd"]) == (False, [], 0)
    assert outcome["reasons"][0] == "cached"


def test_official_clients_get_it_whole_or_as_a_stream(start: Start) -> None:
    s = start()

    def ask(text: str, stream: bool) -> tuple[str, str, str | None]:
        with s.openai() as client:
            raw = client.chat.completions.with_raw_response.create(
                model="auto", messages=[{"role": "user", "content": text}], temperature=0, stream=stream
            )
            parsed: Any = raw.parse()
            if not stream:
                choice = parsed.choices[0]
                return raw.headers["x-pointsman-cache"], choice.message.content, choice.finish_reason
            chunks = [chunk.choices[0] for chunk in parsed]
            text = "".join(choice.delta.content or "" for choice in chunks)
            return raw.headers["x-pointsman-cache"], text, chunks[-1].finish_reason

    for before, after in itertools.product((False, True), repeat=2):
        text = f"hello {before} {after}"
        first, second = ask(text, before), ask(text, after)
        assert (first[0], second[0]) == ("miss", "hit")
        assert first[1:] == second[1:]
        assert first[1].startswith("upstream")
    assert len(s.local.requests) == 4


def test_tool_calls_come_back_as_they_were(start: Start) -> None:
    s = start()
    more: dict[str, Any] = {"tools": [TOOL], "tool_choice": "required"}
    for text, stream in (("one", False), ("two", True)):
        s.post(text, stream=stream, **more)
        again = s.post(text, **more)
        assert again.headers["x-pointsman-cache"] == "hit"
        (call,) = again.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "look_up"
        assert json.loads(call["function"]["arguments"]).keys() == {"city"}
    assert len(s.local.requests) == 2


def test_the_anthropic_api_has_it_too_with_its_usage(start: Start) -> None:
    s = start()
    asked: dict[str, Any] = {"model": "auto", "max_tokens": 50, "extra_body": {"temperature": 0}}
    asked["messages"] = [{"role": "user", "content": "hi"}]
    found = []
    with anthropic.Anthropic(base_url=s.url, api_key=s.opted["authorization"][7:], max_retries=0) as client:
        for _ in range(2):
            raw = client.messages.with_raw_response.create(**asked)
            found.append((raw.headers["x-pointsman-cache"], raw.parse().to_dict()))
    assert [said for said, _ in found] == ["miss", "hit"]
    assert found[0][1]["content"] == found[1][1]["content"]
    assert found[0][1]["usage"] == found[1][1]["usage"]


def test_usage_comes_with_a_replayed_stream_where_it_is_asked_for(start: Start) -> None:
    s = start()
    s.post(stream=True)
    body = s.post(stream=True, stream_options={"include_usage": True})
    assert body.headers["x-pointsman-cache"] == "hit"
    lines = [line for line in body.text.splitlines() if line]
    usage = json.loads(lines[-3].removeprefix("data: "))
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] > 0
    assert usage["x_pointsman"]["cost_usd"] == 0
    assert lines[-2:] == [": x-pointsman-cost-usd 0.000000", "data: [DONE]"]


OTHERS: list[dict[str, Any]] = [
    {"model": "local-tools"},
    {"max_tokens": 7},
    {"user": "ann"},
    {"seed": 1},
    {"text": "Hello"},
    {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "hello"}]},
    {"headers": {"x-pointsman-stakes": "low"}},
    {"headers": {"x-pointsman-sensitivity": "internal"}},
]
SAMPLING: list[dict[str, Any]] = [{"temperature": None}, {"temperature": 0.1}, {"n": 2}, {"logprobs": True}]


def test_what_differs_in_anything_is_another_request(start: Start) -> None:
    s = start()
    assert [s.said(**more) for more in ({}, *OTHERS)] == ["miss"] * (len(OTHERS) + 1)
    assert [s.said(**more) for more in ({}, *OTHERS)] == ["hit"] * (len(OTHERS) + 1)


def test_who_samples_gets_another_answer_each_time(start: Start) -> None:
    s = start()
    assert [s.said(**more) for more in SAMPLING * 2] == ["off"] * 2 * len(SAMPLING)
    assert len(s.local.requests) == 2 * len(SAMPLING)


def test_only_keys_that_opted_in_have_a_cache_and_each_its_own(start: Start) -> None:
    s = start()
    carl = made(f"sqlite:///{s.folder}/keys.db", "carl", cache=True)
    assert s.said() == "miss"
    assert [s.said(headers=s.plain), s.said(headers=s.plain)] == ["off", "off"]
    url = f"{s.url}/v1/models"
    until(lambda: httpx2.get(url, headers=carl, timeout=60).status_code == 200)
    assert [s.said(headers=carl), s.said(headers=carl), s.said()] == ["miss", "hit", "hit"]


def test_answers_to_confidential_data_are_never_kept(start: Start) -> None:
    s = start()
    secret = "My card is 4111 1111 1111 1111"
    assert [s.said(secret), s.said(secret)] == ["off", "off"]
    marked = {"x-pointsman-sensitivity": "confidential"}
    assert [s.said(), s.said(headers=marked), s.said(headers=marked)] == ["miss", "off", "off"]
    assert len(s.local.requests) == 5


def test_answers_that_a_person_must_see_are_never_kept(start: Start) -> None:
    rule = {"name": "all", "prefer": ["local-general"], "because": "the default"}
    s = start(policy={"rules": [rule], "review": [REVIEW]})
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
    for _ in range(2):
        held = httpx2.post(
            f"{s.url}/v1/chat/completions",
            json=body,
            headers=s.opted | {"x-pointsman-stakes": "high"},
            timeout=60,
        )
        assert held.status_code == 202, held.text
        assert held.headers["x-pointsman-cache"] == "off"
    assert len(s.local.requests) == 2


def test_the_client_may_refuse_an_old_answer_or_the_keeping_of_a_new_one(start: Start) -> None:
    s = start()
    assert s.said(headers={"cache-control": "no-store"}) == "off"
    assert s.said(headers={"cache-control": "no-cache"}) == "miss"
    assert s.said() == "hit"
    assert s.said(headers={"cache-control": "max-age=0, No-Cache"}) == "miss"
    assert s.said(headers={"Cache-Control": "no-cache, no-store"}) == "off"
    assert len(s.local.requests) == 4


def test_the_switch_turns_it_off_at_once_and_forgets_everything(start: Start) -> None:
    s = start()
    assert [s.said(), s.said()] == ["miss", "hit"]
    s.change({"cache": {"enabled": False}})
    assert s.said() == "off"
    s.change({"cache": {"enabled": True}})
    assert s.said() == "miss"


def test_a_changed_policy_forgets_what_was_decided_by_the_old_one(start: Start) -> None:
    s = start()
    assert [s.said(), s.said()] == ["miss", "hit"]
    s.change({"dispatch": {"idle_s": 29}})
    assert s.said() == "miss"


@pytest.mark.parametrize("cache", [{"max_bytes_each": 256}, {"keep_s": 1}])
def test_size_and_time_are_bounded(start: Start, cache: dict[str, int]) -> None:
    s = start(models={"local-general": "long_400"}, cache=cache)
    assert s.said() == "miss"
    threading.Event().wait(1.1)
    assert s.said(stream=True) == "miss"


@pytest.mark.parametrize("fault", ["err_in_stream_3", "no_finish_3"])
def test_a_stream_that_broke_off_is_not_kept(start: Start, fault: str) -> None:
    s = start(models={"local-general": fault})
    for _ in range(2):
        assert s.said(stream=True) == "miss"
    assert len(s.local.requests) == 2


def test_nothing_of_it_reaches_a_disk(start: Start) -> None:
    s = start()
    assert [s.said("What is a pangolin?") for _ in range(2)] == ["miss", "hit"]
    until(lambda: len(table(s.folder, "SELECT 1 FROM decisions")) == 2)
    for file in s.folder.iterdir():
        assert b"pangolin" not in file.read_bytes(), file


def test_a_key_opts_in_when_it_is_made(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    url = f"sqlite:///{tmp_path}/keys.db"
    settings = config("http://127.0.0.1:9", "http://127.0.0.1:9", keys={"mode": "required", "url": url})
    file.write_text(json.dumps(json.loads(settings.canonical)))
    done = CliRunner().invoke(app, ["keys", "create", "--name", "ann", "--cache", "--config", str(file)])
    assert done.exit_code == 0, done.output
    assert "cached answers" in done.stderr
    assert KeyStore(url).entries()[0].grant.cache
