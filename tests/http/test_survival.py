"""Bad minutes over real HTTP: a budget for retries, Retry-After of every kind, full lanes and secrets."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest

from serve.config import Config
from tests.http.conftest import Scene
from tests.http.test_fallback import HELLO, SECRET
from tests.support.serving import ThreadedUpstream, client, config, serving

HEADERS = {"x-pointsman-prefer": "cloud"}


async def statuses(url: str, requests: int, at_once: int, body: dict[str, Any], **headers: str) -> list[int]:
    """The status of each request."""
    gate = asyncio.Semaphore(at_once)
    async with httpx2.AsyncClient(trust_env=False, timeout=120) as http:

        async def one() -> int:
            async with gate:
                answer = await http.post(f"{url}/v1/chat/completions", json=body, headers=headers)
                return answer.status_code

        return await asyncio.gather(*(one() for _ in range(requests)))


def test_a_cloud_that_always_fails_is_asked_hardly_more_often_than_clients_ask(
    scene: Callable[..., Scene],
) -> None:
    s = scene(
        models=dict.fromkeys(("local-general", "local-tools", "cloud-openai", "cloud-anthropic"), "500"),
        dispatch={"retries": {"floor": 10}},
    )
    count = 1000
    seen = asyncio.run(statuses(s.url, count, 8, {"model": "auto", "messages": HELLO}, **HEADERS))
    assert set(seen) == {503}
    hits = len(s.cloud.requests) + len(s.local.requests)
    # The floor is granted once per window of 10 s; a slow machine needs more than one window for the test.
    assert count <= hits <= 1.2 * count + 10 * 12


def test_a_cloud_that_always_fails_is_soon_tried_last_and_nobody_notices(scene: Callable[..., Scene]) -> None:
    s = scene(models={"cloud-openai": "500", "cloud-anthropic": "500"})
    seen = asyncio.run(statuses(s.url, 300, 8, {"model": "auto", "messages": HELLO}, **HEADERS))
    assert set(seen) == {200}
    assert len(s.cloud.requests) < 100
    lanes = httpx2.get(f"{s.url}/readyz", trust_env=False, timeout=60).json()["lanes"]
    assert lanes["cloud-openai"]["ejections"] >= 1


def test_a_lane_that_asks_for_a_second_gets_it(scene: Callable[..., Scene]) -> None:
    s = scene(models={"local-general": "429_then_ok", "local-tools": "401"})
    raw = s.ask.chat.completions.with_raw_response.create(model="local-general", messages=HELLO)
    assert raw.headers["x-pointsman-trail"] == "local-general=rate_limited, local-general=ok"


KNOWN = ["0", "1", "1000000000", "-1", "Wed, 21 Oct 2065 07:28:00 GMT", "soon", "nan", "inf", "1e309", "0x10"]


@pytest.mark.parametrize("value", KNOWN)
def test_no_retry_after_outlasts_the_deadline_or_breaks_anything(
    scene: Callable[..., Scene], value: str
) -> None:
    s = scene(models={"local-general": f"429_after_{value}"}, dispatch={"deadline_s": 2})
    with pytest.raises(openai.APIStatusError) as error:
        s.ask.chat.completions.create(model="local-general", messages=HELLO, timeout=30)
    assert error.value.status_code in (503, 504)
    assert len(s.local.requests) <= 4


@contextmanager
def narrow(most: int, fault: str, **dispatch: Any) -> Iterator[Scene]:
    """A Pointsman whose local lanes take `most` calls at a time and are as good as `fault`."""
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        models = {"local-general": fault, "local-tools": fault}
        wide = config(local.url, cloud.url, models=models, dispatch=dispatch).model_dump()
        for lane in wide["lanes"][:2]:
            lane["max_in_flight"] = most
        with serving(Config.model_validate(wide)) as url, client(url) as ask:
            yield Scene(url, ask, local, cloud)


def test_a_full_local_lane_spills_and_what_is_confidential_waits_for_it() -> None:
    with narrow(2, "slow_head_50", last_wait_s=60, max_waiting=100) as s:
        assert set(asyncio.run(statuses(s.url, 60, 20, {"model": "auto", "messages": HELLO}))) == {200}
        spilled = len(s.cloud.requests)
        assert spilled > 10
        assert set(asyncio.run(statuses(s.url, 60, 20, {"model": "auto", "messages": SECRET}))) == {200}
        assert len(s.cloud.requests) == spilled


def test_overload_with_secrets_is_503_and_not_one_byte_leaves() -> None:
    patience = {"last_wait_s": 0.5, "unary_s": 1, "first_token_s": 1}
    with narrow(1, "hang", max_waiting=4, hedge_after_s=0.05, **patience) as s:
        seen = asyncio.run(statuses(s.url, 500, 100, {"model": "auto", "messages": SECRET}))
        assert set(seen) == {503}
        streamed = {"model": "auto", "messages": SECRET, "stream": True}
        assert set(asyncio.run(statuses(s.url, 20, 20, streamed))) == {503}
        assert not s.cloud.received_bytes
        assert not s.cloud.connections
