"""`x-pointsman-checks` over HTTP: on every API, held back in streams, and the next lane where an answer fails."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Scene
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

HEADER = "x-pointsman-checks"
HI: list[Any] = [{"role": "user", "content": "hi"}]
SHORT = json.dumps({"words": ["answers"]})
NEVER = json.dumps({"enum": ["xyzzy-canary"]})
APIS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/responses": {"input": "hi"},
    "/v1/completions": {"prompt": "hi", "max_tokens": 50},
    "/v1/messages": {"messages": HI, "max_tokens": 50},
}


@pytest.fixture(scope="module")
def house() -> Iterator[Scene]:
    """The first lane talks eight words, the others three."""
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        url = stack.enter_context(
            serving(config(local.url, cloud.url, models={"local-general": "json_invalid"}))
        )
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


def post(house: Scene, path: str, checks: str, **more: Any) -> httpx2.Response:
    body = {"model": "auto"} | APIS[path] | more
    return httpx2.post(
        house.url + path, json=body, headers={HEADER: checks, "x-api-key": "any"}, timeout=30, trust_env=False
    )


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("path", APIS)
def test_an_answer_that_fails_is_seen_by_nobody(house: Scene, path: str, stream: bool) -> None:
    """The next lane answers, also where the client reads a stream: the failed words never began to go out."""
    answer = post(house, path, SHORT, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-pointsman-trail"].startswith("local-general=invalid, ")
    assert answer.headers["x-pointsman-trail"].endswith("=ok")
    assert "upstream answers" in answer.text
    assert "rather talk" not in answer.text


@pytest.mark.parametrize("path", APIS)
def test_where_no_lane_passes_it_is_an_error_that_names_the_check(house: Scene, path: str) -> None:
    answer = post(house, path, NEVER)
    assert answer.status_code == 502
    assert f"{HEADER}: enum is not met" in answer.text
    assert "xyzzy-canary" not in answer.text


@pytest.mark.parametrize("path", APIS)
def test_checks_that_mean_nothing_are_400_before_any_lane_is_asked(house: Scene, path: str) -> None:
    before = len(house.local.requests) + len(house.cloud.requests)
    answer = post(house, path, json.dumps({"at": {"price": {"maximum": "ten"}}}))
    assert answer.status_code == 400
    assert f"{HEADER}.at.price.maximum" in answer.text
    assert len(house.local.requests) + len(house.cloud.requests) == before


def test_a_header_sent_twice_is_refused(house: Scene) -> None:
    with httpx2.Client(trust_env=False, timeout=30) as http:
        headers = [(HEADER, SHORT), (HEADER, SHORT)]
        answer = http.post(
            f"{house.url}/v1/chat/completions", json={"model": "auto", "messages": HI}, headers=headers
        )
    assert answer.status_code == 400


def test_calls_are_checked_by_their_arguments(scene: Callable[..., Scene]) -> None:
    """The upstream's call says 3 days: up to 2 are allowed, so nobody's call goes out."""
    parameters = {"type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    s = scene()
    for most, status in ((3, 200), (2, 502)):
        checks = json.dumps({"calls": {"get_weather": {"days": {"maximum": most}}}})
        answer = post(s, "/v1/chat/completions", checks, tools=tools)
        assert answer.status_code == status


def test_a_decision_that_is_not_run_says_that_answers_are_checked(house: Scene) -> None:
    body = {"model": "auto", "messages": HI}
    plain = httpx2.post(f"{house.url}/v1/route", json=body, timeout=30, trust_env=False).json()
    checked = httpx2.post(
        f"{house.url}/v1/route", json=body, headers={HEADER: SHORT}, timeout=30, trust_env=False
    ).json()
    assert "checks of the client" in checked["explanation"]
    assert "checks of the client" not in plain["explanation"]
