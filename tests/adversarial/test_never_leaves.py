"""P10, P13, K3: whatever breaks in the house, no byte of a disguised secret and no credential leaves it.

Real HTTP on both sides: the ingress, the local and the cloud upstream. What the cloud saw is searched as raw bytes.
"""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from serve.config import Config, EnvRef
from tests.support.disguised_requests import DROPPED, Disguised, confidential, empty, public, word
from tests.support.nightly import cases
from tests.support.secrets_made_up import secret
from tests.support.serving import config, serving
from tests.support.upstream import ThreadedUpstream

EACH = cases(100, 200)
EVERY = 10  # one harmless request for so many confidential ones
FIRST = 200_000  # numbers that no other test uses
HOUSE = ("local-general", "local-tools")
PROVIDER_KEY, CALLER_KEY, COOKIE = "sk-made-up-provider", "pm-made-up-caller", "session=made-up-cookie"
# Short enough for a test; what fails once is tried again without a bound, and nobody waits for long.
DISPATCH = {
    "retries": {"share": 1, "floor": 1000},
    "queue_wait_s": 0.1,
    "queue_wait_unary_s": 0.1,
    "last_wait_s": 0.2,
    "cooldown_s": 0.1,
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong in the house, and how the requests are sent while it does."""

    fault: str
    dispatch: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    in_flight: int = 256
    stopped: bool = False


TROUBLES = {
    "none": Trouble("ok"),
    "fallback": Trouble("500"),
    "retry": Trouble("503"),
    "rate-limited": Trouble("429"),
    "crash": Trouble("ok", stopped=True),
    "cut-off": Trouble("die_before_first"),
    "silent": Trouble("hang", dispatch={"first_token_s": 1, "unary_s": 1}),
    "hedge": Trouble("slow_first_500", dispatch={"hedge_after_s": 0.02}, more={"stream": True}),
    "overflow": Trouble("slow_first_200", in_flight=1),
    "escalation": Trouble("json_invalid", more={"response_format": {"type": "json_object"}}),
}


def settings(local: str, cloud: str, trouble: Trouble) -> Config:
    made = config(
        local, cloud, models=dict.fromkeys(HOUSE, trouble.fault), dispatch=DISPATCH | trouble.dispatch
    )
    changes = {"api_key": EnvRef(env="LANE_KEY")}
    lanes = [
        lane.model_copy(update=changes | ({"max_in_flight": trouble.in_flight} if lane.name in HOUSE else {}))
        for lane in made.lanes
    ]
    return made.model_copy(update={"lanes": tuple(lanes)})


async def send_all(url: str, requests: Sequence[Disguised], more: dict[str, Any]) -> list[str]:
    """Every request, a few at a time; what the clients got, each with its headers."""
    turns = asyncio.Semaphore(8)
    headers = {"authorization": f"Bearer {CALLER_KEY}", "cookie": COOKIE}

    async def send(http: httpx2.AsyncClient, asked: Disguised) -> str:
        async with turns:
            answer = await http.post(f"{url}/v1/chat/completions", json=more | asked.body)
        return f"{answer.status_code} {answer.headers} {answer.text}"

    async with httpx2.AsyncClient(timeout=120, headers=headers) as http:
        return list(await asyncio.gather(*map(partial(send, http), requests)))


@pytest.mark.parametrize("name", TROUBLES)
def test_no_byte_of_a_secret_reaches_the_cloud(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 bytes, while every harmless request sent in between arrives there."""
    monkeypatch.setenv("LANE_KEY", PROVIDER_KEY)
    trouble = TROUBLES[name]
    start = FIRST + EACH * list(TROUBLES).index(name)
    secrets = [confidential(number) for number in range(start, start + EACH)]
    controls = [public(900_000 + number) for number in range(EACH // EVERY)]
    if name in ("none", "overflow", "hedge"):  # where the house answers as well, they ask for the cloud
        controls = [Disguised(one.body | {"model": "cloud-openai"}, *rest(one)) for one in controls]
    mixed = list(secrets)
    for at, control in enumerate(controls):
        mixed.insert(at * (EVERY + 1), control)
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        with serving(settings(local.url, cloud.url, trouble)) as url:
            if trouble.stopped:
                local.stop()
            answers = asyncio.run(send_all(url, mixed, trouble.more))
        seen = cloud.received_bytes
    assert [one.how for one in secrets if one.canary.encode() in seen] == []
    assert [one.how for one in secrets if json.dumps(one.value)[1:-1].encode() in seen] == []
    assert [one.canary for one in controls if one.canary.encode() not in seen] == []
    assert not [word for word in (CALLER_KEY, COOKIE) if word.encode() in seen]
    assert not [answer for answer in answers if PROVIDER_KEY in answer]
    assert not [answer for answer in answers if answer.startswith(("400", "404", "500"))]


def rest(one: Disguised) -> tuple[str, str, str]:
    return one.canary, one.value, one.how


def test_a_field_that_is_no_part_of_the_wire_reaches_no_lane() -> None:
    """P5: metadata and unknown fields are dropped, so a secret in one of them goes nowhere."""
    asked: list[Disguised] = []
    for number, (place, hide) in enumerate(list(DROPPED.items()) * 20):
        hidden = secret(Random(number))
        body = empty(word(number)) | {"model": ("cloud-openai", "cloud-anthropic")[number % 2]}
        hide(body, hidden.text)
        asked.append(Disguised(body, word(number), hidden.value, place))
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        with serving(config(local.url, cloud.url)) as url:
            asyncio.run(send_all(url, asked, {}))
        for one in asked:
            assert one.canary.encode() in cloud.received_bytes
            assert json.dumps(one.value)[1:-1].encode() not in cloud.received_bytes, one.how


def test_without_any_network_the_promise_is_the_same() -> None:
    """P13: the sweep in a network namespace that has loopback and nothing else, with proxies set to a trap."""
    unshare, ip = shutil.which("unshare"), shutil.which("ip")
    if unshare is None or ip is None or subprocess.run([unshare, "-rn", "true"], check=False).returncode:
        pytest.skip("this machine allows no network namespaces")
    this = Path(__file__)
    inside = (
        f"{ip} link set lo up && env HTTP_PROXY=http://192.0.2.1:9 HTTPS_PROXY=http://192.0.2.1:9 "
        f"ALL_PROXY=http://192.0.2.1:9 NO_PROXY=127.0.0.1 {sys.executable} -m pytest -q -p no:cacheprovider "
        f"{this} -k fallback"
    )
    done = subprocess.run(
        [unshare, "-rn", "sh", "-c", inside],
        cwd=this.parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "1 passed" in done.stdout
